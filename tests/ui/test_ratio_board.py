"""The ratio board's protocol: hostile events, merged messages, and what the browser is told."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from ui.ratio_board.protocol import MAX_EVENTS, BoardState, Edit, Row, apply_edit, board_data, receive

APP = Path(__file__).resolve().parents[1] / "browser" / "apps" / "ratio_board_app.py"


def rows(n: int = 4, locked: tuple[int, ...] = ()) -> list[Row]:
    return [Row(f"layer{i}", f"layer{i}", "filter", 16, ratio=0.1 * i, locked=i in locked) for i in range(n)]


def board(n: int = 4, locked: tuple[int, ...] = (), version: int = 7) -> BoardState:
    return BoardState.of(rows(n, locked), version)


def edit(state: BoardState, values: object, **more: object) -> dict[str, object]:
    return {"seq": 1, "version": state.version, "action": "edit", "values": values, "final": True, **more}


def message(*events: object, client: object = "abc") -> dict[str, object]:
    return {"client": client, "events": list(events)}


class TestApplyEdit:
    def test_an_edit_moves_only_the_rows_it_names(self):
        state = board()
        after = apply_edit(state, edit(state, {"1": 0.5, "3": 0.25}))
        assert after.ratios == {"layer0": 0.0, "layer1": 0.5, "layer2": 0.2, "layer3": 0.25}
        assert state.ratios["layer1"] == 0.1

    def test_ratios_out_of_range_are_clamped(self):
        state = board()
        after = apply_edit(state, edit(state, {"0": 1.5, "1": -3, "2": 10**400}))
        assert [after.ratios[f"layer{i}"] for i in range(3)] == [1.0, 0.0, 1.0]
        assert all(type(ratio) is float for ratio in after.ratios.values())

    def test_locked_rows_stay_and_the_others_move(self):
        state = board(locked=(1,))
        after = apply_edit(state, edit(state, {"0": 0.9, "1": 0.9}))
        assert (after.ratios["layer0"], after.ratios["layer1"]) == (0.9, 0.1)

    def test_locks_are_set_and_opened(self):
        state = board(locked=(1,))
        after = apply_edit(state, edit(state, {"0": True, "1": False}, action="lock"))
        assert after.locked == {"layer0"}
        assert after.ratios == state.ratios

    @pytest.mark.parametrize(
        "value", [math.nan, math.inf, -math.inf, None, "0.5", True, [], {}, [0.5], {"a": 1}, 1j, b"1"]
    )
    def test_one_bad_value_spoils_the_whole_edit(self, value: object):
        state = board()
        assert apply_edit(state, edit(state, {"0": 0.9, "1": value})) is state

    @pytest.mark.parametrize("value", [0, 1, "true", None, 0.5])
    def test_a_lock_must_be_a_bool(self, value: object):
        state = board()
        assert apply_edit(state, edit(state, {"0": value}, action="lock")) is state

    @pytest.mark.parametrize(
        "index", ["4", "-1", "layer1", "1.0", " 1", "", "٣", "9" * 400, 1, None, ("0",), "__proto__"]
    )
    def test_unknown_rows_spoil_the_whole_edit(self, index: object):
        state = board()
        assert apply_edit(state, edit(state, {"0": 0.9, index: 0.5})) is state

    @pytest.mark.parametrize(
        "values", [None, [], [0.5, 0.5], "0.5", 3, {}, {str(i): 0.5 for i in range(100_000)}]
    )
    def test_values_of_another_shape_change_nothing(self, values: object):
        state = board()
        assert apply_edit(state, edit(state, values)) is state

    @pytest.mark.parametrize(
        "event", [None, 3, "edit", [], [{}], {}, {"action": "edit"}, {"values": {"0": 0.5}}]
    )
    def test_events_of_another_shape_change_nothing(self, event: object):
        state = board()
        assert apply_edit(state, event) is state

    @pytest.mark.parametrize("action", ["undo", "drop", None, 1, [], {}, "__class__"])
    def test_only_edits_and_locks_carry_values(self, action: object):
        state = board()
        assert apply_edit(state, edit(state, {"0": 0.5}, action=action)) is state

    @pytest.mark.parametrize("version", ["6:0", 7, None, "", [], "7"])
    def test_another_version_changes_nothing(self, version: object):
        state = board()
        assert apply_edit(state, edit(state, {"0": 0.5}, version=version)) is state

    def test_another_set_of_rows_is_another_version(self):
        assert board(4).version != board(5).version
        assert BoardState.of(rows(2), 1).version != BoardState.of(list(reversed(rows(2))), 1).version

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
            ),
        )
    )
    @settings(max_examples=200, deadline=None)
    def test_no_values_whatever_raise_or_leave_the_range(self, values: object):
        state = board(locked=(2,))
        for action in ("edit", "lock", "undo"):
            after, _ = receive(state, message(edit(state, values, action=action)))
            assert after.ratios.keys() == state.ratios.keys()
            assert all(0.0 <= ratio <= 1.0 for ratio in after.ratios.values())
            assert after.locked <= state.ratios.keys()
            receive(state, values)
            receive(state, message(values))


class TestReceive:
    def test_each_event_is_answered_once_in_order(self):
        state = board()
        first = edit(state, {"0": 0.3}, seq=1)
        second = {"seq": 2, "version": state.version, "action": "undo", "values": {}}
        third = edit(state, {"1": 0.7}, seq=3, final=False)
        state, edits = receive(state, message(first))
        assert edits == [Edit("edit", {"layer0": 0.3}, version=7)]
        state, edits = receive(state, message(first, second, third))
        assert edits == [Edit("undo", version=7), Edit("edit", {"layer1": 0.7}, final=False, version=7)]
        assert state.answered == 3
        assert receive(state, message(first, second, third))[1] == []

    def test_only_what_changed_is_reported_and_a_release_always(self):
        state = board()
        state, _ = receive(state, message(edit(state, {"0": 0.3, "1": 0.4}, final=False)))
        state, edits = receive(state, message(edit(state, {"0": 0.3, "1": 0.4}, seq=2, final=False)))
        assert edits == []
        state, edits = receive(state, message(edit(state, {"0": 0.3, "1": 0.5}, seq=3)))
        assert edits == [Edit("edit", {"layer1": 0.5}, version=7)]
        state, edits = receive(state, message(edit(state, {"0": 0.3, "1": 0.5}, seq=4)))
        assert edits == [Edit("edit", version=7)]

    def test_another_mounted_board_counts_anew(self):
        state, _ = receive(board(), message(edit(board(), {"0": 0.3}, seq=50)))
        state, edits = receive(state, message(edit(state, {"0": 0.6}, seq=1), client="other"))
        assert edits[0].ratios == {"layer0": 0.6}
        assert (state.client, state.answered) == ("other", 1)

    def test_a_stale_event_is_answered_but_not_reported(self):
        state = board()
        for action in ("edit", "lock"):
            after, edits = receive(state, message(edit(state, {"0": 0.5}, version="1:0", action=action)))
            assert edits == []
            assert after.answered == 1
            assert after.ratios == state.ratios

    def test_a_second_quick_undo_counts_though_the_first_changed_the_version(self):
        events = [{"seq": i, "version": "1:0", "action": "undo", "values": {}} for i in (1, 2)]
        assert receive(board(), message(*events))[1] == [Edit("undo", version=7)] * 2

    def test_a_malformed_release_is_not_reported(self):
        state = board()
        assert receive(state, message(edit(state, {"0": math.nan})))[1] == []

    def test_a_lock_then_an_edit_of_that_row_in_one_message(self):
        state = board()
        events = edit(state, {"0": True}, action="lock"), edit(state, {"0": 0.9}, seq=2)
        after, edits = receive(state, message(*events))
        assert after.ratios["layer0"] == 0.0
        assert edits == [Edit("lock", locks={"layer0": True}, version=7), Edit("edit", version=7)]

    @pytest.mark.parametrize(
        "payload",
        [
            None,
            [],
            "x",
            {},
            {"client": "a"},
            {"client": "a", "events": {}},
            {"client": "", "events": []},
            {"client": "a" * 65, "events": []},
            {"client": 5, "events": []},
        ],
    )
    def test_messages_of_another_shape_are_ignored(self, payload: object):
        state = board()
        assert receive(state, payload) == (state, [])

    def test_a_huge_message_is_ignored(self):
        state = board()
        events = [edit(state, {"0": i / 100}, seq=i + 1) for i in range(MAX_EVENTS + 1)]
        assert receive(state, message(*events)) == (state, [])
        assert len(receive(state, message(*events[1:]))[1]) == MAX_EVENTS

    @pytest.mark.parametrize("seq", [None, "1", 1.5, True, math.nan, -1, 0])
    def test_an_event_without_a_proper_number_is_ignored(self, seq: object):
        state = board()
        assert receive(state, message(edit(state, {"0": 0.9}, seq=seq)))[1] == []


class TestRows:
    def test_the_data_is_strict_json(self):
        row = Row(
            "a", "</script><b>", "head", 4, bins=(1, 2), curve=((0.5, math.nan), (0.2, 0.9), (0.0, 0.95))
        )
        data = board_data([row], BoardState.of([row], 1), dense=None)
        parsed = json.loads(json.dumps(data, allow_nan=False))
        assert parsed["rows"][0]["curve"] == [[0.0, 0.95], [0.2, 0.9]]
        assert parsed["rows"][0]["parameters"] is None
        assert parsed["rows"][0]["label"] == "</script><b>"

    def test_a_row_says_what_is_wrong(self):
        with pytest.raises(ValueError, match="needs at least 1"):
            Row("a", "a", "filter", 0)
        for ratio in (1.5, -0.1, math.nan):
            with pytest.raises(ValueError, match="between 0 and 1"):
                Row("a", "a", "filter", 8, ratio=ratio)

    def test_two_rows_of_one_key_are_refused(self):
        with pytest.raises(ValueError, match="same key"):
            BoardState.of([rows()[0], rows()[0]], 1)

    def test_hostile_names_make_a_version(self):
        assert BoardState.of([Row("\ud800\x00", "x", "filter", 2)], 1).version


def test_the_board_is_drawn_under_streamlit():
    """The rows that the page gave are what the browser is told, and the scripts travel along."""
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    board = app.get("bidi_component")[0].proto
    told = json.loads(board.json)
    assert {row["key"]: row["ratio"] for row in told["rows"]} == json.loads(app.text[0].value)["ratios"]
    assert told["answered"] == {"client": "", "seq": 0}
    assert board.js_content.count("export default") == 1
    assert "innerHTML" not in board.js_content
    assert "class Board" in board.js_content
    assert ".grip" in board.css_content


def test_good_counts_reach_the_browser() -> None:
    row = Row(key="a", label="a", kind="filter", size=32, good=(8, 16))
    data = board_data([row], BoardState.of([row], 1))
    assert data["rows"][0]["good"] == [8, 16]
    assert json.loads(json.dumps(data)) == data
