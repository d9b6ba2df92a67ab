"""What the Export page measures in the background: the file loaded again, test accuracy, latency."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from pruning import MissingData, Recipe, Report, Timing, store
from pruning.checkpoint import Form, SelfCheck, check_batches, load_checkpoint, program_of, self_check
from pruning.evaluate import evaluate_batches
from pruning.tasks import Split, Task
from ui import cache, latencies, record
from ui.jobs import Job
from ui.state import Session

KIND, FRESH, PROGRAM = "export", "export-fresh", "export-program"  # of the jobs
BATCH = 96  # images from one look at Cancel to the next
LATENCY_MACS = 5e10  # what two cores multiply in the time that a latency takes, for the progress bar
STAGES = {
    "write": "written",
    "load": "loaded again",
    "dense": "dense network",
    "pruned": "pruned network",
    "latency": "latency",
}


@dataclass(frozen=True)
class Choice:
    """Which file is exported.

    Args:
        model_id: as in `ui.cache`.
        recipe: what was decided.
        form: how masked tensors are stored.
    """

    model_id: str
    recipe: Recipe
    form: Form

    @property
    def test(self) -> Split | None:
        """The images to measure on; None without data."""
        try:
            return cache.task(self.model_id).test
        except MissingData:
            return None

    @property
    def untouched(self) -> bool:
        """Whether the recipe leaves the network as it is."""
        entries = cache.plan(self.model_id, self.recipe).entries
        return all(entry.kept == entry.size for entry in entries)

    @property
    def key(self) -> str:
        """Name of this measurement: what it is made of, never who asked."""
        images = 0 if self.test is None else len(self.test)
        return store.digest(cache.weights_digest(self.model_id), self.recipe.digest, self.form, images)


@dataclass(frozen=True)
class Measured:
    """What is known of an export; None where it was not measured.

    Args:
        dense, pruned: accuracy on all test images, the second of the network as it came out of the file.
        check: of the file.
        timing: latency of the pruned network.
    """

    dense: Report | None = None
    pruned: Report | None = None
    check: SelfCheck | None = None
    timing: Timing | None = None


@dataclass(frozen=True)
class Step:
    """Where a measurement stands, one of a job's parts.

    Args:
        stage: key in STAGES.
        stages: all that this measurement has, in order.
        said: how far this stage came, in words; "" if there is nothing to say.
    """

    stage: str
    stages: tuple[str, ...]
    said: str = ""


@dataclass(frozen=True)
class Found:
    """What there is to show.

    Args:
        measured: so far; only whole figures.
        job: the work, None if it was never asked of this server.
        fresh: the same of the check in a fresh process.
        program: the same of the `.pt2`.
    """

    measured: Measured
    job: Job | None
    fresh: Job | None
    program: Job | None

    @property
    def busy(self) -> bool:
        return self.job is not None and self.job.busy

    @property
    def checking(self) -> bool:
        """Whether a fresh process is at work."""
        return self.fresh is not None and self.fresh.busy

    @property
    def writing(self) -> bool:
        """Whether the `.pt2` is still to come."""
        return self.program is not None and self.program.busy

    @property
    def program_file(self) -> bytes | None:
        """The `.pt2`, once it is written."""
        return self.program.result if self.program is not None and self.program.state == "done" else None

    @property
    def state(self) -> tuple[bool, ...]:
        """What is under way: when this changes, the page has something else to show."""
        return self.busy, self.checking, self.writing

    @property
    def done(self) -> bool:
        return self.job is not None and self.job.state == "done"


def find(choice: Choice) -> Found:
    """The measurement of this file: under way, finished, stopped or not begun."""
    job, fresh = cache.jobs().get(KIND, choice.key), cache.jobs().get(FRESH, choice.key)
    measured = job.result if job is not None and job.result is not None else Measured()
    if fresh is not None and fresh.state == "done":
        measured = replace(measured, check=fresh.result)
    return Found(measured, job, fresh, cache.jobs().get(PROGRAM, choice.key))


def begin(session: Session, choice: Choice) -> Found:
    """Start by itself what is not known yet, once for each look of a visitor; give up what he turned from.

    What this visitor has stopped, or what has failed, waits for a click.
    """
    found = find(choice)
    settled = found.job is not None and (
        found.job.state in ("done", "failed")
        or (found.job.state == "cancelled" and session.owner in found.job.owners)
        or (found.busy and session.asked == choice.key)
    )
    if not settled:
        start(session, choice)
    elif session.asked != choice.key:
        _turn_to(session, choice.key)
    _follow_with_program(session, choice, find(choice))
    return find(choice)


def start(session: Session, choice: Choice, *, anew: bool = False) -> Job:
    """Measure, or share the work of whoever measures the same already, or (unless anew) has measured it."""
    _turn_to(session, choice.key)
    stages = _stages(choice)
    names = ("write", *(stage.name for stage in stages))
    total = round(sum(stage.macs for stage in stages))
    keep = record.export(choice)

    def work(job: Job) -> Measured:
        measured, before = Measured(), 0.0
        for stage in stages:
            job.add(Step(stage.name, names))
            figures: dict[str, Any] = {}
            for share, said, latest in stage.steps():
                figures = latest
                job.add(Step(stage.name, names, said))
                job.advance(round(before + share * stage.macs), total)
                if job.stop.is_set():
                    return measured
            measured, before = replace(measured, **figures), before + stage.macs
        keep(measured)
        return measured

    return cache.jobs().submit(session.claim(), KIND, choice.key, work, anew=anew)


def start_again(session: Session, choice: Choice) -> Job:
    """Measure a second time; the dense network's accuracy is the same as before, and kept."""
    latencies.forget(choice.model_id, choice.recipe)
    return start(session, choice, anew=True)


