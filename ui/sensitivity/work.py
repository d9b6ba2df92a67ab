"""The measuring itself: jobs that outlive the page, and their results found again, also after a restart."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pruning import Scan, store
from pruning.groups.choices import DEFAULT, Choices
from pruning.sensitivity import LatencyPoint, LatencyScan, iter_scan, latency_scan
from ui import cache, record, scans
from ui.jobs import Job
from ui.sensitivity.choice import Choice

AUTO_S = 6.0  # a scan that is guessed to take no longer starts by itself
SAVE_S = 5.0  # how often a scan under way is written to disk
POINT_S = {"Quick": 0.15, "Careful": 0.5, "Thorough": 1.5}  # seconds of measuring for one point of time


@dataclass(frozen=True)
class Found:
    """What there is to show.

    Args:
        scan: measured so far, None if nothing yet.
        job: the work on exactly this choice, None if it was never asked of this server.
        other: whether the scan is a kept one with other ratios or images than chosen.
    """

    scan: Scan | None
    job: Job | None
    other: bool = False

    @property
    def busy(self) -> bool:
        return self.job is not None and self.job.busy


def find(choice: Choice) -> Found:
    """The scan of this choice: under way, or kept, or else the latest one of its kind."""
    job = cache.jobs().get("scan", choice.digest)
    if job is not None and job.state == "done":
        return Found(job.result, job)
    if job is not None and job.busy and job.parts:
        return Found(_so_far(job), job)
    exact = store.find_scan(choice.digest) or (_so_far(job) if job is not None else None)
    if exact is not None:
        return Found(exact, job)
    how = choice.granularity, choice.criterion, choice.seed, choice.choices
    latest = scans.latest(choice.model_id, *how)
    return Found(latest, job, other=latest is not None)


def starts_by_itself(choice: Choice, found: Found) -> bool:
    """Whether nobody asked for this scan yet, and it is cheap."""
    untouched = found.job is None and (found.scan is None or found.other)
    return untouched and choice.guess_s(_reusable(choice, found)) <= AUTO_S


def start(choice: Choice, owner: str) -> Job:
    """Scan, or go on with a scan that was stopped."""
    loaded, task = cache.model(choice.model_id), cache.task(choice.model_id)
    structure = cache.structure(choice.model_id, choice.choices)
    weights, found = cache.weights_digest(choice.model_id), find(choice)
    known = found.scan if _reusable(choice, found) else None

    def work(job: Job) -> Scan:
        walk = iter_scan(
            loaded.module,
            task,
            choice.ratios,
            choice.granularity,
            choice.criterion,
            example_inputs=loaded.example_inputs,
            structure=structure,
            limit=choice.n,
            seed=choice.seed,
            known=known,
            precise=choice.precise,
            stop=job.stop,
        )
        before = walk.settled
        job.advance(0, walk.total - before)
        job.add(walk.scan())
        saved = time.monotonic()
        for point in walk:
            job.add(point)
            job.advance(walk.settled - before)
            if time.monotonic() - saved > SAVE_S:
                scans.keep(choice.model_id, weights, walk.scan())
                saved = time.monotonic()
        scans.keep(choice.model_id, weights, walk.scan())
        return walk.scan()

    return cache.jobs().submit(owner, "scan", choice.digest, work, label=choice.label)


@dataclass(frozen=True)
class TimeChoice:
    """What decides a measurement of time, on this machine.

    Args:
        model_id: as in `ui.cache`.
        ratios: ascending, in [0, 1].
        batch_size: images per forward.
        threads: torch's threads.
        point_s: seconds of measuring for each point.
        choices: how groups are found.
    """

    model_id: str
    ratios: tuple[float, ...]
    batch_size: int
    threads: int
    point_s: float
    choices: Choices = DEFAULT

    @property
    def digest(self) -> str:
        how = self.batch_size, self.threads, self.point_s
        choices = self.choices.heads, self.choices.norms
        network = cache.weights_digest(self.model_id)
        return store.digest(network, self.ratios, how, choices, store.machine())

    @property
    def points(self) -> int:
        """How many there are to measure."""
        groups = cache.structure(self.model_id, self.choices).groups
        return sum(group.size > group.minimum for group in groups) * len(self.ratios)


def find_time(choice: TimeChoice) -> tuple[tuple[LatencyPoint, ...], LatencyScan | None, Job | None]:
    """The points measured so far, the whole measurement if it is complete, and the job."""
    job = cache.jobs().get("latency-scan", choice.digest)
    if job is not None and job.state == "done":
        return job.result.points, job.result, job
    if job is not None and (job.busy or job.parts):
        return job.parts, None, job
    kept = store.find("latency-scans", choice.digest, LatencyScan.from_json)
    return (kept.points if kept else ()), kept, job


def start_time(choice: TimeChoice, owner: str) -> Job:
    """Measure how much time each group saves at each ratio."""
    loaded, structure = cache.model(choice.model_id), cache.structure(choice.model_id, choice.choices)
    digest, budget = choice.digest, choice.point_s * choice.points
    keep = record.time_scan(choice)

    def work(job: Job) -> LatencyScan:
        def took(point: LatencyPoint, done: int, total: int) -> None:
            job.add(point)
            job.advance(done, total)

        found = latency_scan(
            loaded.module,
            loaded.example_inputs,
            choice.ratios,
            structure=structure,
            batch_size=choice.batch_size,
            threads=choice.threads,
            budget_s=budget,
            on_point=took,
            stop=job.stop,
        )
        if found.complete:
            store.save("latency-scans", digest, found.to_json())
            keep(found)
        return found

    return cache.jobs().submit(owner, "latency-scan", digest, work, label="the time that each group saves")


def _so_far(job: Job) -> Scan | None:
    """The scan as far as a job came: its first part is the frame, the others are points, the newest last."""
    if not job.parts:
        return None
    frame, *points = job.parts
    about = {name: getattr(frame, name) for name in Scan.model_fields}
    newest = {(point.key, point.ratio): point for point in (*frame.points, *points)}
    return Scan(**{**about, "points": tuple(newest.values())})


def _reusable(choice: Choice, found: Found) -> int:
    """How many points of a kept scan need not be measured again."""
    if found.scan is None or found.scan.n != choice.n:
        return 0
    exact = choice.precise is None or found.scan.precise != choice.precise
    return sum(p.ratio in choice.ratios and (p.sample is None or not exact) for p in found.scan.points)
