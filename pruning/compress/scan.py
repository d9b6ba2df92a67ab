"""How few bits each layer bears, alone."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from pruning.compress.settings import Sharing
from pruning.compress.weights import shared_weight
from pruning.device import device_of
from pruning.evaluate import split_batches
from pruning.masks import named_tensors
from pruning.quantise.lattice import check_bits
from pruning.quantise.network import once, weight_of
from pruning.replay import Change
from pruning.sensitivity import Precise, ScanPoint
from pruning.sensitivity.point import Measured
from pruning.sensitivity.targets import Target
from pruning.sensitivity.walk import Walk
from pruning.tasks import Task

ALL_BITS = tuple(range(1, 9))
WHOLE = 32  # bits of a weight as it is
HELD = 256_000_000  # bytes of shared weights that are kept while a scan goes over its images
BATCH = 256


@dataclass(frozen=True)
class BitsPoint:
    """One layer at so many bits, all others as they are.

    Args:
        found: accuracy of the whole network, and how it is known; its `kept` are the bits.
        error: squared distance of the layer's weights as a share of their squares; 0 = the same.
    """

    found: ScanPoint
    error: float

    @property
    def layer(self) -> str:
        """The layer's path."""
        return self.found.key

    @property
    def bits(self) -> int:
        """Of its weights."""
        return self.found.kept


@dataclass
class BitsScan:
    """A scan under way: iterate to measure; a point comes again each time that more is known of it.

    Args:
        walk: over the layers.
        errors: (layer, bits) -> squared error, of points that are known.
    """

    walk: Walk
    errors: dict[tuple[str, int], float] = field(default_factory=dict)

    @property
    def dense(self) -> Measured:
        """The network before any layer shares values; measured at first use."""
        return self.walk.dense

    @property
    def points(self) -> tuple[BitsPoint, ...]:
        """What was measured so far."""
        return tuple(self._point(found) for found in self.walk.points)

    def __iter__(self) -> Iterator[BitsPoint]:
        for found in self.walk:
            yield self._point(found)

    def _point(self, found: ScanPoint) -> BitsPoint:
        place = found.key, found.kept
        if place not in self.errors:
            target = next(target for target in self.walk.targets if target.key == found.key)
            self.errors[place] = _error(
                named_tensors(self.walk.module)[target.weight], target.mask(found.kept)
            )
        return BitsPoint(found, self.errors[place])


@dataclass
class _Shared(Target):
    """A layer whose weights share values: of 32 bits so many stay, and its `mask` is the weight itself."""

    def change(self, kept: int) -> Change:
        return Change(given={self.weight: self.mask(kept)})

    def put(self, tensors: Mapping[str, Tensor], keep: Tensor) -> None:
        tensors[self.weight].copy_(keep)


def bits_scan(
    module: nn.Module,
    task: Task,
    layers: Sequence[str],
    bits: Sequence[int] = ALL_BITS,
    *,
    sharing: Sharing | None = None,
    split: str = "validation",
    limit: int | None = None,
    seed: int = 0,
    precise: Precise | None = None,
    known: Iterable[BitsPoint] = (),
    stop: threading.Event | None = None,
) -> BitsScan:
    """Measure each layer at each number of bits, without training: `for point in bits_scan(...)`.

    It is walked as a scan of ratios is (`pruning.sensitivity.iter_scan`): each point is run from the layer
    that it changes on.

    Args:
        module: the network, pruned or not; never changed.
        task: its data.
        layers: paths of layers with weights; of those that have one in common only the first is measured.
        bits: 1..8.
        sharing: how; its own bits do not count.
        split, limit: images that are measured on; the test split is refused.
        seed: of the order of images, where `precise` is given.
        precise: how well to know each point; None measures each on all images.
        known: points of an earlier scan by the same arguments, not measured again.
        stop: ends it early when set, within one batch.
    Raises:
        ValueError: a layer that is not there, bits out of their range, test data.
    """
    if split == "test":
        raise ValueError("Test data is for final results only; scan on validation data.")
    targets = _targets(module, layers, bits, sharing or Sharing())
    n, batches = split_batches(task, split, batch_size=BATCH, limit=limit)
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    about = {
        "ratios": tuple(sorted(1 - asked / WHOLE for asked in set(bits))),
        "n": n,
        "classes": len(task.classes),
        "seed": seed,
    }
    before = list(known)
    walk = Walk(
        module,
        targets,
        x.to(device_of(module)),
        y,
        about,
        stop or threading.Event(),
        [point.found for point in before],
        precise=precise,
    )
    return BitsScan(walk, {(point.layer, point.bits): point.error for point in before})


def _targets(module: nn.Module, layers: Sequence[str], bits: Sequence[int], sharing: Sharing) -> list[Target]:
    for asked in bits:
        check_bits(asked, "a layer")
    names = {id(tensor): name for name, tensor in named_tensors(module).items()}
    weights = {layer: weight_of(module, layer) for layer in once(module, dict.fromkeys(layers))}
    largest = max((weight.nbytes for weight in weights.values()), default=1)

    @lru_cache(max(len(bits), HELD // max(1, largest)))
    def made(layer: str, asked: int) -> Tensor:
        return shared_weight(module, layer, sharing.model_copy(update={"bits": {layer: asked}}))

    return [
        _Shared(layer, WHOLE, _bits_of, partial(made, layer), weight=names[id(weight)])
        for layer, weight in weights.items()
    ]


def _bits_of(ratio: float) -> int:
    return round(WHOLE * (1 - ratio))


@torch.no_grad()
def _error(before: Tensor, after: Tensor) -> float:
    total = float(before.double().square().sum())
    return float((before.double() - after.double()).square().sum()) / total if total else 0.0
