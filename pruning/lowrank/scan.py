"""How accuracy falls when each layer alone is factorised."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from pruning.cost import CostModel
from pruning.documents import Count, Finite, Share
from pruning.evaluate import Report, evaluate
from pruning.lowrank.candidates import Candidate, find_factorable, predict
from pruning.lowrank.factorise import factorise
from pruning.lowrank.geometry import PARTS, Ranks
from pruning.lowrank.moments import input_roots
from pruning.lowrank.ranks import ranks_by_share
from pruning.lowrank.record import multiplied
from pruning.sensitivity.point import Measured

if TYPE_CHECKING:
    from pruning.tasks import Task

SHARES = (0.75, 0.5, 0.35, 0.25, 0.15, 0.1)


class RankPoint(Measured):
    """What was measured with one layer factorised, all others as they are.

    Args:
        key: layer name.
        method: name of an entry of `METHODS`.
        share: of the layer's parameters that were to be left at most.
        ranks: that this came to.
        parameters, macs: of the whole network then.
        error: |W - W'|^2 / |W|^2 of the layer's weight.
        n: images measured.
    """

    key: str
    method: str
    share: Share
    ranks: tuple[int, ...]
    parameters: Count
    macs: Count
    error: Finite
    n: Count


def scan(
    module: nn.Module,
    task: Task,
    shares: Sequence[float] = SHARES,
    method: str = "tucker-2",
    *,
    example_inputs: Sequence[Any],
    layers: Sequence[str] | None = None,
    split: str = "validation",
    limit: int | None = None,
    data: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[RankPoint]:
    """Factorise each layer alone at several ranks, and measure; one point after the other.

    Ranks are chosen by the share of the layer's parameters that is left, so that layers can be compared.
    Shares that come to ranks already measured, or to none, have no point of their own.

    Args:
        module: the network, never changed.
        task: the data.
        shares: of the layer's parameters, each in (0, 1].
        method: name of an entry of `METHODS`.
        example_inputs: positional arguments of the network's forward.
        layers: only these; None = all that can be factorised.
        split: what to measure on; the test split is refused.
        limit: measure only the first `limit` images.
        data: whether errors are weighed by calibration images, where the method of a layer can.
        stop: ends the scan before its next point when set.
    Raises:
        ValueError: if a share or a name is wrong; at the first point.
    """
    if split == "test":
        raise ValueError("Test data is for final results only; scan on validation data.")
    candidates = find_factorable(module, example_inputs, method)
    chosen = [one for one in candidates if not one.reason and (layers is None or one.name in layers)]
    if not chosen or (layers is not None and len(chosen) != len(set(layers))):
        raise ValueError("A scan needs layers that can be factorised; choose from find_factorable.")
    roots = input_roots(module, task, chosen) if data else {}
    dense = CostModel(module, example_inputs).dense
    for one in chosen:
        seen: set[Ranks] = set()
        for share in sorted(set(map(float, shares)), reverse=True):
            ranks = ranks_by_share(module, [one], share, roots).get(one.name)
            if stop is not None and stop.is_set():
                return
            if ranks is None or ranks in seen:
                continue
            seen.add(ranks)
            small = factorise(module, {one.name: ranks}, one.method, roots=roots)
            report = evaluate(small, task, split, limit=limit)
            cost = predict(dense.parameters, dense.macs, [one], {one.name: ranks})
            yield _point(
                one, share, ranks, cost.parameters, cost.macs, weight_error(module, small, one), report
            )


def _point(
    one: Candidate, share: float, ranks: Ranks, parameters: int, macs: int, error: float, report: Report
) -> RankPoint:
    return RankPoint(
        key=one.name,
        method=one.method,
        share=share,
        ranks=ranks,
        parameters=parameters,
        macs=macs,
        error=error,
        accuracy=report.accuracy,
        interval=report.interval,
        loss=report.loss if report.loss < float("inf") else None,
        invalid=report.invalid,
        n=report.n,
    )


def weight_error(module: nn.Module, small: nn.Module, one: Candidate) -> float:
    """|W - W'|^2 / |W|^2, 0 of a weight that is zero."""
    weight = module.get_parameter(f"{one.name}.weight").detach().double()
    parts = dict(small.get_submodule(one.name).named_parameters())
    factors = [parts[key].detach().double() for part in PARTS if (key := f"{part}.weight") in parts]
    whole = float(weight.square().sum())
    return float((weight - multiplied(factors)).square().sum()) / whole if whole else 0.0
