"""Ranks from one number for all layers: the energy kept, or the share of parameters left."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from pruning.lowrank.candidates import Candidate
from pruning.lowrank.geometry import Ranks
from pruning.lowrank.methods import METHODS

Spectra = tuple[Tensor, ...]  # of one weight: singular values, for each of its ranks
STEPS = 30  # of a bisection: the energy to nine digits


def rank_for_energy(values: Tensor, energy: float) -> int:
    """The lowest rank at which this share of the energy, the sum of squares, is kept.

    Args:
        values: (n,), singular values, largest first.
        energy: in [0, 1].
    Returns:
        1 to n.
    Raises:
        ValueError: if the energy is out of its range.
    """
    if not 0 <= energy <= 1:
        raise ValueError(f"The energy to keep must lie between 0 and 1, not {energy}.")
    tails = _tails(values)
    return max(1, int((tails > (1 - energy) * tails[0]).sum()))


def ranks_by_energy(
    module: nn.Module,
    candidates: Iterable[Candidate],
    energy: float,
    roots: Mapping[str, Tensor] | None = None,
) -> dict[str, Ranks]:
    """The lowest ranks that keep this share of each weight's energy, of layers that get cheaper by it.

    Of two ranks each may lose half of what may be lost: together they never lose more
    (De Lathauwer et al. 2000, "A multilinear singular value decomposition", property 10).

    Args:
        module: the network.
        candidates: of `find_factorable`; those with a reason are passed over.
        energy: in [0, 1]; 1 - energy bounds |W - W'|^2 / |W|^2, with roots of the weighted weights.
        roots: of `input_roots`.
    Returns:
        Layer -> ranks. Layers that would have more parameters or multiply-accumulates are not in it.
    Raises:
        ValueError: if the energy is out of its range.
    """
    return _by_energy(list(_each(module, candidates, roots)), energy)


def ranks_by_total(
    module: nn.Module,
    candidates: Iterable[Candidate],
    share: float,
    roots: Mapping[str, Tensor] | None = None,
) -> dict[str, Ranks]:
    """The highest energy, one for all layers, at which the network has at most this share of its parameters.

    Args:
        module, candidates, roots: as for `ranks_by_energy`.
        share: in (0, 1], of all parameters of the network.
    Returns:
        Layer -> ranks, as of `ranks_by_energy`.
    Raises:
        ValueError: if the share is out of its range, or rank 1 everywhere leaves more.
    """
    _check_share(share)
    total = sum(parameter.numel() for parameter in module.parameters())
    layers = list(_each(module, candidates, roots))

    def left(ranks: Mapping[str, Ranks]) -> float:
        saved = sum(
            one.parameters - one.parameters_at(ranks[one.name]) for one, _ in layers if one.name in ranks
        )
        return (total - saved) / total

    low, high = 0.0, 1.0  # more energy never takes fewer parameters
    best = _by_energy(layers, low)
    if left(best) > share:
        raise ValueError(
            f"At rank 1 the network still has {left(best):.1%} of its parameters; ask for no less."
        )
    for _ in range(STEPS):
        middle = (low + high) / 2
        ranks = _by_energy(layers, middle)
        if left(ranks) <= share:
            low, best = middle, ranks
        else:
            high = middle
    return best


def _by_energy(layers: Iterable[tuple[Candidate, Spectra]], energy: float) -> dict[str, Ranks]:
    found = {}
    for one, spectra in layers:
        part = 1 - (1 - energy) / len(spectra)
        ranks = one.fitted(tuple(rank_for_energy(values, part) for values in spectra))
        if one.saves(ranks):
            found[one.name] = ranks
    return found


def ranks_by_share(
    module: nn.Module,
    candidates: Iterable[Candidate],
    share: float,
    roots: Mapping[str, Tensor] | None = None,
) -> dict[str, Ranks]:
    """The highest ranks at which each layer has at most this share of its parameters, and no more MACs.

    Of all pairs of two ranks the one that loses the least energy, as far as the singular values tell.

    Args:
        module, candidates, roots: as for `ranks_by_energy`.
        share: in (0, 1], of the layer's weight and bias.
    Returns:
        Layer -> ranks. Layers that are too small for it are not in it.
    Raises:
        ValueError: if the share is out of its range.
    """
    _check_share(share)
    found = {}
    for one, spectra in _each(module, candidates, roots):
        ranks = _within(one, share, spectra)
        if ranks and one.saves(ranks):
            found[one.name] = ranks
    return found


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"The share of parameters must lie above 0 and be at most 1, not {share}.")


def _within(one: Candidate, share: float, spectra: Spectra) -> Ranks | None:
    """The ranks with at most this share of parameters, and no more MACs, that lose the least energy."""
    last = len(spectra[-1])
    lost = [_tails(values).tolist() for values in spectra]

    def used(ranks: Ranks) -> float:
        """Share of what may be spent; it grows with each rank."""
        return max(one.parameters_at(ranks) / (share * one.parameters), one.macs_at(ranks) / max(one.macs, 1))

    def highest(before: Ranks) -> int:
        """The highest last rank beside the others."""
        return bisect_right(range(1, last + 1), 1.0, key=lambda rank: used((*before, rank)))

    options = [()] if len(spectra) == 1 else [(rank,) for rank in range(1, len(spectra[0]) + 1)]
    best: tuple[float, Ranks] | None = None
    for before in options:
        if (rank := highest(before)) == 0:
            continue
        ranks = one.fitted((*before, rank))
        loss = sum(tails[rank] for tails, rank in zip(lost, ranks, strict=True))
        if best is None or loss < best[0]:
            best = loss, ranks
    return best[1] if best else None


def _each(
    module: nn.Module, candidates: Iterable[Candidate], roots: Mapping[str, Tensor] | None
) -> Iterator[tuple[Candidate, Spectra]]:
    for one in candidates:
        if not one.reason:
            weight = module.get_parameter(f"{one.name}.weight").detach()
            yield one, METHODS[one.method].spectra(weight, (roots or {}).get(one.name))


def _tails(values: Tensor) -> Tensor:
    """(n,) singular values -> (n + 1,): energy that is lost at rank 0, 1, ..., n."""
    squares = values.double().square()
    return torch.cat([squares.flip(0).cumsum(0).flip(0), squares.new_zeros(1)])
