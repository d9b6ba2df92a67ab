"""What a granularity of masks over single weights is, the registry of their families, and their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.registry import Registry

_NEARLY = 1e-9  # ratios that lie this close to the middle of two stops count as the middle


@dataclass(frozen=True, eq=False)
class LayerScores:
    """One layer as it is cut.

    Args:
        layer: a linear layer or a convolution, transposed or not.
        scores: of its weight's shape, finite, on the CPU; higher = keep.
        left: bool of that shape, False where whole channels take the weight away; None = nothing is gone.
    """

    layer: nn.Module
    scores: Tensor
    left: Tensor | None = None

    @property
    def there(self) -> Tensor:
        """Bool of the weight's shape: what can be pruned."""
        return torch.ones(self.scores.shape, dtype=torch.bool) if self.left is None else self.left


@dataclass(frozen=True, eq=False)
class Stops:
    """The counts that are possible, where not every count is.

    Args:
        ratios: (n,), float64, ascending from 0: the ratios that ask for them.
        kept: (n,), int64, never rising: the weights that stay.
    """

    ratios: Tensor
    kept: Tensor

    def nearest(self, ratio: float) -> int:
        """Index of the stop nearest to a ratio; between two of them the one that keeps more."""
        above = int(torch.searchsorted(self.ratios, ratio))
        if above == 0:
            return 0
        if above == len(self.ratios):
            return above - 1
        low, high = float(self.ratios[above - 1]), float(self.ratios[above])
        return above - 1 if ratio - low <= high - ratio + _NEARLY else above


@dataclass(frozen=True, eq=False)
class Parts:
    """What goes as a whole, for a ranking over several layers.

    Args:
        scores: (n,); higher = keep.
        sizes: (n,), int64, weights in each; None = one each.
    """

    scores: Tensor
    sizes: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Cut:
    """A layer ranked by one granularity: how many weights can stay, and which. More kept is a superset.

    Args:
        size: weights that are there.
        kept: ratio in [0, 1] -> exact number of weights that stay.
        mask: number of weights that stay (one that `kept` gives, or a sum of the sizes of the best parts) ->
            bool of the weight's shape, True = keep; False where channels took the weight.
        stops: the possible counts; None if every count is.
        parts: for a ranking over several layers; None if the granularity is ranked within each layer only.
    """

    size: int
    kept: Callable[[float], int]
    mask: Callable[[int], Tensor]
    stops: Stops | None = None
    parts: Parts | None = None


Cutter = Callable[[LayerScores], Cut]


@dataclass(frozen=True, eq=False)
class Sparsity:
    """One granularity, as its name says.

    Args:
        name: the one spelling of it ("weight", "n:4", "16x1", "pattern").
        family: name of its entry in `FAMILIES`.
        prepare: network -> what cuts its layers; whatever is chosen once for a network is chosen there.
        spell: ratio -> the granularity at that ratio, short ("2:4").
        because: why not every ratio can be met, as the end of a sentence; "" if each can.
        alone: why scope "global" ranks each layer by itself, in words; "" if it ranks layers together.
        misfit: layer -> why it cannot be cut so, as the end of a sentence; "" if it can.
    """

    name: str
    family: str
    prepare: Callable[[nn.Module], Cutter]
    spell: Callable[[float], str]
    because: str = ""
    alone: str = ""
    misfit: Callable[[nn.Module], str] = lambda layer: ""


@dataclass(frozen=True)
class Family:
    """A family of granularities.

    Args:
        name: the key in `FAMILIES`.
        label: its name on a screen.
        description: what goes together and when that is a good idea; shown on the screen.
        source: paper and arXiv number, or where it comes from.
        examples: names that are offered for a choice, the usual one first.
        form: the names in words, for an error message.
        read: name -> the granularity, None if it is not of this family.
    """

    name: str
    label: str
    description: str
    source: str
    examples: tuple[str, ...]
    form: str
    read: Callable[[str], Sparsity | None]


FAMILIES: Registry[Family] = Registry("family of granularities")


def parse(name: str) -> Sparsity:
    """The granularity of this name.

    Raises:
        ValueError: if it is none over weights of a layer, saying which there are.
    """
    for family in FAMILIES.values():
        if (found := family.read(name)) is not None:
            return found
    forms = ", ".join(family.form for family in FAMILIES.values())
    raise ValueError(
        f"There is no granularity {name[:40]!r}; choose one of {forms} for weights, or channel or layer."
    )


def family_of(name: str) -> Family:
    """The family of a granularity.

    Raises:
        ValueError: as `parse`.
    """
    return FAMILIES[parse(name).family]


def masks_weights(granularity: str) -> bool:
    """Whether a rule of this granularity masks weights of a layer; else whole units go and shapes shrink."""
    return any(family.read(granularity) is not None for family in FAMILIES.values())


def scored_as(granularity: str) -> str:
    """What a criterion scores for it: "weight" for every mask over single weights, else the granularity."""
    return "weight" if masks_weights(granularity) else granularity
