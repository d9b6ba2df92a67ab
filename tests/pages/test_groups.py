"""The Groups page without a browser: every network, other ways to cut it, no data, bad links."""

from __future__ import annotations

import re
from typing import Any

import pytest
from opened import Open, session_of

import pruning
from ui import state


def line(app: Any) -> str:
    return next(text.value for text in app.markdown if text.value.startswith("Removing"))


def slider(app: Any) -> Any:
    return next(one for one in app.slider if one.label == "Pruning ratio to look at")


def listed(app: Any) -> Any:
    return app.dataframe[0].value


def captions(app: Any) -> str:
    return " ".join(caption.value for caption in app.caption)


def test_opens_on_the_largest_group_that_ties_layers(open_page: Open) -> None:
    app = open_page("groups")
    assert app.selectbox(key="group").value == "stages.stage3.0.conv2"
    table = listed(app)
    assert list(table["parameters"]) == sorted(table["parameters"], reverse=True)
    assert table["layers"].max() == 3
    assert "is one sum along the whole line" in captions(app)
    assert not app.error


@pytest.mark.parametrize("model", sorted(set(pruning.MODELS) - {"digits-resnet"}))
def test_opens_for_every_network_without_data(
    open_page: Open, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRUNING_DATA_DIR", raising=False)
    app = open_page("groups", model=model)
    assert not app.error
    assert app.selectbox(key="group").value in set(listed(app)["group"])
    assert re.match(r"Removing \*\*\d+ of \d+ \w+\*\* takes \*\*[\d,]+ parameters", line(app))


def test_the_line_is_what_really_goes(open_page: Open) -> None:
    app = open_page("groups", group="conv")
    assert app.selectbox(key="group").value == "conv"
    slider(app).set_value(50).run()
    loaded = pruning.load_model("digits-resnet")
    recipe = pruning.Recipe(rules={"conv": pruning.Rule(ratio=0.5)})
    plan = pruning.make_plan(loaded.module, recipe, example_inputs=loaded.example_inputs)
    small = pruning.shrink(loaded.module, plan, loaded.example_inputs)
    gone = sum(p.numel() for p in loaded.module.parameters()) - sum(p.numel() for p in small.parameters())
    assert f"**12 of 24 filters** takes **{gone:,} parameters**" in line(app)


def test_starts_at_what_the_prune_page_has_decided(open_page: Open) -> None:
    app = open_page("groups", group="conv")
    session: state.Session = session_of(app)
    session.set_ratios({"conv": 0.75})
    app.run()
    assert slider(app).value == 75
    assert "18 of 24" in line(app)
    session.switch({"conv": (0, 5)})
    app.run()
    assert "2 of 24" in line(app)


def test_heads_and_norms_can_be_looked_at_in_other_ways(open_page: Open) -> None:
    app = open_page("groups", model="digits-vit", group="blocks.0.attention.qkv")
    assert "of 4 heads" in line(app)
    app.segmented_control(key="heads").set_value("inside").run()
    assert "of 16 entries of each head" in line(app)
    assert "A look only" in captions(app)
    app.segmented_control(key="norms").set_value("statistics").run()
    assert listed(app)["group"].iloc[0] == "patches"
    assert "statistics" in set(listed(app)["grade"])
    app.selectbox(key="group").set_value("patches").run()
    assert not app.exception
    next(button for button in app.button if button.label == "Prune this way").click().run()
    assert session_of(app).choices == pruning.Choices("inside", "statistics")
    assert "A look only" not in captions(app)


@pytest.mark.parametrize(
    "group", ["no-such-group", "<img src=x onerror=alert(1)>", "`[x](http://y)`", "../conv"]
)
def test_an_unknown_group_gives_a_sentence_and_another_one(open_page: Open, group: str) -> None:
    app = open_page("groups", model="digits-mlp", group=group)
    assert not app.error
    assert "no group of the name in the address" in " ".join(info.value for info in app.info)
    assert app.selectbox(key="group").value == "hidden.fc1"
    assert not any(group in text.value for text in [*app.markdown, *app.caption])


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"model": "mnist-lenet-5", "c": "taylor"}, "needs data"),
        ({"model": "digits-mlp", "c": "bn_scale"}, "BatchNorm"),
    ],
)
def test_a_criterion_that_cannot_rank_gives_way_to_the_norm(
    open_page: Open, query: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRUNING_DATA_DIR", raising=False)
    app = open_page("groups", **query)
    assert not app.error
    assert why in captions(app)
    assert "ranked by their L2 norm" in captions(app)


def test_what_stays_whole_can_be_searched(open_page: Open) -> None:
    app = open_page("groups", model="digits-vit")
    whole = app.dataframe[2].value
    app.text_input(key="fixed-search").set_value("POSITIONS").run()
    found = app.dataframe[2].value
    assert 0 < len(found) < len(whole)
    assert found["parameter"].str.contains("positions").all()
    app.text_input(key="fixed-search").set_value("no such thing (").run()
    assert app.dataframe[2].value.empty
    assert not app.exception
