"""What a study is to compare: the form, the number of runs, the time they will take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pruning import CRITERIA, MissingData
from pruning.recipe import Scope
from pruning.recover.settings import Recovery
from pruning.runs.study import CONTROL, MOST_CELLS, Cell, StudySettings, cells, fits
from ui import cache, runs, shell, state
from ui.finetune import choice, pace, presets
from ui.granularity import label, label_within, offered
from ui.sensitivity.status import duration
from ui.state import Session

if TYPE_CHECKING:
    from ui.jobs import Job

TABS_KEY, TAB = "compare-tabs", "Compare methods"  # where a study is shown
PERCENT = (30, 50, 70, 80, 90, 95)
USUAL_CRITERIA = ("l1", "taylor")
USUAL_PERCENT = (30, 50, 70, 90)
USUAL_SEEDS = 5
OWN = "own"
CELL_S = 1.4  # of a cell besides its evaluations and training: its latency is measured for one second
PROTOCOL = (
    "The protocol of Blalock et al. 2020, “What is the state of neural network pruning?” (arXiv:2003.03033): "
    "same network, same data, several ratios, several seeds, and random pruning as control."
)


def draw(session: Session) -> None:
    """The form, and Start."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        settings = _choose(session)
    with right:
        _start(session, settings)


def _choose(session: Session) -> StudySettings | None:
    """The chosen settings; None, with a sentence, if nothing can be made of them."""
    granularities = st.multiselect(
        "What is pruned",
        offered(session.model_id, "channel"),
        default=["channel"],
        format_func=label,
        key=f"study-granularities-{session.model}",
        help="Each criterion is tried with each of these. Of whole layers the ratio is the share that goes.",
    )
    fitting = [
        name for name in CRITERIA if name != CONTROL and any(fits(name, each) for each in granularities)
    ]
    criteria = st.multiselect(
        "Criteria",
        fitting,
        default=[name for name in USUAL_CRITERIA if name in fitting],
        format_func=lambda name: CRITERIA[name].label,
        key=f"study-criteria-{'-'.join(granularities)}",
        help="Random pruning is always there as control.\n\n"
        + "\n\n".join(f"**{CRITERIA[name].label}**: {CRITERIA[name].source}" for name in fitting),
    )
    percent = st.multiselect(
        "Ratios, % of every part",
        PERCENT,
        default=list(USUAL_PERCENT),
        key="study-ratios",
        accept_new_options=True,
        help="Type others. The share asked of each group, layer or kernel; what comes of it is counted.",
    )
    seeds, scope = _seeds_and_scope()
    recovery = _recovery(session)
    if not granularities or not criteria or not percent:
        st.caption("Choose at least one of each.")
        return None
    try:
        return StudySettings(
            model=session.model,
            criteria=tuple(criteria),
            granularities=tuple(granularities),
            ratios=tuple(sorted({_share(text) for text in percent})),
            seeds=tuple(range(seeds)),
            scope=scope,
            recovery=recovery,
        )
    except ValueError as error:
        st.error(shell.literal(_sentence(error)), icon=":material/error:")
        return None


def _seeds_and_scope() -> tuple[int, Scope]:
    """How often, and what is ranked against what."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seeds = st.number_input(
            "Seeds",
            1,
            32,
            USUAL_SEEDS,
            key="study-seeds",
            width=130,
            help="Random scores and fine-tuning are repeated so often; a criterion that draws nothing gives "
            "the same network each time and is measured once.",
        )
        scope = st.segmented_control(
            "Ranked",
            ["layer", "global"],
            default="layer",
            required=True,
            format_func={"layer": "Within each part", "global": "All together"}.__getitem__,
            key="study-scope",
            help="**All together**: parts compete and get ratios of their own; as much goes in all.",
        )
    return int(seeds), "global" if scope == "global" else "layer"


def _share(text: str | int) -> float:
    """Percent as somebody types it, as a share; raises ValueError with a sentence."""
    try:
        share = float(str(text).replace(",", ".").replace("%", "").strip()) / 100
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise ValueError(f"A ratio is a number between 0 and 100; {str(text)[:20]!r} is not.")
    return round(share, 6)


def _sentence(error: ValueError) -> str:
    """The first sentence of what is wrong, of ours or of the validation."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")


