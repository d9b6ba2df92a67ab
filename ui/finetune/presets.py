"""Whole sets of settings to begin with, with values that suit the network's own training: pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pruning.recover.regularise import REGULARISERS
from pruning.recover.settings import Fit, Pruning, Recovery, Regularise, Teach
from pruning.registry import Registry
from pruning.train.recipes import TRAININGS, Training


@dataclass(frozen=True)
class Preset:
    """One way to prune and recover.

    Args:
        name: the key in `PRESETS`.
        label: its name on a screen.
        description: what happens, and when that is a good idea.
        source: paper and arXiv number.
        make: from how the network was trained to the settings, without a recipe.
        needs_norm: whether it needs BatchNorm.
    """

    name: str
    label: str
    description: str
    source: str
    make: Callable[[Training], Recovery]
    needs_norm: bool = False


PRESETS: Registry[Preset] = Registry("preset")
USUAL = "gradual"


def misfit(preset: Preset, has_norm: bool) -> str:
    """Why a preset cannot be run here, in a sentence; "" if it can."""
    if preset.needs_norm and not has_norm:
        return "It acts on BatchNorm, which this network does not have."
    return ""


def make(name: str, model: str) -> Recovery:
    """The settings of a preset for a network, without a recipe."""
    training = TRAININGS[model] if model in TRAININGS else Training(epochs=30, optimizer="adamw", lr=1e-3)
    return PRESETS[name].make(training)


def named(settings: Recovery, model: str) -> str | None:
    """The preset that these settings are, whatever their recipe and seed; None if they are one's own."""

    def bare(one: Recovery) -> Recovery:
        return one.model_copy(
            update={"recipe": Recovery().recipe, "fit": one.fit.model_copy(update={"seed": 0})}
        )

    wanted = bare(settings)
    return next((name for name in PRESETS if bare(make(name, model)) == wanted), None)


def _epochs(training: Training, share: float, least: int = 1) -> int:
    """A share of the epochs that the network was trained for."""
    return max(least, round(share * training.epochs))


def _fit(training: Training, rate: float, **changes: Any) -> Fit:
    """As the network was trained, with a share of its learning rate."""
    given: dict[str, Any] = {
        "optimizer": training.optimizer,
        "lr": float(f"{training.lr * rate:.1g}"),
        "weight_decay": training.weight_decay,
        "batch_size": training.batch_size,
        "smoothing": training.smoothing,
        "shift": training.shift,
        "rotate": float(training.rotate),
        "zoom": training.zoom,
        "flip": training.flip,
        "precision": "bfloat16" if training.low_precision else "float32",
    }
    return Fit(**{**given, **changes})


def _quick(training: Training) -> Recovery:
    steps = Pruning(schedule="one-shot", stabilise=0, prune=0, recover=_epochs(training, 0.07, 2))
    return Recovery(pruning=steps, fit=_fit(training, 0.2))


def _gradual(training: Training) -> Recovery:
    steps = Pruning(
        schedule="cubic",
        stabilise=_epochs(training, 0.01),
        prune=_epochs(training, 0.1, 2),
        recover=_epochs(training, 0.1, 2),
    )
    return Recovery(pruning=steps, fit=_fit(training, 0.33, smoothing=0.0), teach=Teach())


def _iterative(training: Training) -> Recovery:
    steps = Pruning(
        schedule="iterative",
        stabilise=0,
        prune=_epochs(training, 0.2, 5),
        recover=_epochs(training, 0.07, 2),
        rounds=5,
    )
    return Recovery(pruning=steps, fit=_fit(training, 0.2, lr_schedule="constant"))


def _lottery(training: Training) -> Recovery:
    steps = Pruning(
        schedule="iterative",
        stabilise=0,
        prune=_epochs(training, 0.6, 4),
        recover=_epochs(training, 0.2, 2),
        rounds=3,
        rewind=0,
        start="initial",
    )
    return Recovery(pruning=steps, fit=_fit(training, 1.0, lr_schedule="constant"))


