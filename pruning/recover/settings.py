"""Everything that one run of pruning and recovering depends on besides the network and its data."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from pruning.documents import FROZEN, Share, read_json
from pruning.recipe import MAX_JSON_CHARS, Recipe

MOST_EPOCHS = 10_000

_Positive = Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)]
_Strength = Annotated[float, Field(ge=0.0, le=1e6, allow_inf_nan=False)]
_Epochs = Annotated[int, Field(ge=0, le=MOST_EPOCHS)]
_Name = Annotated[str, Field(min_length=1, max_length=64)]


class _Frozen(BaseModel):
    model_config = FROZEN


class Pruning(_Frozen):
    """When the recipe's ratios are reached, and what decides which entries stay.

    Args:
        schedule: name of an entry of `SCHEDULES`.
        stabilise: epochs of training before anything is pruned.
        prune: epochs over which the ratios rise to those of the recipe; what prunes at once takes none.
        recover: epochs of training afterwards, with what stays fixed.
        updates: how many times the ratios are raised in an epoch of `prune`.
        rounds: of the iterative schedule: prunings, each followed by an equal part of the `prune` epochs.
        choose: "criterion" ranks by each rule's criterion on the weights of the moment; "movement" by how far
            training moves weights away from zero (Sanh et al. 2020, arXiv:2005.07683).
        regrow: share of the kept weights that are exchanged at an update for those of the largest gradient,
            falling to 0 along a cosine over the `prune` epochs (RigL, Evci et al. 2020, arXiv:1911.11134);
            0 = what is gone stays gone. Only for rules that mask single weights.
        rewind: after each pruning the weights that stay go back to what they were after this many epochs of
            this run (0 = at its start); None = they go on from where they are (lottery tickets, Frankle and
            Carbin 2019, arXiv:1803.03635, and 1912.05671 for later epochs).
        start: "trained" starts at the network's weights, "initial" at random ones drawn by the run's seed.
    """

    schedule: _Name = "cubic"
    stabilise: _Epochs = 0
    prune: _Epochs = 4
    recover: _Epochs = 4
    updates: Annotated[int, Field(ge=1, le=1000)] = 2
    rounds: Annotated[int, Field(ge=1, le=100)] = 3
    choose: Literal["criterion", "movement"] = "criterion"
    regrow: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)] = 0.0
    rewind: Annotated[int, Field(ge=0, le=MOST_EPOCHS)] | None = None
    start: Literal["trained", "initial"] = "trained"


class Fit(_Frozen):
    """How weights are trained.

    Args:
        optimizer: "sgd" (Nesterov momentum) or "adamw".
        lr: the highest learning rate.
        lr_schedule: how the rate goes over all epochs: name of an entry of `LR_SCHEDULES`.
        warmup: share of all steps in which the rate rises linearly from 0.
        layer_lr: layer or module path -> factor of the rate for all parameters inside it; 0 freezes them.
        momentum: of SGD.
        weight_decay: of weight matrices and kernels; biases, norms and positions have none.
        batch_size: images a step.
        smoothing: of the labels.
        shift, rotate, zoom, flip: random changes of the images, as in `pruning.train.recipes.Training`.
        clip: largest norm of the whole gradient; None = as it is.
        precision: "float32", or what multiplications are done in while weights stay float32: "bfloat16", or
            "float16" with a scaled loss, on CUDA.
        patience: recovering epochs without a better validation accuracy that end the run; None = never.
        seed: of the order, the augmentation, dropout and initial weights.
    """

    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: _Positive = 1e-3
    lr_schedule: _Name = "cosine"
    warmup: Share = 0.05
    layer_lr: dict[str, Annotated[float, Field(ge=0.0, le=1000.0, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    momentum: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)] = 0.9
    weight_decay: _Strength = 5e-4
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    smoothing: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)] = 0.0
    shift: Annotated[float, Field(ge=0.0, le=64.0, allow_inf_nan=False)] = 0.0
    rotate: Annotated[float, Field(ge=0.0, le=180.0, allow_inf_nan=False)] = 0.0
    zoom: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)] = 0.0
    flip: bool = False
    clip: _Positive | None = None
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    patience: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class Regularise(_Frozen):
    """A penalty that drives weights towards zero while `stabilise` and `prune` last.

    Args:
        name: of an entry of `REGULARISERS`.
        strength: its factor in the loss.
    """

    name: _Name
    strength: _Strength = 1e-4


class Teach(_Frozen):
    """What the dense network teaches the pruned one.

    Args:
        weight: share of the loss that is the distance to the dense network's softened outputs, the rest being
            the labels' (Hinton et al. 2015, arXiv:1503.02531); 0 = none.
        temperature: that both networks' logits are divided by.
        hints: factor of the loss of features (Romero et al. 2015, arXiv:1412.6550; after channel pruning:
            Hu et al. 2018, arXiv:1805.11394); 0 = none.
        layers: modules whose outputs are matched; empty = chosen, one for each resolution.
    """

    weight: Share = 0.5
    temperature: Annotated[float, Field(gt=0.0, le=100.0, allow_inf_nan=False)] = 4.0
    hints: _Strength = 0.0
    layers: Annotated[tuple[str, ...], Field(strict=False, max_length=64)] = ()


class Recovery(_Frozen):
    """Every decision of one run; the same on the same network, data and machine gives the same network.

    Args:
        recipe: what is pruned in the end, and by which criteria; without rules the run only trains.
        pruning: when and how.
        fit: the training.
        regularise: a penalty, or None.
        teach: distillation from the dense network, or None.
        recalibrate: whether statistics of BatchNorm are measured anew on training images after the last
            pruning and at the end (where that is better on calibration images).
        version: of this file format.
    """

    recipe: Recipe = Field(default_factory=Recipe)
    pruning: Pruning = Field(default_factory=Pruning)
    fit: Fit = Field(default_factory=Fit)
    regularise: Regularise | None = None
    teach: Teach | None = None
    recalibrate: bool = True
    version: Literal[1] = 1

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.epochs > MOST_EPOCHS:
            raise ValueError(
                f"The phases have {self.epochs:,} epochs together; at most {MOST_EPOCHS:,} can be run."
            )
        rewind = self.pruning.rewind
        if rewind is not None and rewind > self.pruning.stabilise:
            raise ValueError(
                f"Weights cannot go back to epoch {rewind}: pruning begins after {self.pruning.stabilise}; "
                "give stabilise more epochs."
            )
        return self

    @property
    def epochs(self) -> int:
        """Of all phases together."""
        return self.pruning.stabilise + self.pruning.prune + self.pruning.recover

    def to_json(self) -> str:
        """These settings as indented JSON."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> Recovery:
        """Read settings.

        Raises:
            ValueError: one sentence saying what is wrong and where.
        """
        return read_json(cls, text, "settings file", MAX_JSON_CHARS)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name these settings, whatever the order of the recipe's rules."""
        recipe = self.recipe.model_copy(update={"rules": dict(sorted(self.recipe.rules.items()))})
        canonical = self.model_copy(update={"recipe": recipe})
        return hashlib.sha256(canonical.model_dump_json().encode()).hexdigest()[:16]
