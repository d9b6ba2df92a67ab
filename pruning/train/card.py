"""The model card: written by the training, from what it did and measured."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import date
from typing import Any

import torch
from torch import nn

from pruning.cost import CostModel
from pruning.evaluate import Report, evaluate
from pruning.models import MODELS
from pruning.models.loading import example_inputs
from pruning.tasks import TASKS, Task
from pruning.train.recipes import Training


def make_card(name: str, module: nn.Module, task: Task, training: Training, weights: bytes) -> dict[str, Any]:
    """Measure a trained network and describe it, as a dictionary that JSON can hold.

    Accuracy is in 0..1 with its 95 % Wilson interval; `macs` are multiply-accumulates of one image.

    Args:
        weights: the file that will be shipped.
    """
    spec, data = MODELS[name], TASKS[task.name]
    return {
        "name": name,
        "label": spec.label,
        "description": spec.description,
        "source": spec.source,
        "accuracy": {split: _measured(evaluate(module, task, split)) for split in ("validation", "test")},
        "parameters": sum(p.numel() for p in module.parameters()),
        "macs": CostModel(module, example_inputs(spec)).cost().macs,
        "bytes": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "training": asdict(training),
        "how": describe(training, task),
        "data": {
            "task": task.name,
            "source": data.source,
            "train": len(task.train),
            "calibration": len(task.calibration),
            "validation": len(task.validation),
            "test": len(task.test),
        },
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "licence": "Apache-2.0",
    }


def describe(training: Training, task: Task) -> str:
    """How it was trained, in plain sentences."""
    optimizer = {"sgd": "SGD with Nesterov momentum 0.9", "adamw": "AdamW"}[training.optimizer]
    changes = [
        f"moved by up to {training.shift:g} pixels" if training.shift else "",
        f"turned by up to {training.rotate:g} degrees" if training.rotate else "",
        f"scaled by up to {training.zoom:.0%}" if training.zoom else "",
        "mirrored half of the time" if training.flip else "",
    ]
    changed = ", ".join(filter(None, changes)) or "left as they are"
    smoothing = f", labels smoothed by {training.smoothing:g}" if training.smoothing else ""
    precision = "bfloat16 with float32 weights" if training.low_precision else "float32"
    return (
        f"{training.epochs} epochs on the {len(task.train):,} training images alone, "
        f"{training.batch_size} a step, {changed}. {optimizer}, learning rate {training.lr:g} after a "
        f"warm-up over {training.warmup:.0%} of the steps, then down to 0 along a cosine; weight decay "
        f"{training.weight_decay:g}{smoothing}; {precision}; seed {training.seed}. "
        "The weights are those after the last epoch; no validation or test image chose anything."
    )


def _measured(report: Report) -> dict[str, Any]:
    return {
        "accuracy": report.accuracy,
        "interval": list(report.interval),
        "correct": int(report.right.sum()),
        "n": report.n,
        "loss": report.loss,
    }
