"""What the ratio board and Python say to each other: rows out, edits in. Pure; knows no Streamlit."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Action = Literal["edit", "lock", "units", "undo", "redo", "reset"]
Measure = Literal["ratio", "bits"]
COMMANDS: tuple[Action, ...] = ("undo", "redo", "reset")
MOST_SWITCHES = 16  # units up to which a row has a switch for each
MAX_EVENTS = 64  # the board keeps at most this many unanswered events; more is not from the board
Point = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One layer or coupled group on the board.

    Args:
        key: recipe key (group id or layer name); unique on the board, shown in full as a tooltip.
        label: short name shown; may be hostile text.
        kind: "filter", "neuron", "head", "weight", ... shown as a badge.
        size: number of units (or weights) that can be removed, >= 1.
        ratio: fraction asked to be removed, in [0, 1].
        locked: a locked row does not move.
        minimum: units kept always.
        parameter_share, macs_share: share of the whole network, in [0, 1]; NaN = unknown, shown as a dash.
        bins: counts of a histogram of the scores, lowest first; any total (a sample will do); may be empty.
        curve: (ratio, accuracy) measured by pruning this row alone; both in [0, 1]; may be empty.
        note: one short line under the name, such as what the group is coupled to.
        kept: count kept at `ratio` where it differs from the rule (global scope); None = the rule holds.
        multiple_of: overrides the board's for this row (single weights are never rounded).
        stops: where not every count is possible: (ratio, number kept, short text for the badge or ""), by
            ascending ratio; the handle stops there. Empty = every count, by the rule.
        units: a switch for each unit, True = it stays; (size,), at most `MOST_SWITCHES`; empty = no switches.
        order: numbers of these units, the first to go first; for what a drag removes.
        levels: scores of these units as shares of the largest, in [0, 1]; may be empty.
        by_hand: whether the units that are off were switched off by hand.
        switch: the row is a whole part that is kept or dropped, drawn as one switch in place of the track.
        score: of such a part; NaN = unknown.
        good: kept counts to mark as the last before a step in time, measured; may be empty.
    Raises:
        ValueError: if `size` is below 1, `ratio` is not in [0, 1], or there are other units than `size`.
    """

    key: str
    label: str
    kind: str
    size: int
    ratio: float = 0.0
    locked: bool = False
    minimum: int = 1
    parameter_share: float = math.nan
    macs_share: float = math.nan
    bins: tuple[int, ...] = ()
    curve: tuple[Point, ...] = ()
    note: str = ""
    kept: int | None = None
    multiple_of: int | None = None
    stops: tuple[tuple[float, int, str], ...] = ()
    units: tuple[bool, ...] = ()
    order: tuple[int, ...] = ()
    levels: tuple[float, ...] = ()
    by_hand: bool = False
    switch: bool = False
    score: float = math.nan
    good: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"The row {self.key!r} has {self.size} units; a row needs at least 1.")
        if not 0.0 <= self.ratio <= 1.0:
            raise ValueError(f"The ratio of {self.key!r} is {self.ratio}; it must be between 0 and 1.")
        if self.units and not len(self.units) == len(self.order) == self.size <= MOST_SWITCHES:
            raise ValueError(
                f"The row {self.key!r} needs one switch for each of at most {MOST_SWITCHES} units."
            )


