"""Heads and the residual stream, without a browser: chosen, said, in the address, exported, found again."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opened import Open, html, session_of, wait

import pruning
from pruning import Choices, evaluate, load_checkpoint
from pruning.checkpoint import program_code
from ui import cache, scans, ways
from ui.export import files, work
from ui.sensitivity import choice

MODEL, STREAM = "digits-vit", "patches"
RATIOS = {STREAM: 0.25, "blocks.1.attention.qkv": 0.5}
BOTH = Choices("inside", "statistics")


@pytest.fixture(autouse=True)
def brief(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured before; programs are tested in tests/pruning."""
    cache.jobs.clear()
    monkeypatch.setattr(work, "program_of", lambda *_: b"a program")


def said(app: Any) -> str:
    return " ".join(text.value for text in (*app.markdown, *app.caption))


def chosen(app: Any) -> Any:
    """Channels inside heads and of the stream, pruned."""
    app.selectbox(key="draft-heads").set_value("inside").run()
    app.selectbox(key="draft-norms").set_value("statistics").run()
    session_of(app).set_ratios(RATIOS)
    return app.run()


def test_choices_are_offered_where_they_make_a_difference(open_page: Open) -> None:
    app = open_page("prune", model="digits-mlp")
    labels = {box.label for box in app.selectbox}
    assert not labels & {"Heads", "Residual stream"}
    session_of(app).choose_model(MODEL)
    app.run()
    assert {"Heads", "Residual stream"} <= {box.label for box in app.selectbox}
    app.selectbox(key="granularity").set_value("weight").run()
    assert not {box.label for box in app.selectbox} & {"Heads", "Residual stream"}


def test_another_choice_starts_without_ratios_and_undo_takes_it_back(open_page: Open) -> None:
    app = open_page("prune", model=MODEL)
    session_of(app).set_ratios({"blocks.1.attention.qkv": 0.5})
    session_of(app).lock({"blocks.0.fc1": True})
    app.run()
    assert "**Result:** exact" in said(app)
    assert "means and variances" not in said(app)
    app.selectbox(key="draft-norms").set_value("statistics").run()
    assert (session_of(app).ratios, session_of(app).locked) == ({}, frozenset())
    assert session_of(app).keys[0] == STREAM
    assert session_of(app).recipe.choices == Choices(norms="statistics")
    session_of(app).undo()
    app.run()
    assert session_of(app).ratios == {"blocks.1.attention.qkv": 0.5}
    assert app.selectbox(key="draft-norms").value == "exact"
    session_of(app).redo()
    app.run()
    assert app.selectbox(key="draft-norms").value == "statistics"


def test_the_stream_goes_through_address_upload_export_and_file(open_page: Open, tmp_path: Path) -> None:
    app = chosen(open_page("prune", model=MODEL))
    assert not app.error
    assert "exact, with means and variances over the channels that stay" in said(app)
    assert "your own class" in said(app)
    recipe = session_of(app).recipe
    evaluator = cache.live(MODEL, BOTH)
    shown = evaluator.known(recipe)
    assert shown is not None
    assert f"{100 * shown.accuracy:.1f} %" in html(app)

    again = open_page("prune", **{name: "".join(value) for name, value in app.query_params.items()})
    assert session_of(again).recipe == recipe

    other = open_page("prune", model=MODEL)
    other.session_state["prune-tabs"] = "Recipe"
    other.run()
    file = ("stream.json", recipe.to_json().encode(), "application/json")
    other.get("file_uploader")[-1].set_value(file).run()
    assert not other.error
    assert session_of(other).recipe == recipe
    session_of(other).undo()
    assert session_of(other).choices == Choices()

    app.switch_page("pages/export.py").run()
    wait(app)
    assert not app.error
    exported = work.Choice(MODEL, recipe, "dense")
    found, export = work.find(exported), files.write(session_of(app), exported)
    assert "means and variances over the channels that stay" in said(app)
    assert len(export.data) == files.predicted_size(exported)
    texts = files.texts(session_of(app), export, exported, found)
    name, packed = files.archive(export, texts, found.program_file)
    assert name.endswith(".zip")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(tmp_path)
    assert (tmp_path / f"{export.stem}.pt2").read_bytes() == b"a program"
    assert (tmp_path / f"{export.stem}-program.py").read_text() == program_code(f"{export.stem}.pt2")
    card = (tmp_path / f"{export.stem}-card.md").read_text()
    assert "Grade: exact, with means and variances over the channels that stay." in card
    assert json.loads((tmp_path / f"{export.stem}-recipe.json").read_text())["norms"] == "statistics"
    loaded = load_checkpoint(tmp_path / export.name)
    assert loaded.recipe == recipe
    measured = evaluate(loaded.module, cache.task(MODEL))
    assert measured.accuracy == shown.accuracy
    assert measured.predictions.equal(shown.predictions)


def test_a_scan_belongs_to_its_choices(open_page: Open) -> None:
    app = open_page("prune", model=MODEL)
    scan = pruning.scan_sensitivity(
        cache.model(MODEL).module,
        cache.task(MODEL),
        (0.5,),
        structure=cache.structure(MODEL, BOTH),
        limit=20,
    )
    assert scan.choices == BOTH
    scans.keep(MODEL, cache.weights_digest(MODEL), scan)
    assert scans.latest(MODEL, "channel", "l2", 0, BOTH) == scan
    assert scans.latest(MODEL, "channel", "l2") != scan
    chosen(app)
    assert "predicted</span>, n = 20" in html(app)


def test_sensitivity_makes_its_table_the_recipe_with_its_choices(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_images", lambda _: 24)
    app = open_page("sensitivity", model=MODEL, grid="Own list", **{"own-grid": "50"})
    app.selectbox(key="norms-exact").set_value("statistics").run()
    assert session_of(app).choices == Choices(), "the Prune page's choice stays"
    wait(app)
    table = app.dataframe[0].value
    assert STREAM in set(table["key"])
    app.slider(key="loss-allowed").set_value(10.0).run()
    app.button(key="make-recipe").click().run()
    assert session_of(app).choices == Choices(norms="statistics")


def test_where_no_program_can_be_written_one_sentence_says_so(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("This DigitsMLP cannot be written as a .pt2 program: <why>.")

    monkeypatch.setattr(work, "program_of", fail)
    app = open_page("export", model="digits-mlp")
    wait(app)
    assert "There is no .pt2: This DigitsMLP cannot be written as a .pt2 program" in said(app)
    labels = [found.proto.label for found in app.get("download_button")]
    assert not any(label.startswith("Program") for label in labels)
    assert not any(found.proto.disabled for found in app.get("download_button"))
    jobs = len(cache.jobs()._jobs)
    app.run()
    assert len(cache.jobs()._jobs) == jobs, "it is not tried again and again"


def test_words_say_it_when_a_graph_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(ways, "is_graph", lambda _: True)
    monkeypatch.setattr(ways, "cache", SimpleNamespace(plan=cache.plan, pruned=cache.pruned))
    monkeypatch.setattr(ways.st, "markdown", lambda text, **_: told.append(text))
    ways.say_result("digits-mlp", pruning.Recipe(model="digits-mlp"))
    assert told[1].endswith("a graph of recorded operations, because its code has sizes written into it")
