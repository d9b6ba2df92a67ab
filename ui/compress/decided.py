"""What a visitor has decided on the Compress page: pure, JSON both ways, packed into the page's address."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pruning import Recipe
from pruning.compress.settings import Compression, Packing, Sharing
from pruning.lowrank import LowRank
from pruning.lowrank.geometry import PARTS
from pruning.recover.settings import Pruning, Recovery, Teach

USUAL_BITS = 4
MAX_CHARS, MAX_JSON = 16_000, 256_000
Epochs = Annotated[int, Field(ge=1, le=1000)]


class Decided(BaseModel):
    """The stages, each on or off, and how.

    Args:
        bits: layer -> 1..8, layers that are not named keep their weights; None = `USUAL_BITS` for all.
        sharing: how weights share values; its own bits do not count.
        packing: how the file is coded.
        prune: whether the recipe of the Prune page is applied first.
        recover: epochs of training after pruning; None = none.
        share: whether weights share values.
        tune: epochs in which shared values are trained; None = none.
        lr: highest learning rate of that training.
        locked: layers that no drag and no choice for all of them changes.
        source: id of a finished fine-tuning whose network is taken in place of pruning; "" = none.
        low_rank: which layers are factorised first, and how far; None = none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bits: dict[str, Annotated[int, Field(ge=1, le=8)]] | None = None
    sharing: Sharing = Field(default_factory=Sharing)
    packing: Packing = Field(default_factory=Packing)
    prune: bool = True
    recover: Epochs | None = 4
    share: bool = True
    tune: Epochs | None = 4
    lr: Annotated[float, Field(gt=0.0, le=1.0)] = 3e-4
    locked: frozenset[str] = frozenset()
    source: Annotated[str, Field(pattern="^([0-9a-f]{12})?$")] = ""
    low_rank: LowRank | None = None

    def sharing_of(self, layers: Sequence[str]) -> Sharing:
        """How the weights of these layers share values; smaller ones have the bits of their whole layer."""
        found = {layer: USUAL_BITS if self.bits is None else _bits_of(layer, self.bits) for layer in layers}
        bits = {layer: n for layer, n in found.items() if n is not None} if self.share else {}
        return self.sharing.model_copy(update={"bits": bits})

    def compression(self, recipe: Recipe, layers: Sequence[str], recovery: Recovery | None) -> Compression:
        """The settings of a run.

        Args:
            recipe: what is pruned, unless a source is given; of the factorised network, if there is one.
            layers: that can share values.
            recovery: how the Fine-tune page prunes and trains; None = at once, with distillation.
        """
        sharing = self.sharing_of(layers)
        prune = None
        if self.prune and recipe.rules and not self.source:
            prune = _pruning(recovery or Recovery(teach=Teach()), self.recover)
            prune = prune.model_copy(update={"recipe": recipe})
        share = sharing if sharing.bits else None
        tune = None
        if share is not None and self.tune is not None:
            base = recovery or Recovery()
            tune = Recovery(
                pruning=Pruning(prune=0, recover=self.tune),
                fit=base.fit.model_copy(update={"lr": self.lr, "patience": None}),
                teach=Teach(weight=0.7),
            )
        low_rank = None if self.source else self.low_rank
        return Compression(low_rank=low_rank, prune=prune, share=share, tune=tune, packing=self.packing)


def _bits_of(layer: str, bits: Mapping[str, int]) -> int | None:
    """Bits of a layer, decided when it was whole, or when it was two or three smaller ones; None = as it is.

    Whoever changes one layer's bits decides those of all that are there (`with_bits`): only after low rank
    has changed, names are missing here.
    """
    whole, _, part = layer.rpartition(".")
    earlier = whole if part in PARTS else f"{layer}.{PARTS[-1]}"
    return bits.get(layer, bits.get(earlier))


def _pruning(recovery: Recovery, epochs: int | None) -> Recovery:
    """That way to recover in so many epochs: half of them prune, where it prunes step by step."""
    if epochs is None:
        steps = Pruning(schedule="one-shot", prune=0, recover=0)
        return recovery.model_copy(update={"pruning": steps, "regularise": None})
    half = epochs // 2
    steps = Pruning(schedule="cubic" if half else "one-shot", prune=half, recover=epochs - half)
    return recovery.model_copy(update={"pruning": steps, "regularise": None})


@dataclass(frozen=True)
class Steps:
    """Decisions with those before and after them, for undo and redo."""

    now: Decided = field(default_factory=Decided)
    past: tuple[Decided, ...] = ()
    future: tuple[Decided, ...] = ()
    held: Decided | None = None  # before the drag that is under way

    def take(self, decided: Decided, *, final: bool = True) -> Steps:
        """Other decisions; those of one drag are one step."""
        before = self.held or self.now
        if not final:
            return replace(self, now=decided, held=before)
        if decided == before:
            return replace(self, now=decided, held=None)
        return Steps(decided, (*self.past, before)[-100:])

    def undo(self) -> Steps:
        if not self.past:
            return self
        return Steps(self.past[-1], self.past[:-1], (self.now, *self.future))

    def redo(self) -> Steps:
        if not self.future:
            return self
        return Steps(self.future[0], (*self.past, self.now), self.future[1:])


def with_bits(decided: Decided, layers: Sequence[str], changes: Mapping[str, int]) -> Decided:
    """Other bits for some layers; 32 leaves a layer as it is."""
    bits = {**decided.sharing_of(layers).bits, **changes}
    return decided.model_copy(update={"bits": {name: n for name, n in bits.items() if n != 32}})


def pack(decided: Decided) -> str:
    """As text for an address; "" for what is decided at first."""
    if decided == Decided():
        return ""
    text = decided.model_dump_json(exclude_defaults=True)
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def unpack(text: str) -> Decided | None:
    """Open what `pack` wrote; None if the text is damaged, or there is none."""
    if not text or len(text) > MAX_CHARS:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return Decided.model_validate_json(zlib.decompressobj().decompress(raw, MAX_JSON))
    except (binascii.Error, zlib.error, ValidationError, ValueError, KeyError):
        return None