@dataclass(frozen=True)
class Edit:
    """One valid edit by the user; merge `ratios` and `locks` into your own dicts.

    Args:
        action: "edit" (ratios moved), "lock" (locks toggled), "units" (single units switched on or off), or a
            button: "undo", "redo", "reset".
        ratios: key -> new ratio, only the rows that moved since the last edit (may be empty on release).
        locks: key -> locked, only those toggled.
        final: False while a drag goes on, True when it is released; one undo step lasts from the first
            live edit to its final one.
        version: of the board that the user saw; drop the edit if yours has moved on since.
        units: key -> numbers of the units that are off now, ascending, only for rows whose switches changed.
    """

    action: Action
    ratios: Mapping[str, float] = field(default_factory=dict)
    locks: Mapping[str, bool] = field(default_factory=dict)
    final: bool = True
    version: int = 0
    units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class BoardState:
    """What Python knows of one board: the rows in order and the last event that it has answered.

    Args:
        version: the page's version number and a checksum of the rows' names, as the browser echoes it.
        ratios: key -> ratio, in row order.
        locked: keys of the rows that do not move.
        client, answered: which mounted board, and the number of its last event that was answered.
        number: the page's version number alone.
        off: key -> a bit for each unit that is off, of rows with switches.
        most: key -> how many units may be off, of the same rows; (size, most).
    """

    version: str
    ratios: Mapping[str, float]
    locked: frozenset[str] = frozenset()
    client: str = ""
    answered: int = 0
    number: int = 0
    off: Mapping[str, int] = field(default_factory=dict)
    most: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Row], version: int, answered: tuple[str, int] = ("", 0)) -> BoardState:
        """The state that these rows describe.

        Raises:
            ValueError: if two rows have the same key.
        """
        ratios = {row.key: float(row.ratio) for row in rows}
        if len(ratios) != len(rows):
            raise ValueError("Two rows of the ratio board have the same key; give each layer its own row.")
        locked = frozenset(row.key for row in rows if row.locked)
        # The rows' names are part of the version: an index from another set of rows is never applied.
        token = f"{version}:{zlib.crc32(chr(0).join(ratios).encode('utf-8', 'surrogatepass')):08x}"
        off = {row.key: sum(1 << i for i, on in enumerate(row.units) if not on) for row in rows if row.units}
        most = {row.key: (row.size, row.size - row.minimum) for row in rows if row.units}
        return cls(token, ratios, locked, *answered, number=version, off=off, most=most)


def apply_edit(state: BoardState, event: object) -> BoardState:
    """Apply one event from the browser, which may be anything at all.

    Ratios are clamped to [0, 1]; rows that are locked stay. An event that is malformed, of another version,
    or about unknown rows changes nothing at all.

    Args:
        state: what Python knows.
        event: {"version", "action", "values": {row index as text: ratio; bool for "lock"; for "units" a
            number with a bit for each unit that is off}}.
    Returns:
        The next state; `state` itself if the event changes nothing.
    """
    values = _values(state, event)
    if not values or not isinstance(event, dict):
        return state
    if event["action"] == "lock":
        opened = {key for key, value in values.items() if not value}
        locked = (state.locked | values.keys()) - opened
        return state if locked == state.locked else replace(state, locked=frozenset(locked))
    if event["action"] == "units":
        off = {key: mask for key, mask in values.items() if key not in state.locked}
        ratios = {key: mask.bit_count() / state.most[key][0] for key, mask in off.items()}
        return replace(state, off={**state.off, **off}, ratios={**state.ratios, **ratios})
    moved = {key: float(min(1, max(0, value))) for key, value in values.items() if key not in state.locked}
    if all(state.ratios[key] == ratio for key, ratio in moved.items()):
        return state
    return replace(state, ratios={**state.ratios, **moved})


def receive(state: BoardState, payload: object) -> tuple[BoardState, list[Edit]]:
    """Answer what the browser sent: every event that was not answered yet, in order, each once.

    Streamlit may merge messages and deliver only the last one, so the board sends all its unanswered events
    each time, numbered.

    Args:
        payload: {"client": text, "events": [{"seq": int, "version", "action", "values", "final"}, ...]}.
    Returns:
        The next state, and the edits to show to the page.
    """
    edits: list[Edit] = []
    if not isinstance(payload, dict):
        return state, edits
    client, events = payload.get("client"), payload.get("events")
    if not isinstance(client, str) or not 0 < len(client) <= 64:
        return state, edits
    if not isinstance(events, list) or len(events) > MAX_EVENTS:
        return state, edits
    if client != state.client:
        state = replace(state, client=client, answered=0)
    for event in events:
        seq = event.get("seq") if isinstance(event, dict) else None
        if not isinstance(seq, int) or isinstance(seq, bool) or seq <= state.answered:
            continue
        after = apply_edit(state, event)
        edit = _edit_between(state, after, event)
        state = replace(after, answered=seq)
        if edit is not None:
            edits.append(edit)
    return state, edits


