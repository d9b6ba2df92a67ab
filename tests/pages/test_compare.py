"""The Compare page without a browser: empty, filled by other pages, filters, names, deletion, a report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compare_runs import HOSTILE, figures, measured, recipe, run
from opened import Open, html, session_of, wait

from pruning.history import About, History
from ui import cache, record, runs
from ui.compare import trade
from ui.export import work


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """An empty history of this test's own, and no dispatcher."""
    made = History(f"sqlite:///{tmp_path}/history.sqlite")
    monkeypatch.setattr(cache, "history", lambda: made)
    monkeypatch.setattr(runs, "dispatcher", lambda: None)
    trade.settings.cache_clear()
    record.forget()
    yield made
    assert record.flush()


def add(history: History, number: int = 0, right: int = 340, **given: Any) -> str:
    """A row of the MLP."""
    shown = given.pop("figures", figures(right, 500 - 10 * number, removed={"hidden.fc1": 0.5, HOSTILE: 0.1}))
    settings = given.pop("settings", recipe(fc1=round(0.5 + 0.01 * number, 2)).to_json())
    about = {name: getattr(run(number, **given), name) for name in About.model_fields}
    return history.add(About(**about), settings=settings, figures=shown, same=f"{number}")


def tab(app: Any, name: str) -> Any:
    app.session_state["compare-tabs"] = name
    return app.run()


def button(app: Any, label: str) -> Any:
    return next(found for found in app.button if found.label.startswith(label))


def table(app: Any) -> Any:
    """The table of runs."""
    return app.dataframe[0].value


def pick(app: Any, *ids: str) -> Any:
    session_of(app).pick(ids)
    app.run()
    assert not app.exception
    return app


def test_an_empty_history_says_what_will_be_here(open_page: Open) -> None:
    app = open_page("compare", model="digits-mlp")
    assert any("Nothing has been measured yet" in info.value for info in app.info)
    assert not app.dataframe
    assert not app.error


def test_what_other_pages_measure_is_here_once(
    open_page: Open, history: History, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "program_of", lambda *_: b"what takes torch.export seconds")
    app = open_page("prune", model="digits-mlp")
    assert record.flush()
    assert history.count() == 0, "the dense network is no run"
    session_of(app).set_ratios({"hidden.fc1": 0.5})
    app.run()
    app.run()
    assert record.flush()
    (kept,) = history.runs()
    assert (kept.kind, kept.criterion, kept.ratio) == ("evaluation", "l2", 0.5)
    assert kept.figures.validation is not None
    assert kept.figures.validation.n == 360
    assert kept.figures.latency is not None
    app.switch_page("pages/export.py").run()
    wait(app)
    assert record.flush()
    export, _ = history.runs()
    assert export.kind == "export"
    assert export.figures.test is not None
    assert export.figures.size is not None
    assert (export.figures.size.file_bytes or 0) > 1000
    app.switch_page("pages/compare.py").run()
    assert list(table(app)["kind"]) == ["export", "evaluation"]
    assert not app.exception


