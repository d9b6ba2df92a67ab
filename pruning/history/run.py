"""One row of the history: what a run is about, how it stands, and what was measured."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pruning.history.figures import Figures

Kind = Literal["evaluation", "scan", "fine-tuning", "export", "study", "compression"]
RunState = Literal["queued", "running", "paused", "interrupted", "done", "failed", "cancelled"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STATES: tuple[RunState, ...] = get_args(RunState)
BUSY: tuple[RunState, ...] = ("queued", "running", "paused")
ENDED: tuple[RunState, ...] = ("done", "failed", "cancelled")  # an interrupted run may go on

SHORT, TITLE, NOTE = 64, 200, 4000  # most characters that are kept


def clean(text: object, most: int) -> str:
    """A text as it is kept: cut to so many characters, what cannot be printed replaced.

    Names of layers and files, and whatever somebody types, may hold anything: zero bytes and lone
    surrogates, which databases refuse, and marks that turn the direction of what follows.
    """
    cut = str(text)[:most]
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in cut)


Short = Annotated[str, BeforeValidator(partial(clean, most=SHORT))]
Title = Annotated[str, BeforeValidator(partial(clean, most=TITLE))]
Note = Annotated[str, BeforeValidator(partial(clean, most=NOTE))]


class About(BaseModel):
    """What is known of a run before it begins. Texts that are too long are cut.

    Args:
        kind: what sort of work it is.
        title: for the screen, in a few words.
        owner: token of the visitor who asked for it.
        model: name of the architecture.
        weights: `weights_digest` of the dense network.
        device: that it runs on, as `pruning.device.choose` takes it.
        task: name of the data.
        split: images that an evaluation or scan is about.
        digest: of all settings; the recipe's own where nothing but a recipe decides.
        study: id of the study that this run is a cell of; None = it stands for itself.
        criterion, granularity, schedule: names where one holds for the whole run, "mixed" where several do.
        ratio: share that the recipe asks to be removed, in [0, 1], where one holds for the whole run.
        seed: of the run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    title: Title = ""
    owner: Short = ""
    model: Short = ""
    weights: Short = ""
    device: Short = ""
    task: Short = ""
    split: Short = ""
    digest: Short = ""
    study: Short | None = None
    criterion: Short = ""
    granularity: Short = ""
    schedule: Short = ""
    ratio: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class Run(About):
    """One row.

    Args:
        id: 12 hexadecimal digits.
        state: how it stands; those in `BUSY` may still change by themselves.
        created: when it was asked for first; all times are UTC.
        queued: when it was last put into the queue; what waits longest is next.
        started, ended: of the work, None before.
        error: one sentence, if it failed or was interrupted.
        starred: whether somebody wants it kept.
        name, note: that somebody gave it.
        figures: what was measured, also while it still runs.
    """

    id: str
    state: RunState
    created: datetime
    queued: datetime
    started: datetime | None = None
    ended: datetime | None = None
    error: Title = ""
    starred: bool = False
    name: Title = ""
    note: Note = ""
    figures: Figures = Figures()

    @property
    def busy(self) -> bool:
        """Whether it waits, works or is held: the time to poll."""
        return self.state in BUSY

    @property
    def called(self) -> str:
        """What to call it on a screen: the name that somebody gave it, else its title, else its kind."""
        return self.name or self.title or self.kind
