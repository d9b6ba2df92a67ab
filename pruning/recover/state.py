"""What an interrupted run needs to go on: one file, written whole after each epoch, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pruning.plan import Plan, PlanEntry
from pruning.recover.optimise import like
from pruning.recover.record import Epoch
from pruning.recover.trainee import Trainee
from pruning.store import write_whole

FILE = "state.safetensors"
FORMAT = 1


@dataclass
class Progress:
    """How far a run came, apart from the network in training.

    Args:
        epochs: their records; the first is the state before the first step.
        best: number of the best epoch with the whole recipe, None before there is one.
        best_values: parameters and buffers then.
        best_keep: masks of its plan, which differ from the last ones where weights grow back.
        waited: recovering epochs since then.
        done: updates of the ratios done.
        rewound: parameters and buffers that weights go back to.
    """

    epochs: list[Epoch]
    best: int | None
    best_values: dict[str, Tensor]
    best_keep: dict[str, Tensor]
    waited: int
    done: int
    rewound: dict[str, Tensor]


def keep_state(
    folder: Path, name: str, trainee: Trainee, progress: Progress, scale: Mapping[str, Any]
) -> None:
    """Write the state of a run after an epoch.

    Args:
        folder: exists.
        name: digest of all that decides the run.
        trainee: the network in training.
        progress: how far the run came.
        scale: state of the gradient scaler, numbers only; empty without one.
    Raises:
        OSError: if the disk does not take it; the state before stays.
    """
    plan, kept = trainee.plan, trainee.optimizer.state_dict()["state"]
    tensors = {
        **_under("module", trainee.module.state_dict()),
        **_under("best", progress.best_values),
        **_under("best_keep", progress.best_keep),
        **_under("rewound", progress.rewound),
        **_under("keep", plan.keep if plan else {}),
        **_under("movement", trainee.movement.scores if trainee.movement else {}),
        **_under("regressor", trainee.teacher.regressors.state_dict() if trainee.teacher else {}),
        **_under(
            "optimizer", {f"{i}/{key}": torch.as_tensor(v) for i, s in kept.items() for key, v in s.items()}
        ),
    }
    about = {
        "format": FORMAT,
        "name": name,
        "epochs": [epoch.model_dump() for epoch in progress.epochs],
        "best": progress.best,
        "waited": progress.waited,
        "done": progress.done,
        "progress": trainee.progress,
        "small": trainee.small,
        "moved": trainee.movement.steps if trainee.movement else 0,
        "entries": [asdict(entry) for entry in plan.entries] if plan else None,
        "blocks": [block.id for block in plan.blocks] if plan else [],
        "model": plan.model if plan else None,
        "scale": dict(scale),
    }
    write_whole(folder / FILE, save(tensors, {"run": json.dumps(about)}))


def find_state(folder: Path, name: str, trainee: Trainee) -> tuple[Progress, dict[str, Any]] | None:
    """Take up the state of the same run: changes the network in training to what it was.

    Args:
        folder: where `keep_state` wrote.
        name: as given there; another name is another run, whose state is left alone.
        trainee: fresh, of the same subject.
    Returns:
        How far the run came and the scaler's state; None if there is nothing of this run, or it is damaged.
    """
    read = _read(folder / FILE, name)
    if read is None:
        return None
    about, tensors = read
    subject = trainee.subject
    plan = None
    if about["entries"] is not None:
        dropped = tuple(subject.blocks.block(key) for key in about["blocks"]) if subject.blocks else ()
        entries = tuple(PlanEntry(**entry) for entry in about["entries"])
        keep = {entry.key: tensors["keep"][entry.key] for entry in entries}
        plan = Plan(keep, entries, subject.structure, about["model"], dropped)
    trainee.adopt(plan, about["small"], about["progress"])
    trainee.module.load_state_dict(tensors["module"])
    _load_optimizer(trainee.optimizer, tensors["optimizer"])
    if trainee.movement:
        trainee.movement.load(tensors["movement"], about["moved"])
    if trainee.teacher:
        trainee.teacher.regressors.load_state_dict(tensors["regressor"])
    progress = Progress(
        epochs=[Epoch.model_validate(epoch) for epoch in about["epochs"]],
        best=about["best"],
        best_values=tensors["best"],
        best_keep=tensors["best_keep"],
        waited=about["waited"],
        done=about["done"],
        rewound=tensors["rewound"],
    )
    return progress, about["scale"]


def _under(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Copies: tensors that share memory cannot be written, and order in memory is not kept.
    return {
        f"{part}/{name}": value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }


def _read(path: Path, name: str) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]] | None:
    parts = ("module", "best", "best_keep", "rewound", "keep", "movement", "regressor", "optimizer")
    tensors: dict[str, dict[str, Tensor]] = {part: {} for part in parts}
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["run"])
            if about["format"] != FORMAT or about["name"] != name:
                return None
            for key in file.keys():  # noqa: SIM118  # no mapping
                part, _, rest = key.partition("/")
                tensors[part][rest] = file.get_tensor(key)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    return about, tensors


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition("/")
        parameter = parameters[int(number)]
        same = value.shape == parameter.shape and key != "step"
        state.setdefault(int(number), {})[key] = like(parameter, value) if same else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