def test_a_history_that_cannot_be_written_costs_nothing_but_a_sentence(
    open_page: Open, history: History, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise ValueError("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(history, "add", fail)
        app = open_page("prune", model="digits-mlp")
        session_of(app).set_ratios({"hidden.fc1": 0.25})
        app.run()
        record.flush()
        assert not app.exception
        assert not app.error
    add(history)
    monkeypatch.setattr(record._recorder, "problem", "The disk is full.")
    monkeypatch.setattr(record, "flush", lambda: True)
    app.switch_page("pages/compare.py").run()
    assert any("The disk is full." in warning.value for warning in app.warning)
    monkeypatch.undo()


def test_filters_narrow_the_table(open_page: Open, history: History) -> None:
    for number in range(3):
        add(history, number)
    history.star(add(history, 3, kind="scan", figures={}, title="a scan"))
    add(history, 4, study="s" * 12, title="a cell")
    app = open_page("compare", model="digits-mlp")
    assert len(table(app)) == 4
    app.text_input(key="compare-text").set_value("run 1").run()
    assert list(table(app)["run"]) == ["run 1"]
    app.text_input(key="compare-text").set_value("nothing like it").run()
    assert any("No run fits" in text.value for text in app.caption)
    app.text_input(key="compare-text").set_value("").run()
    app.toggle(key="compare-starred").set_value(True).run()
    assert list(table(app)["star"]) == ["★"]
    app.toggle(key="compare-starred").set_value(False).run()
    app.toggle(key="compare-cells").set_value(True).run()
    assert len(table(app)) == 5


def test_names_notes_and_deletion(open_page: Open, history: History) -> None:
    one, other = add(history, 0), add(history, 1)
    app = pick(open_page("compare", model="digits-mlp"), one)
    app.text_input(key=f"compare-name-{one}").set_value(HOSTILE)
    app.text_area(key=f"compare-note-{one}").set_value("a note")
    button(app, "Save").click().run()
    kept = history.get(one)
    assert kept is not None
    assert (kept.name, kept.note) == (HOSTILE, "a note")
    assert HOSTILE in list(table(app)["run"])
    assert not any("<img" in text.value.replace("\\<", "") for text in app.markdown)
    button(app, "Delete 1 run").click().run()
    assert [run.id for run in history.runs()] == [other]
    assert session_of(app).picked == ()
    button(app, "Delete them").click().run()
    assert history.count() == 0
    assert any("Nothing has been measured yet" in info.value for info in app.info)


def test_selection_and_recipe_go_along(open_page: Open, history: History) -> None:
    one = add(history, 0)
    app = pick(open_page("compare", model="digits-cnn"), one)
    assert one in app.query_params["p"]
    again = open_page("compare", p=f"{one}.{'0' * 12}")
    assert session_of(again).picked[0] == one
    app.button(key="compare-use").click().run()
    session = session_of(app)
    assert session.model == "digits-mlp"
    assert dict(session.ratios) == {"hidden.fc1": 0.5}
    assert "other weights" in session.note


def test_two_runs_side_by_side(open_page: Open, history: History) -> None:
    counts = tuple(tuple(30 * (i == j) for j in range(10)) for i in range(10))
    shown = figures(330, removed={HOSTILE: 0.5}, confusion=counts, test=measured(400, 450))
    one, other = (
        add(history, 0, figures=shown),
        add(history, 1, figures=shown.model_copy(update={"test": None})),
    )
    app = tab(pick(open_page("compare", model="digits-mlp"), one, other), "Two runs")
    rows = next(frame.value for frame in app.dataframe if "Second − first" in frame.value)
    assert rows.iloc[0]["Second − first"] == "+0.00 pt, not paired"
    assert rows.iloc[1]["Second"] == "–", "the test accuracy of one run alone"
    assert any("“hidden.fc1” 50 % against 51 %" in text.value for text in app.markdown)
    assert sum(name.startswith("compare-confusion") for name in charts_of(app)) == 3
    assert "<img" not in html(app)
    app.selectbox(key=f"compare-second-{one}-{other}").set_value(one).run()
    assert any("one run twice" in info.value for info in app.info)


def charts_of(app: Any) -> list[str]:
    return [chart.proto.id.split("-", 1)[-1].split("-", 1)[-1] for chart in app.get("plotly_chart")]


def test_a_report_of_the_selection_can_be_read_and_taken(open_page: Open, history: History) -> None:
    one = add(history, 0, title=HOSTILE)
    add(history, 1, title="not in it")
    app = tab(pick(open_page("compare", model="digits-mlp"), one), "Report")
    assert any("the one selected" in text.value for text in app.markdown)
    labels = [found.proto.label for found in app.get("download_button")]
    assert {"Report .html", "Report .md"} <= set(labels)
    app.session_state["compare-preview"] = True
    app.run()
    (text,) = [code.value for code in app.code]
    assert "# Pruning report" in text
    assert "not in it" not in text
    assert "\\<img" in text


def test_test_accuracies_have_a_chart_of_their_own(open_page: Open, history: History) -> None:
    add(history, 0)
    app = open_page("compare", model="digits-mlp")
    app.segmented_control(key="compare-split").set_value("test").run()
    assert any("choose validation above" in info.value for info in app.info)
    app.segmented_control(key="compare-split").set_value("validation").run()
    app.segmented_control(key="compare-cost").set_value("latency").run()
    assert any("No latency of these runs" in info.value for info in app.info)
    assert not app.exception


def test_a_study_is_chosen_counted_and_started(
    open_page: Open, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Pretended:
        """Puts studies into the history, and nobody works on them."""

        def submit(self, loaded: Any, settings: Any, **about: Any) -> str:
            asked.append(settings)
            row = About(kind="study", model=loaded.name, title="A study", owner=about["owner"])
            return history.add(row, settings=settings.to_json(), state="queued")

        def progress(self, _: str) -> None:
            return None

        def waiting_before(self, _: str) -> int:
            return 2

    monkeypatch.setattr(runs, "dispatcher", Pretended)
    app = wait(open_page("compare", model="digits-mlp"))
    assert any("**28 runs**: 3 criteria, random among them" in text.value for text in app.markdown)
    assert any("predicted from" in text.value for text in app.markdown)
    app.multiselect(key="study-ratios").set_value(["50", "abc"]).run()
    assert any("between 0 and 100" in error.value for error in app.error)
    app.multiselect(key="study-ratios").set_value(["50"]).run()
    app.number_input(key="study-seeds").set_value(2).run()
    app.selectbox(key="study-recovery").set_value("quick").run()
    wait(app)
    assert any("**10 runs**, 6 of them fine-tuned" in text.value for text in app.markdown)
    button(app, "Start the study").click().run()
    assert not app.exception
    (settings,) = asked
    assert settings.criteria == ("l1", "taylor", "random")
    assert settings.ratios == (0.5,)
    assert settings.recovery is not None
    assert session_of(app).picked == (history.runs()[0].id,)
    assert app.session_state["compare-tabs"] == "Compare methods"
    assert (
        any(text.value.endswith("queued") for text in app.markdown)
        or table(app)["kind"][0] == "study, queued"
    )


def test_what_came_of_a_study_is_a_table_with_deviations(open_page: Open, history: History) -> None:
    study = history.add(About(kind="study", model="digits-mlp", title="A study"), settings="{}")
    for seed, right in enumerate((400, 410)):
        shown = figures(300, test=measured(right, 450), dense_test=measured(440, 450))
        add(history, seed, criterion="random", seed=seed, study=study, figures=shown)
    add(history, 5, criterion="l1", study=study, figures=figures(300, test=measured(430, 450)))
    app = open_page("compare", model="digits-mlp", p=study)
    found = next(frame.value for frame in app.dataframe if "Method" in frame.value)
    assert list(found["Method"]) == ["L1 norm", "Random"]
    assert list(found["50\u00a0%"]) == ["95.56 ± 0.00", "90.00 ± 1.57"]
    tab(app, "Accuracy against cost")
    assert app.get("plotly_chart"), "its cells are drawn"
