"""The flags of `finetune`: each sets one field of a run's settings."""

from __future__ import annotations

import argparse
import json
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from pruning.recover.optimise import LR_SCHEDULES
from pruning.recover.regularise import REGULARISERS
from pruning.recover.schedules import SCHEDULES
from pruning.recover.settings import Recovery, Teach


@dataclass(frozen=True)
class Flag:
    """One flag.

    Args:
        name: without dashes; "-" where the field has "_".
        part: of the settings that the field is in.
        field: its name.
        help: what it does; the usual value is added.
        type: of the value; bool for a flag without one.
        choices: the values, if they have names.
        const: the value of the flag alone; None if one has to be given.
    """

    name: str
    part: str
    field: str
    help: str
    type: type = str
    choices: tuple[str, ...] | None = None
    const: float | None = None


FLAGS = (
    Flag("schedule", "pruning", "schedule", "how ratios rise", choices=tuple(SCHEDULES)),
    Flag("stabilise", "pruning", "stabilise", "epochs of training before anything is pruned", int),
    Flag("prune", "pruning", "prune", "epochs over which the ratios rise", int),
    Flag("recover", "pruning", "recover", "epochs of training afterwards", int),
    Flag("updates", "pruning", "updates", "how often ratios rise in an epoch", int),
    Flag("rounds", "pruning", "rounds", "prunings of the iterative schedule", int),
    Flag("choose", "pruning", "choose", "what ranks", choices=("criterion", "movement")),
    Flag("regrow", "pruning", "regrow", "share of kept weights exchanged at an update (RigL)", float),
    Flag("rewind", "pruning", "rewind", "go back to the weights of this epoch after each pruning", int),
    Flag("start", "pruning", "start", "weights to begin with", choices=("trained", "initial")),
    Flag("optimizer", "fit", "optimizer", "how weights are trained", choices=("sgd", "adamw")),
    Flag("lr", "fit", "lr", "the highest learning rate", float),
    Flag("lr-schedule", "fit", "lr_schedule", "how the rate goes", choices=tuple(LR_SCHEDULES)),
    Flag("warmup", "fit", "warmup", "share of all steps in which the rate rises from 0", float),
    Flag("weight-decay", "fit", "weight_decay", "of weight matrices and kernels", float),
    Flag("batch-size", "fit", "batch_size", "images a step", int),
    Flag("smoothing", "fit", "smoothing", "of the labels", float),
    Flag("shift", "fit", "shift", "move images by up to this many pixels", float),
    Flag("rotate", "fit", "rotate", "turn images by up to this many degrees", float),
    Flag("zoom", "fit", "zoom", "scale images by up to this share", float),
    Flag("flip", "fit", "flip", "mirror half of the images", bool),
    Flag("clip", "fit", "clip", "largest norm of the gradient", float),
    Flag("precision", "fit", "precision", "of products", choices=("float32", "bfloat16", "float16")),
    Flag("patience", "fit", "patience", "recovering epochs without a better one that end the run", int),
    Flag("distill", "teach", "weight", "share of the loss that the dense network teaches", float, const=0.5),
    Flag("temperature", "teach", "temperature", "that softens what it teaches", float),
    Flag("hints", "teach", "hints", "factor of the loss of features", float, const=1.0),
    Flag("regularise", "regularise", "name", "penalty until all is pruned", choices=tuple(REGULARISERS)),
    Flag("strength", "regularise", "strength", "of the penalty (default: the usual one of each)", float),
)
NO_TEACHER = Teach(weight=0.0).model_dump(mode="json")  # who asks for hints alone asks for no distillation


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Put all of them on a command; those that are not given leave no trace in the arguments."""
    usual = Recovery().model_dump()
    group = parser.add_argument_group("settings of the run, instead of or on top of --settings")
    for flag in FLAGS:
        default = (usual[flag.part] or {}).get(flag.field)
        told = f"{flag.help} (default: {default})" if default not in (None, False) else flag.help
        more: dict[str, Any] = {"action": "store_true"}
        if flag.type is not bool:
            more = {"type": flag.type, "choices": flag.choices}
            more |= {"metavar": "N" if flag.type is int else "X"} if flag.choices is None else {}
            more |= {"nargs": "?", "const": flag.const} if flag.const is not None else {}
        group.add_argument(
            f"--{flag.name}",
            dest=_dest(flag),
            default=argparse.SUPPRESS,
            help=told.replace("%", "%%"),
            **more,
        )


def given_flags(arguments: Namespace) -> list[str]:
    """Names of those that were given."""
    return [flag.name for flag in FLAGS if hasattr(arguments, _dest(flag))]


def changed(settings: Recovery, arguments: Namespace) -> Recovery:
    """Settings with what the flags say.

    Raises:
        ValueError: in one sentence, if a value is not possible.
    """
    given = [flag for flag in FLAGS if hasattr(arguments, _dest(flag))]
    document = settings.model_dump(mode="json")
    for flag in given:
        if flag.name == "regularise":
            name = getattr(arguments, _dest(flag))
            document["regularise"] = {"name": name, "strength": REGULARISERS[name].strength}
        elif flag.part == "regularise" and document["regularise"] is None:
            raise ValueError("There is no penalty that --strength could be of; add --regularise NAME.")
        else:
            document[flag.part] = document[flag.part] or NO_TEACHER
            document[flag.part] = {**document[flag.part], flag.field: getattr(arguments, _dest(flag))}
    return Recovery.from_json(json.dumps(document)) if given else settings


def _dest(flag: Flag) -> str:
    return "flag_" + flag.name.replace("-", "_")
