"""The Prune page's pure parts: what edits do, what figures say, presets, the table, the outcome."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from pruning import Memory, Report, Timing, wilson
from ui import cache, granularity
from ui.draft import Draft, History
from ui.figures import prune as figures
from ui.figures import theme
from ui.prune import board, cards, facts, outcome, presets, rows, table
from ui.prune.facts import Facts
from ui.ratio_board import Edit
from ui.state import Session

MODEL = "digits-mlp"
FIRST, SECOND = "hidden.fc1", "hidden.fc2"  # 300 and 100 neurons


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(Session, "save_address", lambda self: None)
    return Session(model=MODEL)


def decided(session: Session, **decisions: object) -> Facts:
    session.history = History(Draft(**decisions))  # type: ignore[arg-type]
    return facts.of(session)


def report(right: int, n: int = 100, total: int = 100) -> Report:
    targets = torch.zeros(n, dtype=torch.long)
    predictions = (torch.arange(n) >= right).long()
    return Report(right / n, wilson(right, n), 0.1, n, total, "validation", predictions, targets)


class TestEdits:
    def test_a_drag_merges_into_the_ratios_and_is_one_undo_step(self, session: Session) -> None:
        session.set_ratios({SECOND: 0.25})
        version = session.version
        for ratio in (0.1, 0.2, 0.3):
            board.merge(session, Edit("edit", {FIRST: ratio}, final=ratio == 0.3, version=version))
        assert dict(session.ratios) == {FIRST: 0.3, SECOND: 0.25}
        session.undo()
        assert dict(session.ratios) == {SECOND: 0.25}

    def test_an_edit_of_an_earlier_board_is_dropped(self, session: Session) -> None:
        session.set_ratios({FIRST: 0.5})
        board.merge(session, Edit("edit", {FIRST: 0.9}, version=session.version - 1))
        assert session.ratios[FIRST] == 0.5

    def test_reset_leaves_locked_rows(self, session: Session) -> None:
        session.set_ratios({FIRST: 0.5, SECOND: 0.5})
        board.merge(session, Edit("lock", locks={SECOND: True}, version=session.version))
        board.merge(session, Edit("reset", version=session.version))
        assert dict(session.ratios) == {SECOND: 0.5}
        board.merge(session, Edit("lock", locks={SECOND: False}, version=session.version))
        assert session.locked == frozenset()

    def test_only_a_drag_under_way_leaves_the_page_as_it_is(self) -> None:
        assert not board.settled([Edit("edit", {FIRST: 0.1}, final=False)])
        assert board.settled([Edit("edit", {FIRST: 0.1}, final=False), Edit("edit", final=True)])
        assert board.settled([Edit("undo")])


class TestFacts:
    def test_counts_are_those_of_the_shrunk_network(self, session: Session) -> None:
        now = decided(session, ratios={FIRST: 0.5, SECOND: 0.2})
        small = cache.pruned(MODEL, session.recipe)
        assert now.pruned.parameters == sum(p.numel() for p in small.parameters())
        assert not now.masked
        assert now.pruned.sparsity == 0

    def test_single_weights_become_zeros(self, session: Session) -> None:
        now = decided(session, granularity="weight", ratios={FIRST: 0.9})
        masked = cache.pruned(MODEL, session.recipe)
        assert now.pruned.nonzero == sum(int((p != 0).sum()) for p in masked.parameters())
        assert now.pruned.parameters == now.dense.parameters
        assert now.bytes < now.dense_bytes

    def test_asked_is_not_got_and_the_reasons_are_said(self, session: Session) -> None:
        now = decided(session, ratios={FIRST: 0.5, SECOND: 0.97}, multiple_of=16)
        found = facts.asked_and_got(MODEL, now)
        assert found is not None
        said = found.sentence
        assert "400 units in 2 rows" in said
        assert f"{100 * now.removed:.1f} %" in said
        assert "multiples keep" in said
        assert facts.asked_and_got(MODEL, decided(session)) is None


class TestRows:
    def test_groups_layers_and_their_shares(self, session: Session) -> None:
        now = decided(session, ratios={FIRST: 0.5}, locked=frozenset({SECOND}))
        first, second = rows.of(session, now)
        assert (first.key, first.size, first.ratio, first.kept) == (FIRST, 300, 0.5, None)
        assert second.locked
        assert sum(first.bins) == 300
        assert 0 < second.parameter_share < first.parameter_share < 1
        weights = rows.of(session, decided(session, granularity="weight"))
        assert [row.kind for row in weights] == ["weight"] * 3
        assert sum(row.size for row in weights) < now.dense.parameters

    def test_one_ranking_over_all_rows_says_its_own_counts(self, session: Session) -> None:
        now = decided(session, scope="global", ratios={FIRST: 0.5, SECOND: 0.5})
        kept = {row.key: row.kept for row in rows.of(session, now)}
        assert kept == {entry.key: entry.kept for entry in now.plan.entries}
        assert sum(kept.values()) == 200  # type: ignore[arg-type]

    def test_where_not_every_count_is_possible_the_row_has_stops(self, session: Session) -> None:
        now = decided(session, granularity="n:4", ratios={FIRST: 0.4})
        first, second, _ = rows.of(session, now)
        size = 64 * 300
        spelled = ("4:4", "3:4", "2:4", "1:4", "0:4")
        assert first.stops == tuple((i / 4, size - i * size // 4, text) for i, text in enumerate(spelled))
        assert (first.kept, second.kept) == (size // 2, None)
        blocks = rows.of(session, decided(session, granularity="1x1"))[0].stops
        assert len(blocks) <= granularity.MOST_STOPS
        assert (blocks[0], blocks[1][1], blocks[-1][1]) == ((0.0, size, ""), size - 1, 0)
        assert rows.of(session, decided(session, granularity="weight"))[0].stops == ()

    def test_what_is_typed_moves_to_what_is_possible(self, session: Session) -> None:
        decided(session, granularity="n:4")
        stops = cache.stops(MODEL, "n:4", "l2")
        assert granularity.possible(stops, {FIRST: 0.6, SECOND: 0.7}) == {FIRST: 0.5, SECOND: 0.75}
        assert granularity.possible({}, {FIRST: 0.6}) == {FIRST: 0.6}
        assert granularity.kept(stops, {FIRST: 0.6, "gone": 0.5}) == {FIRST: 9600}


class TestPresets:
    @pytest.mark.parametrize("kind", ["n:4", "4x1", "32x32"])
    @pytest.mark.parametrize("name", ["uniform", "global_threshold", "erk"])
    @pytest.mark.parametrize("of", ["parameters", "units"])
    def test_reach_what_was_asked_of_masks_in_steps(
        self, session: Session, kind: str, name: str, of: presets.Measure
    ) -> None:
        decided(session, granularity=kind)
        found = presets.ratios(session, name, 0.55, of)
        now = decided(session, granularity=kind, ratios=found)
        sizes = {row.key: row.size for row in rows.of(session, now)}
        gone = sum(entry.size - entry.kept for entry in now.plan.entries)
        assert (now.removed if of == "parameters" else gone / sum(sizes.values())) >= 0.55
        for entry in now.plan.entries:  # what is shown as asked is what is possible
            assert abs(entry.asked - (1 - entry.kept / entry.size)) < 1e-9

    @pytest.mark.parametrize("name", ["uniform", "global_threshold"])
    @pytest.mark.parametrize("of", ["parameters", "MACs"])
    def test_reach_what_was_asked(self, session: Session, name: str, of: presets.Measure) -> None:
        found = presets.ratios(session, name, 0.6, of)
        now = decided(session, ratios=found)
        got = now.removed if of == "parameters" else 1 - now.pruned.macs / now.dense.macs
        assert 0.6 <= got < 0.63
        assert all(abs(ratio * 30_000 - round(ratio * 30_000)) < 1e-6 for ratio in found.values())

    def test_locked_rows_stay_and_what_is_missing_is_said(self, session: Session) -> None:
        decided(session, ratios={FIRST: 0.1}, locked=frozenset({FIRST}))
        assert presets.ratios(session, "uniform", 0.5, "units") == {FIRST: 0.1, SECOND: 0.5}
        assert presets.offered(session) == {
            "uniform": "",
            "global_threshold": "",
            "from_sensitivity": "It needs a sensitivity scan by this criterion.",
        }
        with pytest.raises(ValueError, match="At most"):
            presets.ratios(session, "uniform", 0.9, "parameters")


class TestTable:
    def test_typed_ratios_counts_and_locks(self, session: Session) -> None:
        shown = table.frame(session, decided(session, ratios={SECOND: 0.5}))
        assert shown[table.KEEP].tolist() == [300, 50]
        edits = {0: {table.KEEP: 75, table.LOCK: True}, 1: {table.ASKED: 12.5}}
        ratios, locked = table.edited(shown, edits, {SECOND: 0.5}, frozenset())
        assert ratios == {FIRST: 0.75, SECOND: 0.125}
        assert locked == {FIRST}

    @pytest.mark.parametrize("value", [None, "half", True])
    def test_what_is_no_number_changes_nothing(self, session: Session, value: object) -> None:
        shown = table.frame(session, decided(session))
        edits = {0: {table.ASKED: value}}
        assert table.edited(shown, edits, {}, frozenset()) == ({}, frozenset())

    def test_a_locked_row_moves_only_once_it_is_open(self, session: Session) -> None:
        shown = table.frame(session, decided(session, locked=frozenset({FIRST})))
        assert table.edited(shown, {0: {table.ASKED: 50.0}}, {}, frozenset({FIRST}))[0] == {}


class TestCards:
    def test_every_figure_says_how_it_came_about(self, session: Session) -> None:
        now = decided(session, ratios={FIRST: 0.5})
        assert cards.exact(now).count("<em>exact</em>") == 4
        part = cards.accuracy(now, report(80, 96, 360), report(99))
        assert "measured on 96 of 360 images" in part
        assert "px-refining" in part
        whole = cards.accuracy(now, report(80), report(90))
        assert "80.0 %" in whole
        assert "−10.0 pt" in whole
        assert "dense 90.0 %" in whole
        assert "10 lost, 0 gained" in whole
        assert "px-stale" in cards.accuracy(now, report(80), report(90), "measuring")
        assert "predicted" not in whole  # no scan is stored

    def test_what_cannot_be_measured_is_said_and_escaped(self, session: Session) -> None:
        now = decided(session)
        assert "&lt;b&gt;" in cards.no_accuracy(now, "<b>")
        assert "&lt;b&gt;" in cards.latency(None, "<b>")

    @pytest.mark.parametrize(
        ("ratio", "interval", "n", "said"),
        [
            (1.5, (1.4, 1.6), 50, "1.50× <small>faster"),
            (0.8, (0.7, 0.9), 50, "0.80× <small>slower"),
            (1.1, (0.9, 1.2), 50, "1.10× <small>unclear"),
            (1.1, (0.9, 1.2), 50, 'px-doubt">cannot tell'),
            (9.9, (0.1, 90.0), 3, "too few turns"),
        ],
    )
    def test_latency_says_no_more_than_was_measured(
        self, ratio: float, interval: tuple[float, float], n: int, said: str
    ) -> None:
        dense = Timing(2e-3, 1e-3, 3e-3, n, 1, 2)
        shown = cards.latency(Timing(1e-3, 9e-4, 2e-3, n, 1, 2, dense, ratio, interval))
        assert said in shown
        assert "0.90 – 2.00 ms" in shown or "0.900 – 2.000 ms" in shown
        assert "dense 2.00<span class=px-wide> (1.00–3.00)</span> ms" in shown

    def test_latency_tells_turns_way_preparation_and_memory(self) -> None:
        dense = Timing(2e-3, 2e-3, 2e-3, 50, 8, 1)
        timing = Timing(
            1e-3, 1e-3, 1e-3, 50, 8, 1, dense, 2.0, (1.9, 2.1), way="compiled", left_out=7, preparation=12.5
        )
        peaks = Memory(2_000_000, 1_500_000, 8, "counted"), Memory(1_000_000, 700_000, 8, "counted")
        shown = cards.latency(timing, "", "8 × 8 × 1", peaks)
        for said in (
            "50 turns, compiled; one image is 8 × 8 × 1.",
            "7 more were left out",
            "Preparing both networks took 12.5 s",
            '<div class="px-peak">1 MB</div>',
            "of 2 MB",
            "300,000 activations",
        ):
            assert said in shown


class TestOutcome:
    def test_kinds_of_flips(self) -> None:
        targets = torch.tensor([0, 1, 2, 3])
        dense = Report(0.5, (0, 1), 0, 4, 4, "validation", torch.tensor([0, 0, 0, 3]), targets)
        pruned = Report(0.5, (0, 1), 0, 4, 4, "validation", torch.tensor([1, 1, 1, 3]), targets)
        assert [outcome.kind_of(dense, pruned, i) for i in range(3)] == ["lost", "gained", "other"]

    def test_pictures_are_drawn_with_both_answers(self) -> None:
        task = cache.task(MODEL)
        n = len(task.validation)
        wrong = (task.validation.targets + 1) % 10
        right = Report(1, (0, 1), 0, n, n, "validation", task.validation.targets, task.validation.targets)
        other = Report(0, (0, 1), 0, n, n, "validation", wrong, task.validation.targets)
        drawn = outcome.gallery(task, right, other, [0, 5], {0: "lost", 5: "lost"})
        true = int(task.validation.targets[5])
        assert drawn.count("data:image/png;base64,") == 2
        assert f"{true} → {(true + 1) % 10}" in drawn

    def test_confusion_difference(self) -> None:
        dense, pruned = np.array([[5, 0], [1, 4]]), np.array([[3, 2], [0, 5]])
        data = figures.confusion_table(dense, pruned, ["a", "b"])
        assert isinstance(data, pd.DataFrame)
        assert data["change"].tolist() == [-2, 2, -1, 1]
        figure = figures.confusion_difference(
            dense, pruned, ["a", "b"], theme.palette(dark=False), "10 images"
        )
        assert figure.data[0].z.tolist() == [[-2, -2], [1, 1]]  # losses left and right of the diagonal
        assert "10 images" in figure.layout.title.text


def test_groups_that_the_criterion_cannot_rank_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "save_address", lambda self: None)
    session = Session(model="digits-cnn")
    *ranked, last = session.keys  # the last group is of a linear layer, without BatchNorm
    now = decided(session, criterion="bn_scale", ratios=dict.fromkeys(session.keys, 0.5))
    assert {entry.key for entry in now.plan.entries} == set(ranked)
    shown = {row.key: row for row in rows.of(session, now)}
    assert (shown[last].locked, shown[last].ratio, shown[last].note) == (True, 0.0, rows.UNRANKED)
    assert not any(shown[key].locked for key in ranked)
    assert set(presets.ratios(session, "uniform", 0.3, "parameters")) == set(ranked)
    listed = table.frame(session, now)
    edits = {len(ranked): {table.ASKED: 40.0}}
    after, _ = table.edited(listed, edits, session.ratios, session.locked, session.whole)
    assert after == dict(session.ratios)
    session.set(criterion="l2")
    assert last in session.recipe.rules


@pytest.mark.parametrize("model", ["digits-mlp", "digits-vit"])
def test_a_criterion_that_ranks_nothing_leaves_the_network_as_it_is(model: str) -> None:
    session = Session(model=model)
    now = decided(session, criterion="bn_scale", ratios=dict.fromkeys(session.keys, 0.5))
    assert now.untouched
    assert not session.free
    assert all(row.locked for row in rows.of(session, now))


def test_the_accuracy_card_tells_of_outputs_that_are_no_numbers() -> None:
    targets = torch.zeros(4, dtype=torch.long)
    broken = Report(0.5, (0, 1), float("nan"), 4, 4, "validation", torch.tensor([0, 0, -1, -1]), targets)
    whole = Report(1.0, (0, 1), 0, 4, 4, "validation", targets, targets)
    assert "2 gave NaN and count as wrong" in cards._measured_on(broken)
    assert "NaN" not in cards._measured_on(whole)
