"""The scan of ranks: in the background, in order, kept, and drawn."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pruning import evaluate, load_model, load_task
from pruning.lowrank import LowRank, factorise
from ui import cache
from ui.compress import rank_scan
from ui.figures import low_rank_scan as figures
from ui.figures.theme import palette
from ui.jobs import Job
from ui.state import Session

SETTINGS = LowRank(method="svd", energy=0.9)


@pytest.fixture
def scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Session, Job]:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(rank_scan, "_known", {})
    cache.jobs.clear()
    session = Session(model="digits-mlp")
    job = rank_scan.start("somebody", session, SETTINGS)
    end = time.monotonic() + 60
    while job.busy and time.monotonic() < end:
        time.sleep(0.02)
    assert job.state == "done", job.error
    return session, job


def test_each_point_is_the_network_with_that_layer_factorised(scanned: tuple[Session, Job]) -> None:
    session, job = scanned
    found = rank_scan.found(session, SETTINGS)
    assert found is not None
    assert len(found.points) == len(job.parts)
    assert job.fraction == pytest.approx(1, abs=0.2)
    loaded, point = load_model("digits-mlp"), found.points[-1]
    small = factorise(loaded.module, {point.key: point.ranks}, point.method)
    assert point.accuracy == evaluate(small, load_task("digits")).accuracy
    layer = small.get_submodule(point.key)
    count = sum(parameter.numel() for parameter in layer.parameters())
    assert found.left(point) == pytest.approx(count / found.layers[point.key])


def test_it_is_found_again_on_disk_whatever_the_ranks_and_not_for_another_way(
    scanned: tuple[Session, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, job = scanned
    monkeypatch.setattr(rank_scan, "_known", {})
    assert rank_scan.found(session, LowRank(method="svd", energy=0.5)) == job.result
    assert rank_scan.found(session, LowRank(method="svd", energy=0.9, data=True)) is None
    assert rank_scan.found(Session(model="digits-cnn"), SETTINGS) is None


def test_a_line_for_each_layer_from_many_parameters_to_few(scanned: tuple[Session, Job]) -> None:
    found = scanned[1].result
    places = [(point, found.left(point)) for point in found.points]
    figure, data = figures.scan(places, found.dense.accuracy, found.n, palette(dark=True))
    assert len(figure.data) == len({point.key for point in found.points})
    for line in figure.data:
        assert list(line.x) == sorted(line.x, reverse=True)
    assert len(data) == len(found.points)
    words = rank_scan.said(found, SETTINGS)
    assert f"{len(found.points)} networks on 360 validation images" in words
