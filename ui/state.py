"""One visitor's session: a typed object, kept by Streamlit and mirrored to the page's address.

The only module that touches `st.session_state` and `st.query_params`. A page reads fields and calls methods::

    session = state.session()
    loaded = cache.model(session.model_id)
    st.selectbox("Criterion", CRITERIA, **state.bind("criterion"))
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from pruning import MODELS, Recipe, Report
from pruning.device import choose, usual
from pruning.groups.choices import Choices
from pruning.recipe import Granularity, Scope
from pruning.recover.settings import Recovery
from ui import address, cache, draft, fitting, uploads
from ui.compress.decided import Decided, Steps
from ui.draft import Draft, History

DEFAULT_MODEL = "digits-resnet"
_SESSION = "pruning-session"
_WIDGET = "draft-"


@dataclass(frozen=True)
class Target:
    """What the last preset was asked for.

    Args:
        share: to be removed, in [0, 1].
        of: "parameters", "MACs" or "units".
        ratios: that came of it; once there are others, the preset is history.
    """

    share: float
    of: str
    ratios: Mapping[str, float]


@dataclass
class Session:
    """What one visitor looks at and has decided.

    Args:
        model: architecture name in `MODELS`.
        weights: digest of uploaded weights, or None for the built-in ones.
        device: name of the one that networks run on.
        history: the decisions and their undo and redo steps; read through the properties below.
        version: counts changes that did not come from a drag; a drag made against another version is stale.
        owner: token that finds this visitor's long work again, also after a refresh; "" until `claim`.
        note: one sentence to show until the next decision (an upload that is gone, a link that could not be
            read); a page that follows a measurement reruns by itself, which is no reason to drop it.
        problem: why the last upload was refused, in one sentence.
        recipe_problem: the same of the last recipe file.
        measured: what was last measured while editing; shown, marked as such, until the next figure is there.
        target: of the last preset.
        asked: which export was last measured for this session; the next one takes its place.
        recovery: settings of fine-tuning, without their recipe; None as long as nobody chose.
        packing: what is decided on the Compress page, with undo and redo; read through `decided`.
        run: id of the run that the Fine-tune or the Compress page shows; "" for none.
        picked: ids of the runs that are selected on the Compare page, in the order of their selection.
        picks: counts selections that were not made in the table of runs, which then begins anew.
        drawn: what `charts.show_live` has drawn last.
    """

    model: str = DEFAULT_MODEL
    weights: str | None = None
    device: str = field(default_factory=usual)
    history: History = field(default_factory=History)
    version: int = 0
    owner: str = ""
    note: str = ""
    problem: str = ""
    recipe_problem: str = ""
    measured: Report | None = None
    target: Target | None = None
    asked: str = ""
    recovery: Recovery | None = None
    packing: Steps = field(default_factory=Steps)
    run: str = ""
    picked: tuple[str, ...] = ()
    picks: int = 0
    drawn: dict[str, list[Any]] = field(default_factory=dict)

    # What pages read

    @property
    def model_id(self) -> str:
        """Key of this model, its weights and its device in `ui.cache`."""
        return uploads.model_id(self.model, self.weights, self.device)

    @property
    def draft(self) -> Draft:
        return self.history.now

    @property
    def granularity(self) -> Granularity:
        return self.draft.granularity

    @property
    def criterion(self) -> str:
        return self.draft.criterion

    @property
    def scope(self) -> Scope:
        return self.draft.scope

    @property
    def multiple_of(self) -> int:
        return self.draft.multiple_of

    @property
    def seed(self) -> int:
        return self.draft.seed

    @property
    def choices(self) -> Choices:
        """How the groups are found that channels are pruned by."""
        return self.draft.choices

    @property
    def how(self) -> tuple[Granularity, str, int, Choices]:
        """What scores and scans depend on: granularity, criterion, seed, choices."""
        return self.granularity, self.criterion, self.seed, self.choices

    @property
    def ratios(self) -> Mapping[str, float]:
        """Key -> pruning ratio; keys that stay whole are absent."""
        return self.draft.ratios

    @property
    def locked(self) -> frozenset[str]:
        return self.draft.locked

    @property
    def recipe(self) -> Recipe:
        return self.recipe_of(self.ratios)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that a ratio can be given for, in the network's order."""
        return cache.keys(self.model_id, self.granularity, self.choices)

    @property
    def whole(self) -> Mapping[str, str]:
        """Keys that the criterion cannot rank and that therefore stay whole -> the reason; usually none."""
        return cache.unscorable(self.model_id, self.granularity, self.criterion, self.choices)

    @property
    def free(self) -> tuple[str, ...]:
        """The keys that a preset may change: neither locked nor without a score."""
        return tuple(key for key in self.keys if key not in self.locked and key not in self.whole)

    @property
    def can_undo(self) -> bool:
        return bool(self.history.past or self.history.held)

    @property
    def can_redo(self) -> bool:
        return bool(self.history.future)

    def recipe_of(self, ratios: Mapping[str, float]) -> Recipe:
        """The recipe that these ratios would make; what the criterion cannot rank stays whole."""
        kept = {key: ratio for key, ratio in ratios.items() if key not in self.whole}
        return replace(self.draft, ratios=kept).recipe(self.model)

    # What pages change

    def choose_model(self, model: str, weights: str | None = None) -> None:
        """Turn to another network (or other weights of it); decisions about the last one are dropped."""
        if (model, weights) == (self.model, self.weights):
            return
        MODELS[model]
        kept = Draft() if model != self.model else self.draft
        if model != self.model:
            self.recovery = None
        self.packing = Steps()
        self.model, self.weights, self.problem, self.measured = model, weights, "", None
        self.run = ""
        self._settle(History(kept))

    def choose_device(self, name: str) -> None:
        """Go on elsewhere with the same decisions; what was measured here stays here."""
        self.device, self.measured = name, None
        self._settle(self.history)

    def set(self, **decisions: Any) -> None:
        """Change decisions by name, as one undo step; other keys start without ratios and locks."""
        ratios = decisions.get("ratios", self.ratios)
        after = replace(draft.with_ratios(self.draft, ratios), **decisions)
        if (after.granularity, after.choices) != (self.granularity, self.choices):
            fresh: dict[str, Any] = {"ratios": {}, "locked": frozenset(), "removed": {}}
            after = replace(after, **{name: decisions.get(name, empty) for name, empty in fresh.items()})
        self._settle(draft.change(self.history, after))

    def set_ratios(self, ratios: Mapping[str, float]) -> None:
        """Replace all ratios (a preset, a pasted table), as one undo step."""
        self.set(ratios=draft.clean(ratios))

    def drag(self, ratios: Mapping[str, float], *, final: bool) -> None:
        """Take ratios from the drag component; the whole gesture becomes one undo step at `final`."""
        after = draft.with_ratios(self.draft, ratios, self.history.held)
        self.note = ""
        self.history = (draft.change if final else draft.hold)(self.history, after)
        if final:
            self.save_address()

    def switch(self, units: Mapping[str, tuple[int, ...]]) -> None:
        """Switch off these units by hand, and no others of their groups; one undo step, like a drag.

        Args:
            units: group id -> numbers of units, ascending. What a group cannot spare is left out.
        """
        groups = cache.structure(self.model_id, self.choices).by_id
        good = {
            key: gone for key, gone in units.items() if key in groups and fitting.spares(groups[key], gone)
        }
        sizes = {key: groups[key].size for key in good}
        self.note = ""
        self.history = draft.change(self.history, draft.with_units(self.draft, good, sizes))
        self.save_address()

    def lock(self, changes: Mapping[str, bool]) -> None:
        """Keep keys out of presets and group moves, or let them in again; the board's own doing, like a drag:
        a drag that began before the lock arrived still counts."""
        opened = {key for key, locked in changes.items() if not locked}
        after = replace(self.draft, locked=(self.locked | changes.keys()) - opened)
        self.history = draft.change(self.history, after)
        self.save_address()

    def undo(self) -> None:
        self._settle(draft.undo(self.history))

    def redo(self) -> None:
        self._settle(draft.redo(self.history))

    def load_recipe(self, recipe: Recipe) -> None:
        """Take over a recipe that fits this model, as one undo step.

        Raises:
            ValueError: if it mixes granularities or criteria, or names parts that this model does not have.
        """
        self.set(**fitting.decisions(recipe, self.model_id))

    def choose_recovery(self, recovery: Recovery, *, anew: bool = False) -> None:
        """Other settings of fine-tuning, without a recipe; `anew` if not one of their own widgets says so."""
        self.recovery, self.note = recovery, ""
        self.version += anew
        self.save_address()

    @property
    def decided(self) -> Decided:
        """What is decided on the Compress page."""
        return self.packing.now

    def look_at(self, run: str) -> None:
        """Show this run on the Fine-tune page; "" for none."""
        self.run, self.note = run, ""
        self.save_address()

    def pick(self, picked: Iterable[str], *, in_table: bool = False) -> None:
        """Select these runs, and no others, for comparing."""
        self.picked, self.note = tuple(dict.fromkeys(picked)), ""
        self.picks += not in_table
        self.save_address()

    def claim(self) -> str:
        """This visitor's owner token, made at the first call and kept in the address from then on."""
        if not self.owner:
            self.owner = secrets.token_urlsafe(12)
            self.save_address()
        return self.owner

    def save_address(self) -> None:
        """Write the session into the page's address, unless it stands there already."""
        keys = self.keys if self.ratios or self.locked else ()
        device = "" if self.device == usual() else self.device
        decided = self.model, self.weights, self.draft, keys
        wanted = address.write(
            *decided, self.owner, device, self.recovery, self.run, self.picked, self.decided
        )
        for name in address.NAMES:
            if st.query_params.get(name) != wanted.get(name):
                if name in wanted:
                    st.query_params[name] = wanted[name]
                else:
                    del st.query_params[name]

    def _settle(self, history: History) -> None:
        self.history, self.note = history, ""
        self.version += 1
        self.save_address()


