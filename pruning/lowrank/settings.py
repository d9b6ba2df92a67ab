"""What is decided about low rank: frozen, validated, JSON both ways."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from pruning.documents import FROZEN, Share, read_json
from pruning.lowrank.methods import METHODS
from pruning.lowrank.record import MOST_CHARS, Rank


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, int) else tuple(value) if isinstance(value, list) else value


GivenRanks = Annotated[tuple[Rank, ...], BeforeValidator(_as_tuple), Field(min_length=1, max_length=2)]


class LowRank(BaseModel):
    """Which layers are factorised, how, and how far: by ranks, by energy or by a share of parameters.

    An energy says more when `data` is on: it is then that of outputs, a few directions of which have most of
    it. 0.98 with data loses about as much as 0.9 without.

    Args:
        method: name of an entry of `METHODS`; see `factorise` for what it means to matrices.
        ranks: layer -> its rank, or (rank of inputs, rank of outputs) by tucker-2; no other is factorised.
        energy: share of each weight's sum of squares that is kept at least.
        share: of the network's parameters that are left at most; all layers then have the same energy.
        layers: only these, where energy or share decides; None = all that can be and get cheaper by it.
        data: whether errors are weighed by what calibration images make of the layer's inputs.
        version: of this file format.
    """

    model_config = FROZEN

    method: Annotated[str, Field(min_length=1, max_length=64)] = "tucker-2"
    ranks: dict[str, GivenRanks] | None = None
    energy: Share | None = None
    share: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    layers: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    data: bool = False
    version: Literal[1] = 1

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if sum(value is not None for value in (self.ranks, self.energy, self.share)) != 1:
            raise ValueError("Low rank needs exactly one of ranks, energy and share; give one of them.")
        if self.ranks is not None and self.layers is not None:
            raise ValueError("The ranks name their layers; leave out either ranks or layers.")
        if self.data and not METHODS[self.method].takes_data:
            raise ValueError(f"The method {self.method!r} cannot weigh errors by data; turn data off.")
        METHODS[self.method]
        return self

    def to_json(self) -> str:
        """These settings as indented JSON."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> LowRank:
        """Read settings.

        Raises:
            ValueError: one sentence saying what is wrong and where.
        """
        return read_json(cls, text, "low-rank settings", MOST_CHARS)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name these settings, whatever the order of the layers."""
        ranks = dict(sorted(self.ranks.items())) if self.ranks else self.ranks
        layers = tuple(sorted(self.layers)) if self.layers else self.layers
        canonical = self.model_copy(update={"ranks": ranks, "layers": layers})
        return hashlib.sha256(canonical.model_dump_json().encode()).hexdigest()[:16]
