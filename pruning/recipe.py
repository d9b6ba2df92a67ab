"""What the user decided: which parts to prune, how far, by which criterion."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from pruning.documents import FROZEN, read_json
from pruning.groups.choices import Choices, Heads, Norms
from pruning.sparsity import parse
from pruning.sparsity.n_of_m import read_spelled

# Granularities that remove whole units or layers; all others mask weights, see `pruning.sparsity`.
UNITS = ("channel", "layer")
Scope = Literal["layer", "global"]


def _known(granularity: str) -> str:
    return granularity if granularity in UNITS else parse(granularity).name


Granularity = Annotated[str, AfterValidator(_known)]
Unit = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]

_SAME = 1e-6  # ratios that lie this close are the same
MAX_JSON_CHARS = 4_000_000  # a recipe of 10,000 rules is under 1 MB; more than this is not a recipe


class Rule(BaseModel):
    """How one layer or group is pruned.

    Args:
        ratio: fraction asked to be removed, in [0, 1].
        granularity: "channel" removes whole units of a group (filters, neurons, attention heads); "layer"
            drops a whole block at ratio 1 and keeps it at 0, see `pruning.blocks`; "weight" masks single
            weights of a layer, "n:4" N of every 4 in a row, "16x1" blocks, "pattern" entries of kernels (see
            `pruning.sparsity`). "2:4" is read as "n:4" and ratio 0.5; another ratio is refused.
        criterion: name of an entry of `pruning.CRITERIA`.
        removed: numbers of the units that go, ascending, chosen by hand; only for "channel". The ratio still
            says how many they are, and no criterion, scope or multiple has a say. Empty = by the criterion.
    """

    model_config = FROZEN

    ratio: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
    granularity: Granularity = "channel"
    criterion: Annotated[str, Field(min_length=1, max_length=64)] = "l2"
    # Not strict, because JSON's arrays come as lists; not written where empty, so that older files stay.
    removed: Annotated[tuple[Unit, ...], Field(strict=False, exclude_if=lambda units: not units)] = ()

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, given: Any) -> Any:
        """The common spelling of N:M as granularity and ratio."""
        name = given.get("granularity") if isinstance(given, dict) else None
        spelled = read_spelled(name) if isinstance(name, str) else None
        if spelled is None:
            return given
        granularity, ratio = spelled
        asked = given.get("ratio", ratio)
        if not isinstance(asked, float | int) or not abs(asked - ratio) <= _SAME:
            raise ValueError(f"{name!r} means ratio {ratio:g}, not {asked!r}; leave one of them out.")
        return {**given, "granularity": granularity, "ratio": ratio}

    @model_validator(mode="after")
    def _switch(self) -> Self:
        if self.granularity == "layer" and self.ratio not in (0, 1):
            raise ValueError(f"A layer is kept (0) or dropped (1); the ratio {self.ratio:g} is neither.")
        return self

    @model_validator(mode="after")
    def _by_hand(self) -> Self:
        if self.removed and self.granularity != "channel":
            raise ValueError(f"Single units can be removed of channels, not of {self.granularity!r}.")
        if any(unit >= after for unit, after in pairwise(self.removed)):
            raise ValueError("Units that are removed by hand are named once each, in ascending order.")
        return self


class Recipe(BaseModel):
    """Every decision of one pruning, frozen; the same recipe on the same weights gives the same network.

    Args:
        rules: keys are group ids for "channel", block ids for "layer", layer names for masks of weights.
        scope: "layer" ranks within each key; "global" ranks all keys of one granularity and criterion
            together, removing as many in total as their ratios ask for (not so N:M and kernel patterns,
            and not whole layers, which are switches).
        multiple_of: kept channel counts are rounded up to this multiple (1 = no rounding).
        seed: of the criteria that draw numbers (random).
        heads, norms: how the groups of "channel" were found, as `pruning.groups.Choices` says.
        model: name of the architecture that the recipe was made for, if known.
        version: of this file format.
    """

    model_config = FROZEN

    rules: dict[str, Rule] = Field(default_factory=dict)
    scope: Scope = "layer"
    multiple_of: Annotated[int, Field(ge=1, le=1024)] = 1
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    heads: Heads = "whole"
    norms: Norms = "exact"
    model: Annotated[str, Field(max_length=256)] | None = None
    version: Literal[1] = 1

    @property
    def choices(self) -> Choices:
        """How the groups that the rules name are found."""
        return Choices(self.heads, self.norms)

    def to_json(self) -> str:
        """This recipe as indented JSON, the same text for equal recipes whose rules are in the same order."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe.

        Raises:
            ValueError: one sentence saying what is wrong and where.
        """
        return read_json(cls, text, "recipe", MAX_JSON_CHARS)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name this recipe, independent of the order of its rules."""
        canonical = self.model_copy(update={"rules": dict(sorted(self.rules.items()))})
        return hashlib.sha256(canonical.model_dump_json().encode()).hexdigest()[:16]