def session() -> Session:
    """This visitor's session; the first call reads it from the page's address."""
    if _SESSION not in st.session_state:
        st.session_state[_SESSION] = _restore(address.parse(st.query_params))
    return st.session_state[_SESSION]


def booted() -> bool:
    """Whether app.py has run in this session; not so on a deep link right after the server's start."""
    return "pruning-booted" in st.session_state


def mark_booted() -> None:
    st.session_state["pruning-booted"] = True


def bind(name: str) -> dict[str, Any]:
    """Key and callback that tie a widget to the decision of that name in both directions."""

    def take() -> None:
        chosen = value(_WIDGET + name)
        if chosen is not None:  # an emptied field or an unpressed segment decides nothing
            session().set(**{name: chosen})

    return tie(_WIDGET + name, getattr(session().draft, name), take)


def tie(key: str, shown: Any, on_change: Callable[[], None]) -> dict[str, Any]:
    """Key and callback of a widget that always shows `shown`; the callback must change what `shown` is."""
    st.session_state[key] = shown
    return {"key": key, "on_change": on_change}


def value(key: str, default: Any = None) -> Any:
    """What the widget (or component) with this key holds, for use in a callback."""
    return st.session_state.get(key, default)


def put(key: str, chosen: Any) -> None:
    """Give the widget with this key another value, from a callback of a second one."""
    st.session_state[key] = chosen


