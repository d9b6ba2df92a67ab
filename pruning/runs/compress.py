"""A compression as a run: stage after stage, epochs to the history, the small file into the folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pruning.checkpoint import SelfCheck, loading_code, save_checkpoint, self_check
from pruning.checkpoint.code import reader_code
from pruning.checkpoint.write import write_atomically
from pruning.compare import answers
from pruning.compress.begin import begun
from pruning.compress.run import Compressed, compress
from pruning.compress.settings import Compression
from pruning.compress.stages import Stage
from pruning.cost import CostModel
from pruning.evaluate import Report
from pruning.groups import find_structure
from pruning.history import Figures, Measured, Size
from pruning.history.figures import confusion_of
from pruning.models import LoadedModel
from pruning.recover.record import Epoch
from pruning.runs.finetune import STATE, load
from pruning.runs.leave import CHECKED_IMAGES, CODE, RECIPE
from pruning.runs.measure import report
from pruning.runs.submit import PRUNED, SETTINGS
from pruning.runs.work import Job
from pruning.tasks import Task

STAGES, CENTROIDS, READER = "stages.json", "centroids.npz", "reader.py"
MOST_FRAMES = 100  # epochs whose centroids are kept


def compress_run(job: Job) -> None:
    """Do a run of kind "compression"."""
    control = job.control
    control.phase("loading")
    settings = Compression.from_json(job.settings)
    loaded, task = load(job)
    begin = begun(loaded, job.folder / PRUNED) if (job.folder / PRUNED).is_file() else None
    told = _Told(job, settings)
    found = compress(
        loaded.module,
        task,
        settings,
        example_inputs=loaded.example_inputs,
        folder=job.folder / STATE,
        on_stage=told.stage,
        on_epoch=told.epoch,
        on_step=told.step,
        stop=control.finish,
        begin=begin,
    )
    control.phase("measuring")
    tests = [report(module, task, "test", control.check) for module in (loaded.module, found.module)]
    answers.keep(job.folder, found.stages[-1].report, tests[1])
    check = _leave(job.folder, loaded, task, found, settings)
    figures = figures_of(loaded, found, (tests[0], tests[1]), len(task.classes), told.epochs)
    job.history.set_figures(job.run.id, figures.model_copy(update={"check": str(check)}))
    shutil.rmtree(job.folder / STATE, ignore_errors=True)


class _Told:
    """What the run says of itself while it works. Epochs of both trainings count on."""

    def __init__(self, job: Job, settings: Compression) -> None:
        self._job, self._settings = job, settings
        self._stages: list[dict[str, object]] = []
        self._before = 0  # epochs of earlier trainings
        self.epochs = 0
        self._training = ""

    def stage(self, stage: Stage) -> None:
        """A stage is done: its row is written, and what comes next is said."""
        self._stages.append(stage_row(stage))
        write_atomically(self._job.folder / STAGES, json.dumps(self._stages, indent=1).encode())
        wanted = self._settings
        if stage.name == "dense" and wanted.prune:
            self._job.control.phase("training")
        elif stage.name == "shared" and wanted.tune:
            self._job.control.phase("tuning")
        else:
            self._job.control.phase("sharing")

    def epoch(self, training: str, epoch: Epoch) -> None:
        """An epoch is done; the first of a later training is the state that it begins with."""
        if training != self._training:
            self._before = self.epochs + 1 if self._training else 0
            self._training = training
        self.epochs = self._before + epoch.number
        self._job.history.drop_epochs(self._job.run.id, after=self.epochs - 1)  # of an interrupted process
        self._job.history.add_epoch(self._job.run.id, epoch.model_copy(update={"number": self.epochs}))

    def step(self, done: int, total: int) -> None:
        """Before a step of a training."""
        wanted = self._settings.tune if self._training == "tuned" else self._settings.prune
        self._job.control.step(done, total, wanted.fit.batch_size if wanted else 0)


def stage_row(stage: Stage) -> dict[str, object]:
    """A stage as JSON has it: name, label, accuracy with its interval, and the bytes of its file."""
    measured = Measured.of(stage.report)
    return {
        "name": stage.name,
        "label": stage.label,
        **measured.model_dump(),
        **asdict(stage.size),
        "bytes": stage.size.total,
    }


def prz_name(model: str) -> str:
    """Name of the small file."""
    return f"{model}-compressed.prz"


def tensors_name(model: str) -> str:
    """Name of the same network as plain tensors."""
    return f"{model}-compressed.safetensors"


def compressed_files(folder: Path, model: str) -> list[Path]:
    """Files to take home that are there."""
    names = (prz_name(model), tensors_name(model), RECIPE, SETTINGS, STAGES, CODE, READER)
    return [folder / name for name in names if (folder / name).is_file()]


def read_stages(folder: Path) -> list[dict[str, Any]]:
    """The stages that a run has done so far, as `stage_row`; none if there are none to read."""
    try:
        found = json.loads((folder / STAGES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def read_centroids(folder: Path) -> dict[str, np.ndarray]:
    """Layer -> (epochs, k) where its centroids were; none if no clusters were trained."""
    try:
        with np.load(folder / CENTROIDS, allow_pickle=False) as found:
            names = json.loads(str(found["names"]))
            return {name: found[f"layer{number}"] for number, name in enumerate(names)}
    except (OSError, ValueError, KeyError):
        return {}


def _keep_centroids(folder: Path, found: Compressed) -> None:
    if not found.centroids:
        return
    every = -(-len(found.centroids) // MOST_FRAMES)
    frames = found.centroids[::every]
    names = list(frames[0])
    arrays = {
        f"layer{number}": np.stack([frame[name].numpy() for frame in frames])
        for number, name in enumerate(names)
    }
    with (folder / CENTROIDS).open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, names=np.array(json.dumps(names)), **arrays)


def _leave(
    folder: Path, loaded: LoadedModel, task: Task, found: Compressed, settings: Compression
) -> SelfCheck:
    """Write everything that is to be taken home, and load the small file again to check it."""
    file = write_atomically(folder / prz_name(loaded.name), found.file)
    save_checkpoint(folder / tensors_name(loaded.name), found.module, found.plan, found.recipe)
    texts = {
        RECIPE: found.recipe.to_json() + "\n",
        CODE: loading_code(loaded.name, file.name),
        READER: reader_code(),
    }
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    _keep_centroids(folder, found)
    return self_check(file, found.module, task.test, limit=CHECKED_IMAGES, fresh_process=True)


def figures_of(
    loaded: LoadedModel, found: Compressed, tests: tuple[Report, Report], classes: int, epochs: int
) -> Figures:
    """What a compression comes to, as the history has it.

    Args:
        tests: of the dense and of the compressed network on test images.
        classes: of the task.
        epochs: of all trainings, those of the first counted from 0.
    """
    dense, small = _size(loaded, None), _size(loaded, found)
    validation = found.stages[-1].report
    return Figures(
        validation=Measured.of(validation),
        test=Measured.of(tests[1]),
        dense=Measured.of(found.stages[0].report),
        dense_test=Measured.of(tests[0]),
        size=small,
        dense_size=dense.model_copy(update={"file_bytes": found.stages[0].size.total}),
        sparsity=1 - small.nonzero / dense.parameters,
        removed={entry.key: 1 - entry.kept / entry.size for entry in found.plan.entries},
        confusion=confusion_of(validation, classes),
        test_confusion=confusion_of(tests[1], classes),
        epochs=epochs,
        ended="stopped" if found.stopped else "done",
    )


def _size(loaded: LoadedModel, found: Compressed | None) -> Size:
    """Counted on the network itself; the file is the small one."""
    module = found.module if found else loaded.module
    structure = find_structure(module, loaded.example_inputs)
    cost = CostModel(module, loaded.example_inputs, structure).dense
    nonzero = sum(int(parameter.count_nonzero()) for parameter in module.parameters())
    return Size(
        parameters=cost.parameters,
        nonzero=nonzero if found else cost.parameters,
        macs=cost.macs,
        file_bytes=len(found.file) if found else None,
    )
