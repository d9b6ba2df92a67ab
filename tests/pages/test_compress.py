"""The Compress page without a browser: bits, files really encoded, scans, and the pipeline as a run."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from opened import Open, session_of, wait

from pruning import load_checkpoint, load_model, load_task
from pruning.checkpoint.prz import prz_bytes
from pruning.clustering import cluster
from pruning.quantise import search
from ui import cache, runs
from ui.compress import base, board, clips, integers, network, scan
from ui.compress.deciding import decide
from ui.ratio_board import Edit
from ui.ratio_board.bits import ratio_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(scan, "_known", {})
    for kept in (cache.jobs, cache.history, cache.dispatcher):
        kept.clear()


def metrics(app: object) -> dict[str, str]:
    return {one.label: one.value for one in app.metric}  # type: ignore[attr-defined]


def test_it_opens_with_a_file_that_is_what_the_engine_writes(open_page: Open) -> None:
    app = open_page("compress", model="digits-mlp")
    session = session_of(app)
    now = base.of(session)
    shared = cluster(load_model("digits-mlp").module, dict.fromkeys(now.layers, 4))
    size = network.file(now, session.decided.sharing_of(now.layers), session.decided.packing).size.total
    assert size == len(prz_bytes(shared, now.plan, now.recipe))
    shown = metrics(app)
    assert shown["Bits a weight"] == "4.00"
    assert shown["File .prz"] == f"{size / 1000:.3g} kB"
    assert shown["Accuracy"].endswith("%")
    (caption,) = (one.value for one in app.caption if one.value.startswith("Accuracy of the dense network"))
    assert "measured on 360 of 360 validation images, 95 % interval" in caption


def test_a_drag_moves_one_layer_and_is_taken_back(open_page: Open) -> None:
    app = open_page("compress", model="digits-mlp")
    session = session_of(app)
    first, *others = base.of(session).layers
    edit = Edit("edit", ratios={first: ratio_of(2)}, version=session.version)
    board.merge(session, base.of(session).layers, edit)
    assert session.decided.bits == {first: 2, **dict.fromkeys(others, 4)}
    app.run()
    assert not app.exception
    board.merge(session, base.of(session).layers, Edit("undo"))
    assert session.decided.bits is None
    board.merge(session, base.of(session).layers, edit)  # of a version that is gone
    assert session.decided.bits is None


def test_other_ways_to_share_and_to_code(open_page: Open) -> None:
    app = open_page("compress", model="digits-mlp")

    def box(label: str):  # type: ignore[no-untyped-def]
        return next(one for one in app.selectbox if one.label == label)

    for method in ("uniform", "clip-q"):
        box("Values").set_value(method).run()
        assert not app.exception
        assert session_of(app).decided.sharing.method == method
    before = metrics(app)["File .prz"]
    next(one for one in app.toggle if one.label == "Huffman").set_value(False).run()
    assert not session_of(app).decided.packing.huffman
    assert metrics(app)["File .prz"] != before
    box("Bits of all layers").set_value(32).run()
    assert metrics(app)["Bits a weight"] == "32.00"
    assert any("keeps its weights" in one.value for one in app.caption)


def test_the_scan_is_measured_in_the_background_and_found_again(open_page: Open) -> None:
    app = open_page("compress", model="digits-mlp")
    app.button(key="bits-start").click().run()
    wait(app)
    session = session_of(app)
    found = scan.found(base.of(session), session.decided.sharing)
    assert found is not None
    assert len(found.points) == found.total == 24
    scan._known.clear()
    again = scan.found(base.of(session), session.decided.sharing)
    assert again is not None
    assert [(p.layer, p.bits, p.error, p.found.accuracy) for p in again.points] == [
        (p.layer, p.bits, p.error, p.found.accuracy) for p in found.points
    ]


def test_evenly_spaced_values_are_timed_in_integers(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page("compress", model="digits-mlp")
    assert any("Integer kernels multiply evenly spaced values" in one.value for one in app.caption)
    next(one for one in app.selectbox if one.label == "Values").set_value("uniform").run()
    assert any("3 of 3 layers can run in integers." in one.value for one in app.caption)
    next(one for one in app.button if one.label.startswith("Measure it in 8-bit integers")).click().run()
    wait(app)
    said = [one.value for one in app.markdown]
    assert any("of 360 validation images right" in one and "in float" in one for one in said), said
    assert any("measured in" in one and "turns" in one for one in said)
    monkeypatch.setattr(integers, "obstacle", lambda: "There are no kernels here.")
    app.run()
    assert any("no kernels here" in one.value for one in app.info)


def test_the_pipeline_runs_in_a_process_and_leaves_its_files(open_page: Open) -> None:
    app = open_page("compress", model="digits-mlp")
    session = session_of(app)
    decide(session, session.decided.model_copy(update={"tune": 1}))
    app.run()
    app.button(key="compress-start").click().run()
    try:
        run_id = session.run
        end = time.monotonic() + 120
        while (run := runs.find(run_id)) is not None and run.busy and time.monotonic() < end:
            time.sleep(0.2)
        assert run is not None
        assert run.state == "done", run.error
        app.run()
        assert not app.exception
        labels = [one.proto.label for one in app.get("download_button")]
        file = runs.history().folder(run_id) / "digits-mlp-compressed.prz"
        assert run.figures.size is not None
        assert run.figures.size.file_bytes == file.stat().st_size
        assert any(label.startswith("Network .prz") for label in labels)
        assert load_checkpoint(file).architecture == "digits-mlp"
        assert len(app.dataframe[0].value) == 4  # dense, shared, tuned, coded
    finally:
        runs.dispatcher().close()


def test_an_address_that_is_damaged_decides_nothing(open_page: Open) -> None:
    app = open_page("compress", model="digits-mlp", k="eJyrVkrLzE")
    assert session_of(app).decided == type(session_of(app).decided)()


def test_parameters_of_clip_q_are_searched_and_taken_over(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "search", partial(search, shares=(0.0, 0.5, 0.8), bits=(2, 4)))
    app = open_page("compress", model="digits-mlp")
    next(one for one in app.selectbox if one.label == "Values").set_value("clip-q").run()
    app.button(key="clip-search-start").click().run()
    wait(app)
    session = session_of(app)
    before = session.decided
    app.button(key="clip-take").click().run()
    assert not app.exception
    sharing = session.decided.sharing_of(base.of(session).layers)
    assert isinstance(sharing.clip, dict)
    loaded = load_model("digits-mlp")
    found = search(
        loaded.module,
        load_task("digits"),
        sharing.bits,
        ratio=clips.RATIO,
        shares=(0.0, 0.5, 0.8),
        bits=(2, 4),
    )
    assert {name: sharing.clip_of(name) for name in sharing.bits} == found.clips
    weight = network.shared_weight(base.of(session), "hidden.fc1", sharing.bits["hidden.fc1"], sharing)
    assert float((weight == 0).float().mean()) == pytest.approx(sharing.clip["hidden.fc1"], abs=0.01)
    app.button(key="clip-one").click().run()
    assert session.decided.sharing.clip == before.sharing.clip
    board.merge(session, base.of(session).layers, Edit("undo"))
    board.merge(session, base.of(session).layers, Edit("undo"))
    assert session.decided == before, "what was taken over is one step"
