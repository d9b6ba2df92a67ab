"""Low rank on the Compress page without a browser: what is factorised, pruned with it, measured and run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from opened import Open, session_of, wait

import pruning
from pruning import Rule, load_checkpoint, load_model
from pruning.checkpoint.prz import prz_bytes
from pruning.lowrank import LowRank, low_rank
from ui import cache, runs
from ui.compress import base, factorised, network, rank_scan, scan
from ui.compress import low_rank as page
from ui.compress.decided import pack, unpack
from ui.compress.deciding import decide
from ui.figures.words import percent


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(scan, "_known", {})
    for kept in (cache.jobs, cache.history, cache.dispatcher):
        kept.clear()


def toggle(app, label: str):  # type: ignore[no-untyped-def]
    return next(one for one in app.toggle if one.label == label)


def test_the_switch_factorises_and_undo_takes_it_back(open_page: Open) -> None:
    app = open_page("compress", model="digits-mlp")
    toggle(app, "Low rank").set_value(True).run()
    assert not app.exception
    session = session_of(app)
    settings = session.decided.low_rank
    assert settings == LowRank(method="svd", energy=0.98, data=True)
    now = base.of(session)
    loaded = load_model("digits-mlp")
    task = pruning.load_task("digits")
    small = low_rank(loaded.module, settings, example_inputs=loaded.example_inputs, task=task)
    state = now.module.state_dict()
    assert all(torch.equal(state[name], value) for name, value in small.state_dict().items())
    assert "hidden.fc2.first" in now.layers
    counted = sum(parameter.numel() for parameter in small.parameters())
    assert any(f"→ {counted:,} (" in one.value for one in app.markdown)
    assert unpack(pack(session.decided)) == session.decided, "the address holds it"
    toggle(app, "Weigh by data").set_value(False).run()
    assert session.decided.low_rank == LowRank(method="svd", energy=0.9), "what loses about as much"
    app.slider[0].set_value(70.0).run()
    assert session.decided.low_rank == LowRank(method="svd", energy=0.7)
    toggle(app, "Weigh by data").set_value(True).run()
    assert session.decided.low_rank == LowRank(method="svd", energy=0.7, data=True)
    assert not app.exception
    toggle(app, "Low rank first").set_value(False).run()
    assert session.decided.low_rank is None
    assert "hidden.fc2" in base.of(session).layers


def test_ranks_by_hand_stay_in_their_range(open_page: Open) -> None:
    app = open_page("compress", model="digits-mlp")
    session = session_of(app)
    settings = LowRank(method="svd", energy=0.8)
    made = factorised.made(session.model_id, settings)
    one = next(each for each in made.plan.candidates if each.name == "hidden.fc2")
    assert page.edited(one, (9,), {"rank": 12}) == (12,)
    assert page.edited(one, (9,), {"rank": 10_000}) == one.most
    assert page.beyond(one, one.most, {"rank": 10_000}).startswith("hidden.fc2 cannot have that rank")
    assert page.beyond(one, (12,), {"rank": 12}) == ""
    assert page.edited(one, None, {"factorise": True}) == (one.most[0] // 2,)
    by_hand = LowRank(method="svd", ranks={"hidden.fc2": 5})
    decide(session, session.decided.model_copy(update={"low_rank": by_hand}))
    app.run()
    assert not app.exception
    assert base.of(session).module.get_submodule("hidden.fc2.first").out_features == 5
    app.button(key="low-rank-energy-again").click().run()
    assert session.decided.low_rank == LowRank(method="svd", energy=0.9)


@pytest.mark.parametrize(("granularity", "key"), [("channel", "hidden.fc1"), ("weight", "hidden.fc2")])
def test_the_recipe_of_prune_goes_over_to_factors_and_the_run_does_the_same(
    open_page: Open, granularity: str, key: str
) -> None:
    app = open_page("compress", model="digits-mlp")
    session = session_of(app)
    session.set(granularity=granularity, criterion="l1", ratios={key: 0.5})
    wanted = session.decided.model_copy(
        update={"low_rank": LowRank(method="svd", energy=0.8), "recover": None, "tune": None}
    )
    decide(session, wanted)
    app.run()
    assert not app.exception
    now = base.of(session)
    assert all(name.startswith(f"{key}.") for name in now.recipe.rules)
    assert isinstance(now.recipe.rules[f"{key}.last"], Rule)
    assert any("factorise layers (SVD), prune at once" in one.value for one in app.caption)
    app.button(key="compress-start").click().run()
    try:
        run_id, deadline = session.run, time.monotonic() + 120
        while runs.find(run_id).busy and time.monotonic() < deadline:  # type: ignore[union-attr]
            time.sleep(0.2)
        run = runs.find(run_id)
        assert run is not None
        assert run.state == "done", run.error
        (file,) = runs.history().folder(run_id).glob("*.prz")
        module = network.network(now, session.decided.sharing_of(now.layers))
        again = load_checkpoint(file).module.state_dict()
        assert all(torch.equal(again[name], value) for name, value in module.state_dict().items())
        assert len(file.read_bytes()) == pytest.approx(len(prz_bytes(module, now.plan, now.recipe)), abs=60)
    finally:
        runs.dispatcher().close()


def test_what_does_not_fit_is_said_and_the_switch_still_there(open_page: Open) -> None:
    app = open_page("compress", model="digits-mlp")
    session = session_of(app)
    decide(
        session, session.decided.model_copy(update={"low_rank": LowRank(method="svd", ranks={"nowhere": 3})})
    )
    app.run()
    assert not app.exception
    assert any("'nowhere'" in one.value for one in app.error)
    toggle(app, "Low rank").set_value(False).run()
    assert not app.error


def test_accuracy_and_time_are_measured_in_the_background(open_page: Open) -> None:
    app = open_page("compress", model="digits-mlp")
    toggle(app, "Low rank").set_value(True).run()
    next(one for one in app.button if one.label.startswith("Measure the factorised")).click().run()
    wait(app)
    session = session_of(app)
    settings = session.decided.low_rank
    assert settings is not None
    expected = pruning.evaluate(
        factorised.made(session.model_id, settings).module, pruning.load_task("digits")
    )
    said = [one.value for one in app.markdown]
    assert any(f"**{percent(expected.accuracy)}** of 360 validation images" in one for one in said), said
    assert any("against the dense network" in one for one in said)
    assert any("measured in" in one and "turns" in one for one in said)


def test_the_scan_of_ranks_is_started_and_shown(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_scan, "_known", {})
    app = open_page("compress", model="digits-mlp")
    toggle(app, "Low rank").set_value(True).run()
    app.button(key="ranks-start").click().run()
    wait(app)
    session = session_of(app)
    assert session.decided.low_rank is not None
    found = rank_scan.found(session, session.decided.low_rank)
    assert found is not None
    assert any(f"Measured: {len(found.points)} networks on 360" in one.value for one in app.caption)
    assert not [one for one in app.button if one.key == "ranks-start"], "it is measured once"


def test_what_stays_whole_is_listed_with_the_reason() -> None:
    model_id = "digits-mobilenet"
    by_energy = LowRank(method="channel-svd", energy=0.98)
    said = page.whole(by_energy, factorised.made(model_id, by_energy))
    assert any("stages.stage1.0.depthwise" in one and "depthwise convolution" in one for one in said)
    (dear,) = (one for one in said if "would make it no cheaper" in one)
    assert dear.endswith("The ranks that keep 98 % would make it no cheaper.")
    by_hand = LowRank(method="channel-svd", ranks={"last": 9})
    said = page.whole(by_hand, factorised.made(model_id, by_hand))
    assert any("head: whole. Left out by hand." in one for one in said)