def start_fresh(session: Session, choice: Choice) -> Job:
    """Let a new Python process load the file and compare every output."""
    data, test = cache.exported(choice.model_id, choice.recipe, choice.form), choice.test
    small = cache.pruned(choice.model_id, choice.recipe)
    assert test is not None

    def work(_: Job) -> SelfCheck:
        return self_check(data, small, test, fresh_process=True)

    return cache.jobs().submit(session.claim(), FRESH, choice.key, work)


def _follow_with_program(session: Session, choice: Choice, found: Found) -> None:
    """Write the network as a `.pt2` after the measurement; whoever stops that stops this too."""
    program, stopped = found.program, found.job is not None and found.job.state == "cancelled"
    if stopped:
        if program is not None:
            cache.jobs().cancel(program, session.owner, forget=True)
        return
    if program is not None and not (program.busy and session.owner not in program.owners):
        return
    data = cache.exported(choice.model_id, choice.recipe, choice.form)
    cache.jobs().submit(session.claim(), PROGRAM, choice.key, lambda job: program_of(data, job.stop))


def _turn_to(session: Session, key: str) -> None:
    """Withdraw this visitor's wish for the measurement before: it was of a file that is no longer wanted."""
    for kind in (KIND, PROGRAM):
        before = cache.jobs().get(kind, session.asked)
        if before is not None and session.asked != key:
            cache.jobs().cancel(before, session.owner, forget=True)
    session.asked = key


Steps = Iterator[tuple[float, str, dict[str, Any]]]  # share done, in words, the figures (whole at the last)


@dataclass(frozen=True)
class _Stage:
    """A part of the work: its name, about how long it takes, and how it goes."""

    name: str
    macs: float
    steps: Callable[[], Steps]


def _stages(choice: Choice) -> list[_Stage]:
    """Everything to do, with all that the caches hold looked up: workers never ask them."""
    name, recipe, test = choice.model_id, choice.recipe, choice.test
    data, small = cache.exported(name, recipe, choice.form), cache.pruned(name, recipe)
    timing = latencies.known(name, recipe)
    measuring = latencies.measure(name, recipe, untouched=choice.untouched) if timing is None else None
    loaded: list[nn.Module] = []

    def load() -> Steps:
        loaded.append(load_checkpoint(data).module)
        yield 1.0, "", {}

    def latency() -> Steps:
        for turn, found in enumerate(measuring or [timing]):
            assert found is not None
            share = turn * latencies.SLICE_S / latencies.BUDGET_S
            yield min(1.0, share), f"{found.n:,} forward{'s' * (found.n != 1)}", {"timing": found}

    stages = [_Stage("load", 0.0, load)]
    if test is not None:
        costs = cache.cost_model(name, recipe.choices)
        task, reports = cache.task(name), cache.dense_reports(name)
        dense = cache.model(name).module
        kept = {key: int(keep.sum()) for key, keep in cache.plan(name, recipe).channels.items()}
        one = 0.0 if "test" in reports else costs.dense.macs * len(test)
        both = 2 * costs.cost(kept).macs * len(test)  # from memory and from the file
        stages.append(_Stage("dense", one, lambda: _dense(dense, task, reports)))
        stages.append(_Stage("pruned", both, lambda: _pruned(loaded[0], small, test)))
    return [*stages, _Stage("latency", LATENCY_MACS if timing is None else 0.0, latency)]


def _dense(module: nn.Module, task: Task, reports: dict[str, Report]) -> Steps:
    known = reports.get("test")
    for report in [known] if known else evaluate_batches(module, task, "test", batch_size=BATCH):
        if report.complete:
            reports["test"] = report
        yield report.n / report.total, _images(report), {"dense": report}


def _pruned(loaded: nn.Module, small: nn.Module, test: Split) -> Steps:
    for report, check in check_batches(loaded, small, test, batch_size=BATCH):
        yield report.n / report.total, _images(report), {"pruned": report, "check": check}


def _images(report: Report) -> str:
    return f"{report.n:,} of {report.total:,} test images"
