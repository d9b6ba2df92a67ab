"""Switches on the Prune page, without a browser: single units by hand, whole layers, and their address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pruning
from pruning import Recipe, Rule
from ui import address, cache, granularity
from ui.draft import Draft, with_ratios, with_units
from ui.fitting import opened
from ui.prune import board, facts, layers, presets, rows
from ui.ratio_board import Edit
from ui.ratio_board.protocol import BoardState, Row, apply_edit, receive
from ui.state import Session, Target, _restore

RESNET, VIT = "digits-resnet", "digits-vit"
HEADS = "blocks.0.attention.qkv"
NEURONS = "blocks.0.fc1"
BLOCK, OTHER = "stages.stage1.1", "stages.stage3.1"


@pytest.fixture
def vit(monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(Session, "save_address", lambda self: None)
    return Session(model=VIT)


@pytest.fixture
def resnet(monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(Session, "save_address", lambda self: None)
    session = Session(model=RESNET)
    session.set(granularity="layer", criterion="influence")
    return session


class TestUnits:
    def test_a_switch_is_one_undo_step_and_the_ratio_follows(self, vit: Session) -> None:
        board.merge(vit, Edit("units", units={HEADS: (0, 3)}, version=vit.version))
        assert dict(vit.ratios) == {HEADS: 0.5}
        assert vit.recipe.rules[HEADS] == Rule(ratio=0.5, removed=(0, 3))
        board.merge(vit, Edit("units", units={HEADS: ()}, version=vit.version))
        assert not vit.recipe.rules
        vit.undo()
        assert vit.recipe.rules[HEADS].removed == (0, 3)
        vit.undo()
        assert not vit.recipe.rules

    @pytest.mark.parametrize("units", [{HEADS: (0, 1, 2, 3)}, {HEADS: (4,)}, {"unknown": (0,)}])
    def test_what_a_group_cannot_spare_changes_nothing(self, vit: Session, units: dict) -> None:
        vit.switch(units)
        assert not vit.recipe.rules
        assert not vit.can_undo

    def test_a_drag_hands_the_row_back_to_the_criterion(self, vit: Session) -> None:
        vit.switch({HEADS: (0, 3)})
        vit.drag({**vit.ratios, NEURONS: 0.2}, final=True)
        assert vit.draft.removed == {HEADS: (0, 3)}
        vit.drag({**vit.ratios, HEADS: 0.25}, final=False)
        assert not vit.draft.removed
        vit.drag({**vit.ratios, HEADS: 0.5}, final=True)  # back to where the gesture began
        assert vit.draft.removed == {HEADS: (0, 3)}
        vit.set_ratios({HEADS: 0.75})
        assert not vit.draft.removed

    def test_other_rows_start_without(self, vit: Session) -> None:
        vit.switch({HEADS: (1,)})
        vit.set(criterion="l1")
        assert vit.draft.removed
        vit.set(heads="inside")
        assert not vit.draft.removed
        assert not vit.ratios

    def test_the_row_shows_what_stays_and_what_would_go_first(self, vit: Session) -> None:
        vit.switch({HEADS: (2,)})
        by_key = {row.key: row for row in rows.of(vit, facts.of(vit))}
        row = by_key[HEADS]
        assert row.units == (True, True, False, True)
        assert row.by_hand
        assert by_key[NEURONS].units == ()  # 256 switches would be no help
        vit.set_ratios({HEADS: 0.5})
        ranked = {row.key: row for row in rows.of(vit, facts.of(vit))}[HEADS]
        assert not ranked.by_hand
        assert {unit for unit, stays in enumerate(ranked.units) if not stays} == set(ranked.order[:2])

    def test_nothing_is_predicted_for_units_by_hand(self) -> None:
        class AlwaysRight:
            keys = ()

            def predict(self, ratios: object) -> float:
                return 1.0

        assert facts.count(VIT, Recipe(rules={HEADS: Rule(ratio=0.5)}), AlwaysRight()).predicted == 1.0  # type: ignore[arg-type]
        by_hand = Recipe(rules={HEADS: Rule(ratio=0.5, removed=(0, 1))})
        assert facts.count(VIT, by_hand, AlwaysRight()).predicted is None  # type: ignore[arg-type]

    def test_a_recipe_file_brings_its_units(self, vit: Session) -> None:
        recipe = Recipe(rules={HEADS: Rule(ratio=0.5, removed=(1, 2)), NEURONS: Rule(ratio=0.25)})
        vit.load_recipe(recipe)
        assert vit.recipe.rules == recipe.rules
        with pytest.raises(ValueError, match="has no unit 7"):
            vit.load_recipe(Recipe(rules={HEADS: Rule(ratio=0.25, removed=(7,))}))
        assert vit.recipe.rules == recipe.rules


class TestAddress:
    @given(st.dictionaries(st.integers(0, 6), st.sets(st.integers(0, 300), min_size=1), max_size=7))
    def test_units_survive(self, chosen: dict[int, set[int]]) -> None:
        keys = [f"k{i}" for i in range(7)]
        removed = {f"k{i}": tuple(sorted(units)) for i, units in chosen.items()}
        assert address.unpack_units(address.pack_units(removed, keys), keys) == removed

    @given(st.text("0123456789abcdef._-x", max_size=40) | st.text(max_size=20))
    def test_anything_may_stand_there(self, text: str) -> None:
        found = address.unpack_units(text, ["a", "b"])
        assert found is None or set(found) <= {"a", "b"}

    def test_a_link_restores_units_and_a_damaged_one_says_so(self, vit: Session) -> None:
        vit.switch({HEADS: (0, 3)})
        written = address.write(vit.model, None, vit.draft, vit.keys)
        assert written["u"] == "0.9"
        again = _restore(address.parse(written))
        assert again.recipe.digest == vit.recipe.digest
        for bad in ("0.f", "0.10", "0.9_0.1", "99.1", "x"):
            damaged = _restore(address.parse({**written, "u": bad}))
            assert not damaged.recipe.rules
            assert "damaged" in damaged.note

    def test_whole_layers_and_their_usual_criterion(self, resnet: Session) -> None:
        resnet.set_ratios({BLOCK: 1.0})
        written = address.write(resnet.model, None, resnet.draft, resnet.keys)
        assert (written["g"], "c" in written) == ("layer", False)
        assert _restore(address.parse(written)).recipe.digest == resnet.recipe.digest
        resnet.set(criterion="l2")
        written = address.write(resnet.model, None, resnet.draft, resnet.keys)
        assert written["c"] == "l2"
        assert _restore(address.parse(written)).criterion == "l2"

    def test_units_are_ignored_where_there_are_none(self) -> None:
        keys = cache.keys(RESNET, "layer")
        packed = address.pack({BLOCK: 1.0}, (), keys)
        found = opened(address.Address(packed=packed, units="0.1"), Draft(granularity="layer"), RESNET)
        assert found is not None
        assert not found.removed


class TestLayers:
    def test_rows_are_switches_with_shares_and_scores(self, resnet: Session) -> None:
        resnet.set_ratios({BLOCK: 1.0})
        now = facts.of(resnet)
        found = rows.of(resnet, now)
        assert [row.key for row in found] == list(resnet.keys)
        dropped = next(row for row in found if row.key == BLOCK)
        assert dropped.switch
        assert dropped.ratio == 1.0
        assert dropped.parameter_share == pytest.approx(1 - now.pruned.parameters / now.dense.parameters)
        assert 0 < dropped.score < 1
        small = cache.pruned(RESNET, resnet.recipe)
        assert now.pruned.parameters == sum(p.numel() for p in small.parameters())
        assert len(cache.exported(RESNET, resnet.recipe, "dense")) == now.bytes

    def test_the_lowest_go_and_locked_ones_stay(self, resnet: Session) -> None:
        known = layers.scores(resnet)
        lowest = min(known, key=lambda key: known[key])
        assert layers.chosen(resnet, "score", 1, {}) == {lowest: 1.0}
        resnet.set(locked=frozenset({lowest}))
        chosen = layers.chosen(resnet, "score", 2, {})
        assert chosen.pop(lowest) == 0.0
        assert len(chosen) == 2
        lost = {key: 0.1 * number for number, key in enumerate(resnet.keys)}
        assert layers.chosen(resnet, "sensitivity", 0, lost) == {lowest: 0.0}
        with pytest.raises(ValueError, match="Only 3 unlocked layers"):
            layers.chosen(resnet, "score", 4, {})

    def test_the_table_takes_ticks(self, resnet: Session) -> None:
        resnet.set_ratios({OTHER: 1.0})
        shown = layers.frame(resnet, facts.of(resnet))
        assert list(shown["Keep"]) == [True, True, True, False]
        ratios, locks = layers.edited(
            shown,
            {0: {"Keep": False}, 3: {"Keep": True}, 1: {"Keep": 0, "Lock": True}},
            resnet.ratios,
            frozenset(),
        )
        assert ratios == {str(shown.at[0, "Row"]): 1.0, OTHER: 0.0}
        assert locks == {str(shown.at[1, "Row"])}
        same, _ = layers.edited(shown, {3: {"Keep": True}}, resnet.ratios, frozenset({OTHER}))
        assert same == {OTHER: 1.0}

    def test_without_data_switches_still_work(self, resnet: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(*_: object) -> object:
            raise pruning.MissingData("No data.")

        monkeypatch.setattr(cache, "scores", missing)
        resnet.set_ratios({BLOCK: 1.0})
        assert all(row.score != row.score for row in rows.of(resnet, facts.of(resnet)))

    def test_they_are_offered_with_their_source(self) -> None:
        assert "layer" in granularity.offered("digits-mlp", "channel")
        assert "2403.03853" in granularity.help_text("layer")
        assert cache.keys("digits-mlp", "layer") == ()
        assert cache.criterion_for("layer", "l2") == "influence"
        assert cache.criterion_for("channel", "influence") == "l2"

    def test_a_preset_says_what_it_was_asked(self, vit: Session) -> None:
        vit.set_ratios(presets.ratios(vit, "uniform", 0.3, "parameters"))
        now = facts.of(vit)
        said = facts.of_preset(Target(0.3, "parameters", vit.ratios), now, vit.ratios)
        assert (
            said
            == f"The preset was to remove 30.0 % of the parameters and removes {100 * now.removed:.1f} %."
        )
        assert facts.of_preset(Target(0.3, "parameters", {}), now, vit.ratios) == ""


class TestProtocol:
    def state(self, locked: bool = False) -> BoardState:
        heads = Row(
            "a",
            "a",
            "head",
            4,
            units=(True, True, False, True),
            order=(2, 0, 1, 3),
            ratio=0.25,
            locked=locked,
        )
        return BoardState.of([heads, Row("b", "b", "neuron", 300)], 1)

    def event(self, value: object, row: str = "0") -> dict:
        return {
            "seq": 1,
            "version": self.state().version,
            "action": "units",
            "values": {row: value},
            "final": True,
        }

    def test_switches_come_as_numbers_of_units(self) -> None:
        after, edits = receive(self.state(), {"client": "c", "events": [self.event(0b1001)]})
        assert edits == [Edit("units", version=1, units={"a": (0, 3)})]
        assert after.ratios["a"] == 0.5

    @pytest.mark.parametrize("value", [-1, 16, 0b1111, True, "1", 1.0, None, [0], 10**400])
    def test_hostile_masks_change_nothing(self, value: object) -> None:
        state = self.state()
        assert apply_edit(state, self.event(value)) is state
        assert receive(state, {"client": "c", "events": [self.event(value)]})[1] == []

    def test_rows_without_switches_and_locked_rows_have_none(self) -> None:
        state = self.state()
        assert apply_edit(state, self.event(1, row="1")) is state
        locked = self.state(locked=True)
        assert receive(locked, {"client": "c", "events": [self.event(1)]})[1] == []

    def test_a_row_has_a_switch_for_each_unit_or_none(self) -> None:
        with pytest.raises(ValueError, match="one switch for each"):
            Row("a", "a", "head", 4, units=(True,), order=(0,))


def test_drafts_stay_consistent() -> None:
    draft = with_units(Draft(), {"a": (1,), "b": ()}, {"a": 4, "b": 4})
    assert (draft.ratios, draft.removed) == ({"a": 0.25}, {"a": (1,)})
    assert with_ratios(draft, {"a": 0.25, "b": 0.5}).removed == {"a": (1,)}
    assert with_ratios(draft, {"b": 0.5}).removed == {}
    assert with_units(draft, {"a": ()}, {"a": 4}).recipe().rules == {}
