"""What one epoch brought: measured while a run goes on, kept, and drawn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Phase = Literal["stabilise", "prune", "recover"]
BINS = 48  # of each histogram
MOST_HISTOGRAMS = 64  # layers; larger networks keep those with the most weights


class Histogram(BaseModel):
    """How the weights of a layer lie, zeros by pruning left out.

    Args:
        counts: (BINS,) weights in equal bins over (-edge, edge); the same edge in every epoch of a run.
        edge: largest absolute value shown, in units of the weight; what lies beyond is in the last bin.
        zero: weights that are exactly zero.
        near: of the others, those with an absolute value below a hundredth of the edge.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    counts: tuple[int, ...]
    edge: float
    zero: int
    near: int


class Epoch(BaseModel):
    """One finished epoch; epoch 0 is the state before the first step.

    Args:
        number: epochs done.
        phase: which part of the run it belongs to.
        round: prunings done so far.
        seconds: of training in this epoch, without the evaluation.
        images_per_s: of training; 0 for epoch 0.
        lr: learning rate of the last step.
        losses: part -> mean over the epoch: "labels", "distillation", "hints", "penalty", in nats or as they
            enter the loss; empty for epoch 0.
        train_accuracy: share of the training images right as they were trained on, augmented, in 0..1; None
            for epoch 0.
        accuracy: on validation images, of the network as pruned at the end of this epoch, in 0..1.
        low, high: its 95 % Wilson interval.
        n: validation images.
        before: the same accuracy just before the last pruning of this epoch, None if nothing was pruned.
        reached: share of the recipe's ratios that is asked at the end of this epoch, in 0..1.
        sparsity: share of the dense network's parameters that are removed or zero, in 0..1.
        removed: key of the recipe -> share of its units or weights that are gone, in 0..1.
        histograms: layer -> its weights; at most MOST_HISTOGRAMS.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: Annotated[int, Field(ge=0)]
    phase: Phase
    round: int = 0
    seconds: float = 0.0
    images_per_s: float = 0.0
    lr: float = 0.0
    losses: dict[str, float] = Field(default_factory=dict)
    train_accuracy: float | None = None
    accuracy: float
    low: float
    high: float
    n: int
    before: float | None = None
    reached: float
    sparsity: float
    removed: dict[str, float] = Field(default_factory=dict)
    histograms: dict[str, Histogram] = Field(default_factory=dict)