def _penalised(training: Training, name: str) -> Recovery:
    steps = Pruning(
        schedule="one-shot",
        stabilise=_epochs(training, 0.1, 2),
        prune=0,
        recover=_epochs(training, 0.07, 2),
    )
    penalty = Regularise(name=name, strength=REGULARISERS[name].strength)
    return Recovery(pruning=steps, fit=_fit(training, 0.33), regularise=penalty)


def _movement(training: Training) -> Recovery:
    made = _gradual(training)
    steps = made.pruning.model_copy(update={"choose": "movement"})
    return made.model_copy(update={"pruning": steps, "teach": None})


def _regrow(training: Training) -> Recovery:
    steps = Pruning(
        schedule="one-shot",
        stabilise=0,
        prune=_epochs(training, 0.3, 3),
        recover=_epochs(training, 0.1, 2),
        regrow=0.3,
    )
    return Recovery(pruning=steps, fit=_fit(training, 0.67))


def _layers(training: Training) -> Recovery:
    steps = Pruning(
        schedule="layer-by-layer",
        stabilise=0,
        prune=_epochs(training, 0.15, 3),
        recover=_epochs(training, 0.07, 2),
    )
    return Recovery(pruning=steps, fit=_fit(training, 0.2, lr_schedule="constant"), teach=Teach())


def _register(*presets: Preset) -> None:
    for preset in presets:
        PRESETS.add(preset.name, preset)


_register(
    Preset(
        name="gradual",
        label="Gradual with distillation",
        description="The ratios rise along a cubic curve while the network trains, and the dense network's "
        "outputs teach it. The best start for high ratios.",
        source="Zhu and Gupta 2017, arXiv:1710.01878; Hinton et al. 2015, arXiv:1503.02531",
        make=_gradual,
    ),
    Preset(
        name="quick",
        label="Recover quickly",
        description="Everything is pruned at once, then a few epochs at a low learning rate repair it. The "
        "fastest answer; good at low ratios.",
        source="Li et al. 2016, arXiv:1608.08710",
        make=_quick,
    ),
    Preset(
        name="iterative",
        label="Iterative",
        description="Prune a part, fine-tune, and again, five times.",
        source="Han et al. 2015, arXiv:1506.02626",
        make=_iterative,
    ),
    Preset(
        name="slimming",
        label="Slimming",
        description="First the scales of BatchNorm are driven to zero, then the channels with the smallest "
        "go at once. Best with the criterion BatchNorm scale.",
        source="Liu et al. 2017, arXiv:1708.06519",
        make=lambda training: _penalised(training, "bn-l1"),
        needs_norm=True,
    ),
    Preset(
        name="growing",
        label="Growing regularisation",
        description="What is to go is pressed towards zero by a penalty that grows, so that taking it away "
        "in the end changes little.",
        source="Wang et al. 2021, arXiv:2012.09243",
        make=lambda training: _penalised(training, "growing"),
    ),
    Preset(
        name="layers",
        label="Layer by layer",
        description="One layer or group after the other, from the first to the last, with training between.",
        source="Li et al. 2016, arXiv:1608.08710",
        make=_layers,
    ),
    Preset(
        name="lottery",
        label="Lottery ticket",
        description="Train from random weights, prune a part, set what stays back to where it began, and "
        "again: does the small network learn alone? Long, since every round trains anew.",
        source="Frankle and Carbin 2019, arXiv:1803.03635",
        make=_lottery,
    ),
    Preset(
        name="movement",
        label="Movement",
        description="Weights go that training moves towards zero, whatever their size.",
        source="Sanh et al. 2020, arXiv:2005.07683",
        make=_movement,
    ),
    Preset(
        name="regrow",
        label="Masks that regrow (RigL)",
        description="Sparse from the start; at each update some of the smallest weights are exchanged for "
        "those of the largest gradient.",
        source="Evci et al. 2020, arXiv:1911.11134",
        make=_regrow,
    ),
)
