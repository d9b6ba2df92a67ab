"""What pages measure goes into the history: evaluations, scans, exports. Pages never wait for it.

Everything is handed to one thread that writes; what cannot be written is said on the Compare page and costs
nothing else.
"""

from __future__ import annotations

import atexit
import json
import logging
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pruning.live import LiveEvaluator
from ui import cache, latencies, uploads
from ui.bounded import remember

if TYPE_CHECKING:
    from pruning import Scan
    from pruning.history import History
    from pruning.runs.about import Subject
    from pruning.sensitivity import LatencyScan
    from ui.export.work import Choice, Measured
    from ui.prune.facts import Facts
    from ui.sensitivity.work import TimeChoice
    from ui.state import Session

AT_EXIT_S = 5.0  # how long a server that ends waits for what is still to be written
TRIM_AFTER = 100  # writes
_MOST = 512  # evaluations that are remembered as written
_logger = logging.getLogger(__name__)
Write = Callable[["History"], object]


class Recorder:
    """Writes to the history, one after the other, in a thread of its own."""

    def __init__(self) -> None:
        self.problem = ""  # why the last write failed, a sentence
        self.written: dict[tuple[str, ...], None] = {}  # evaluations, the latest last
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._done = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, write: Write) -> None:
        """Write soon."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
                self._thread.start()
                atexit.register(self.close)
        self._queue.put(write)

    def flush(self, seconds: float = AT_EXIT_S) -> bool:
        """Wait until everything that was put is written; whether it is."""
        reached = threading.Event()
        self.put(lambda _: reached.set())
        return reached.wait(seconds)

    def close(self) -> None:
        """Write what is left, and end."""
        self._queue.put(None)
        if self._thread:
            self._thread.join(AT_EXIT_S)
        atexit.unregister(self.close)

    def _run(self) -> None:
        while (write := self._queue.get()) is not None:
            try:
                history = cache.history()
                write(history)
                self._done += 1
                if self._done % TRIM_AFTER == 0:
                    history.trim()
                self.problem = ""
            except (ValueError, OSError) as error:  # of the history: the page must not suffer
                self.problem = str(error)
                _logger.warning("Not kept in the history: %s", error)


_recorder = Recorder()


def problem() -> str:
    """Why the last figure could not be kept, a sentence; "" if all is well."""
    return _recorder.problem


def flush() -> bool:
    """Wait until everything measured so far is in the history."""
    return _recorder.flush()


def forget() -> None:
    """Runs were deleted: what is measured again is kept again."""
    _recorder.written.clear()


def evaluation(session: Session, now: Facts, evaluator: LiveEvaluator) -> None:
    """Keep what is decided on the Prune page once its accuracy is measured on all images.

    Not while a drag goes on, and not of the dense network. It is written once, and once more when its
    latency is known.
    """
    report, dense = evaluator.known(now.recipe), evaluator.known_dense
    if session.history.held is not None or now.untouched or report is None or dense is None:
        return
    model_id, recipe, plan = session.model_id, now.recipe, now.plan
    timing = latencies.known(model_id, recipe)
    name = (model_id, recipe.digest, "timed" if timing else "")
    if name in _recorder.written:
        return
    remember(_recorder.written, name, None, _MOST)
    weights, classes = cache.weights_digest(model_id), len(cache.task(model_id).classes)

    def write(history: History) -> None:
        from pruning.compare import answers
        from pruning.history import Figures, Measured, Size, Speed
        from pruning.history.figures import confusion_of
        from pruning.runs.about import about_recipe, removed_of

        figures = Figures(
            validation=Measured.of(report),
            dense=Measured.of(dense),
            size=Size.of(now.pruned, now.bytes),
            dense_size=Size.of(now.dense, now.dense_bytes),
            latency=Speed.of(timing) if timing else None,
            sparsity=now.removed,
            removed=removed_of(plan),
            confusion=confusion_of(report, classes),
        )
        about = about_recipe("evaluation", _subject(model_id, weights), recipe, "validation")
        kept = history.add(about, settings=recipe.to_json(), figures=figures)
        answers.keep(history.folder(kept), report)

    _recorder.put(write)


def scan(model_id: str, weights: str, found: Scan) -> None:
    """Keep a complete scan. May be called by a worker."""

    def write(history: History) -> None:
        from pruning.runs.about import keep_scan

        keep_scan(history, _subject(model_id, weights), found)

    _recorder.put(write)


def time_scan(choice: TimeChoice) -> Callable[[LatencyScan], None]:
    """What keeps a complete measurement of the time that groups save, called by a worker."""
    model_id, name = choice.model_id, choice.digest
    weights, model = cache.weights_digest(model_id), uploads.split_id(model_id)[0]

    def keep(found: LatencyScan) -> None:
        def write(history: History) -> None:
            from pruning.history import About, Figures

            points = len(found.points)
            about = About(
                kind="scan",
                title=f"Time that each of {len(found.keys):,} groups saves",
                model=model,
                weights=weights,
                device=uploads.device_in(model_id),
                digest=name,
                granularity="channel",
            )
            settings = found.model_dump(include={"batch_size", "threads", "ratios"})
            figures = Figures(points=points, total=points)
            history.add(about, settings=json.dumps(settings, indent=2), figures=figures, same=f"time {name}")

        _recorder.put(write)

    return keep


def export(choice: Choice) -> Callable[[Measured], None]:
    """What keeps an export as soon as it is measured, called by a worker: caches are asked now."""
    model_id, recipe = choice.model_id, choice.recipe
    data, plan = cache.exported(model_id, recipe, choice.form), cache.plan(model_id, recipe)
    costs, weights = cache.cost_model(model_id, recipe.choices), cache.weights_digest(model_id)
    module, untouched, key = cache.model(model_id).module, choice.untouched, choice.key
    classes = len(cache.task(model_id).classes) if choice.test else 0

    def keep(measured: Measured) -> None:
        if untouched:
            return

        def write(history: History) -> None:
            from pruning.checkpoint import dense_size
            from pruning.compare import answers
            from pruning.history import Figures, Size, Speed
            from pruning.history import Measured as Kept
            from pruning.history.figures import confusion_of
            from pruning.runs.about import about_recipe, removed_of

            size, test = costs.of_plan(plan), measured.pruned
            figures = Figures(
                test=Kept.of(test) if test else None,
                dense_test=Kept.of(measured.dense) if measured.dense else None,
                size=Size.of(size, len(data)),
                dense_size=Size.of(costs.dense, dense_size(module)),
                latency=Speed.of(measured.timing) if measured.timing else None,
                sparsity=1 - size.nonzero / costs.dense.parameters,
                removed=removed_of(plan),
                test_confusion=confusion_of(test, classes) if test else (),
            )
            about = about_recipe("export", _subject(model_id, weights), recipe, "test")
            kept = history.add(about, settings=recipe.to_json(), figures=figures, same=f"export {key}")
            if test:
                answers.keep(history.folder(kept), test)

        _recorder.put(write)

    return keep


def _subject(model_id: str, weights: str) -> Subject:
    from pruning.runs.about import Subject

    return Subject(uploads.split_id(model_id)[0], weights, uploads.device_in(model_id))