def _recovery(session: Session) -> Recovery | None:
    """How each cell is fine-tuned besides, or None."""
    norm = choice.has_norm(session)
    fitting = [name for name, preset in presets.PRESETS.items() if not presets.misfit(preset, norm)]
    options = ["", *([OWN] if session.recovery else []), *fitting]

    def named(name: str) -> str:
        if not name:
            return "None: only pruned"
        return "As set on the Fine-tune page" if name == OWN else presets.PRESETS[name].label

    sources = "\n\n".join(
        f"**{presets.PRESETS[name].label}**: {presets.PRESETS[name].source}" for name in fitting
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Fine-tuning",
            options,
            format_func=named,
            key="study-recovery",
            filter_mode=None,
            width=270,
            help=f"Every cell is measured without it, too.\n\n{sources}",
        )
        if not name:
            return None
        own = session.recovery if name == OWN else None
        found = own or presets.make(name, session.model)
        factor = st.segmented_control(
            "Epochs",
            [0.25, 0.5, 1.0],
            default=1.0,
            required=True,
            format_func=lambda share: f"{_scaled(found, share).epochs}",
            key=f"study-epochs-{name}-{session.model}",
            help="Of each cell, shared among its phases.",
        )
    return _scaled(found, factor or 1.0)


def _scaled(recovery: Recovery, factor: float) -> Recovery:
    """The same with a share of its epochs; a phase that has some keeps at least one."""
    steps = recovery.pruning
    phases = {
        name: max(1, round(factor * count)) if (count := getattr(steps, name)) else 0
        for name in ("stabilise", "prune", "recover")
    }
    if steps.rewind is not None:
        phases["rewind"] = min(steps.rewind, phases["stabilise"])
    return recovery.model_copy(update={"pruning": steps.model_copy(update=phases)})


def _start(session: Session, settings: StudySettings | None) -> None:
    """How many runs, how long, and the button."""
    st.markdown(PROTOCOL)
    if settings is None:
        return
    every = cells(settings)
    tuned = sum(cell.tuned for cell in every)
    many = f"**{len(every):,} runs**" + (f", {tuned:,} of them fine-tuned" if tuned else "")
    parts = " and ".join(map(label_within, settings.granularities))
    st.markdown(
        f"{many}: {len(settings.criteria)} criteria, random among them, at "
        f"{_counted(settings.ratios, 'ratio')} of {parts}, {_counted(settings.seeds, 'seed')}. "
        "What would be the same twice is measured once."
    )
    try:
        cache.task(session.model_id)
    except MissingData as error:
        st.info(shell.literal(str(error)), icon=":material/folder_off:")
        return
    job = pace.measure(session, settings.recovery or Recovery())
    if job is not None:
        wait = pace.POLL_S if job.busy else None
        st.fragment(_say, key="study-pace", run_every=wait)(session, settings, job, job.busy)
    st.button(
        "Start the study",
        type="primary",
        icon=":material/play_arrow:",
        key="study-start",
        on_click=_begin,
        args=(session, settings),
    )
    st.caption(f"It goes on without this page. At most {MOST_CELLS} runs.")


def _counted(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _begin(session: Session, settings: StudySettings) -> None:
    """Put the study into the queue, and turn to it."""
    try:
        loaded = cache.model(session.model_id)
        study = runs.dispatcher().submit(loaded, settings, owner=session.claim(), device=session.device)
    except ValueError as error:
        session.note = str(error)
        return
    session.pick([study])
    state.put(TABS_KEY, TAB)


def _say(session: Session, settings: StudySettings, job: Job, drawn_busy: bool) -> None:
    if job.busy:
        st.caption("Measuring the speed of a few steps ...")
        return
    if drawn_busy:
        st.rerun()  # which ends the polling
    guess = predict(session, settings, job)
    if guess is not None:
        st.markdown(f"About **{duration(guess.seconds)}** · predicted {guess.source}")


def predict(session: Session, settings: StudySettings, job: Job) -> pace.Guess | None:
    """By the time that steps and evaluations took just now."""
    if job.state != "done":
        return None
    task, found = cache.task(session.model_id), job.result
    evaluating = (len(task.validation) + len(task.test)) / found.evaluate
    epochs = settings.recovery.epochs if settings.recovery else 0
    seconds = sum(_cell_s(cell, evaluating, found.seconds(epochs, task)) for cell in cells(settings))
    return pace.Guess(seconds, f"from {found.steps} training steps and an evaluation measured just now")


def _cell_s(cell: Cell, evaluating: float, training: float) -> float:
    return CELL_S + evaluating + (training if cell.tuned else 0.0)