def board_data(rows: Sequence[Row], state: BoardState, **settings: Any) -> dict[str, Any]:
    """What the browser is told: plain JSON without NaN or infinity, which would break its parser."""
    return {
        "version": state.version,
        "answered": {"client": state.client, "seq": state.answered},
        "rows": [_row_data(row) for row in rows],
        **settings,
    }


def _edit_between(before: BoardState, after: BoardState, event: dict[str, Any]) -> Edit | None:
    """The edit to report; None if the event is not valid or, in the middle of a drag, changes nothing."""
    action = event.get("action")
    if action in COMMANDS:  # of any version: a second quick undo is meant, too
        return Edit(action, version=before.number)
    if _values(before, event) is None:
        return None
    final = event.get("final") is not False
    if action == "units":
        changed = {key: mask for key, mask in after.off.items() if mask != before.off[key]}
        units = {
            key: tuple(i for i in range(mask.bit_length()) if mask >> i & 1) for key, mask in changed.items()
        }
        return Edit("units", units=units, version=before.number) if units else None
    ratios = {key: ratio for key, ratio in after.ratios.items() if ratio != before.ratios[key]}
    locks = {key: key in after.locked for key in after.locked ^ before.locked}
    if ratios or locks or (action == "edit" and final):
        return Edit("lock" if action == "lock" else "edit", ratios, locks, final, before.number)
    return None


def _values(state: BoardState, event: object) -> dict[str, Any] | None:
    """Row key -> value of a well-formed edit or lock of this version; None for anything else."""
    if not isinstance(event, dict) or event.get("version") != state.version:
        return None
    action, values, keys = event.get("action"), event.get("values"), list(state.ratios)
    if action not in ("edit", "lock", "units") or not isinstance(values, dict) or len(values) > len(keys):
        return None
    found = {}
    for index, value in values.items():
        if not isinstance(index, str) or not (index.isascii() and index.isdigit() and len(index) <= 6):
            return None
        if int(index) >= len(keys) or not _fits(state, action, keys[int(index)], value):
            return None
        found[keys[int(index)]] = value
    return found


def _fits(state: BoardState, action: str, key: str, value: object) -> bool:
    """Whether a value is what an event of that action may hold for a row."""
    if action == "lock":
        return isinstance(value, bool)
    if action == "edit":
        return _is_number(value)
    size, most = state.most.get(key, (0, 0))
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return 0 <= value < 1 << size and value.bit_count() <= most


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _row_data(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "label": row.label,
        "kind": row.kind,
        "size": int(row.size),
        "ratio": float(row.ratio),
        "locked": bool(row.locked),
        "minimum": int(row.minimum),
        "parameters": _finite(row.parameter_share),
        "macs": _finite(row.macs_share),
        "bins": [int(count) for count in row.bins],
        "curve": [
            [float(x), float(y)] for x, y in sorted(row.curve) if math.isfinite(x) and math.isfinite(y)
        ],
        "note": row.note,
        "kept": None if row.kept is None else int(row.kept),
        "multiple": row.multiple_of,
        "stops": [[float(ratio), int(kept), text] for ratio, kept, text in row.stops],
        "units": [bool(stays) for stays in row.units],
        "order": [int(unit) for unit in row.order],
        "levels": [_finite(level) for level in row.levels],
        "byHand": row.by_hand,
        "switch": row.switch,
        "score": _finite(row.score),
        "good": [int(count) for count in row.good],
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