def asked(name: str) -> str | None:
    """What the page's address says for a widget; Streamlit drops what is not among its options."""
    return st.query_params.get(name)


def _restore(found: address.Address) -> Session:
    """A session as the address describes it, as far as that can be had."""
    restored = Session(owner=found.owner, recovery=found.recovery, run=found.run, picked=found.picked)
    restored.packing = Steps(found.decided or Decided())
    if found.model in MODELS:
        restored.model = str(found.model)
    elif found.model:
        restored.note = f"This link names an unknown model; {MODELS[DEFAULT_MODEL].label} is shown instead."
    if found.weights:
        try:
            cache.model(uploads.model_id(restored.model, found.weights))
            restored.weights = found.weights
        except ValueError as error:  # gone from the disk, or damaged on it
            restored.note = str(error)
    if found.device:
        try:
            restored.device = str(choose(found.device))
        except ValueError as error:  # of another machine
            restored.note = str(error)
    now = found.draft
    if now != Draft() and not cache.criterion_fits(now.criterion, now.granularity):
        now = Draft()
    if found.packed:
        opened = fitting.opened(found, now, restored.model_id)
        if opened:
            now = opened
        else:
            restored.note = restored.note or (
                "The ratios in this link are of another network, or the link is damaged; none are set."
            )
    restored.history = History(now)
    return restored
