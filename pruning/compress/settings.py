"""Every decision of one compression: frozen, validated, JSON both ways."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from pruning.clustering import INITS
from pruning.coding import Coding
from pruning.documents import FROZEN, read_json
from pruning.lowrank import LowRank
from pruning.quantise import Clip, Uniform
from pruning.recipe import MAX_JSON_CHARS
from pruning.recover import Recovery

Bits = Annotated[int, Field(ge=1, le=8)]
Clipped = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
Method = Literal["cluster", "uniform", "clip-q"]


class _Frozen(BaseModel):
    model_config = FROZEN


class Sharing(_Frozen):
    """How few values the weights of a layer take.

    Args:
        method: "cluster", k-means (Han et al. 2015, arXiv:1510.00149); "uniform", evenly spaced values
            (Krishnamoorthi 2018, arXiv:1806.08342); "clip-q", clipped and partitioned anew in every step of
            training (Tung and Mori 2018, CLIP-Q).
        bits: layer -> 1..8; layers that are not named keep their weights.
        init: of clusters, name of an entry of `INITS`.
        symmetric, per_channel, range: of evenly spaced values, see `pruning.quantise.Uniform`.
        clip: of "clip-q": share of the weights of each sign, the smallest, that are set to zero; one for all
            layers, or layer -> share, none of what is not named.
        seed: of initialisations that draw.
    """

    method: Method = "cluster"
    bits: dict[str, Bits] = Field(default_factory=dict)
    init: str = "linear"
    symmetric: bool = True
    per_channel: bool = False
    range: str = "mse"
    clip: Clipped | dict[str, Clipped] = 0.25
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    @model_validator(mode="after")
    def _known(self) -> Self:
        INITS[self.init]
        self.scheme  # noqa: B018  # refuses an unknown range
        return self

    def clip_of(self, layer: str) -> Clip:
        """What "clip-q" does to a layer that has bits."""
        share = self.clip.get(layer, 0.0) if isinstance(self.clip, dict) else self.clip
        return Clip(bits=self.bits[layer], share=share)

    @property
    def scheme(self) -> Uniform:
        """Of evenly spaced values."""
        return Uniform(self.symmetric, self.per_channel, self.range)


class Packing(_Frozen):
    """How the file is coded; nothing is lost by any of it. See `pruning.coding.Coding`.

    Args:
        gap_bits: bits of a gap between weights, None takes the best.
        huffman: Huffman codes, or a fixed number of bits.
    """

    gap_bits: Annotated[int, Field(ge=1, le=10)] | None = None
    huffman: bool = True

    @property
    def coding(self) -> Coding:
        return Coding(gap_bits=self.gap_bits, huffman=self.huffman)


class Compression(_Frozen):
    """A compression, each stage on or off.

    Args:
        low_rank: which layers are factorised first, or None. A recipe then names the layers that this makes.
        prune: what is pruned, and how it is recovered, or None.
        share: how few values weights take, or None.
        tune: training of what was shared (a `Recovery` without rules), or None.
        packing: of the file.
        version: of this file format.
    """

    low_rank: LowRank | None = None
    prune: Recovery | None = None
    share: Sharing | None = None
    tune: Recovery | None = None
    packing: Packing = Field(default_factory=Packing)
    version: Literal[1] = 1

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.tune is not None and self.tune.recipe.rules:
            raise ValueError("The last training prunes nothing; give its recipe's rules to prune.")
        if self.tune is not None and self.share is None:
            raise ValueError("There is nothing shared to train; set share, or leave tune out.")
        return self

    def to_json(self) -> str:
        """These settings as indented JSON."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> Compression:
        """Read settings.

        Raises:
            ValueError: one sentence saying what is wrong and where.
        """
        return read_json(cls, text, "compression's settings", MAX_JSON_CHARS)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name these settings."""
        text = self.model_dump_json(exclude={"prune", "tune", "low_rank"})
        parts = [part.digest if part else "" for part in (self.low_rank, self.prune, self.tune)]
        return hashlib.sha256("\n".join([text, *parts]).encode()).hexdigest()[:16]
