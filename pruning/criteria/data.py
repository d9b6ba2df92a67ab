"""Criteria that look at calibration data: activations, gradients, conductance."""

from __future__ import annotations

import torch
from torch import Tensor

from pruning.criteria.base import Criterion, register
from pruning.criteria.magnitude import l2_norm
from pruning.criteria.views import GroupView, LayerView, find, spread_input_norm, take_units
from pruning.layers import WEIGHTED


def taylor_weights(weight: Tensor, gradient_square: Tensor) -> Tensor:
    """Squared first-order change of the loss when a weight is zeroed, mean over batches.

    Args:
        weight: any shape.
        gradient_square: mean over batches of the squared gradient, of the same shape.
    Returns:
        Of the same shape, >= 0.
    Source: Molchanov et al. 2019, arXiv:1906.10771.
    """
    return weight.square() * gradient_square


def taylor_units(products: Tensor) -> Tensor:
    """Squared first-order change of the loss when a unit is zeroed, mean over batches.

    Args:
        products: (batches, size), gradient times weight, summed over a unit's weights.
    Returns:
        (size,), >= 0.
    Source: Molchanov et al. 2019, arXiv:1906.10771, for a set of parameters.
    """
    return products.square().mean(0)


def wanda(weight: Tensor, input_norm: Tensor) -> Tensor:
    """Magnitude times the norm of the input that a weight multiplies.

    Args:
        weight: any shape.
        input_norm: of the same shape, L2 norm over calibration samples, in activation units.
    Returns:
        Of the same shape, >= 0.
    Source: Sun et al. 2023, arXiv:2306.11695.
    """
    return weight.abs() * input_norm


def _taylor_units(view: GroupView) -> Tensor:
    total = torch.zeros(())
    for member in view.removed():
        per_entry = find(view.statistics.products, member.parameter, "gradients")[member.dim].double()
        total = total + per_entry[:, member.index].sum(2)  # (batches, size, m) -> (batches, size)
    return taylor_units(total)


def _wanda_units(view: GroupView) -> Tensor:
    slices = []
    for member in view.removed():
        path, layer = view.owner(member)
        if not isinstance(layer, WEIGHTED):  # a positional embedding multiplies nothing
            continue
        norm = spread_input_norm(layer, find(view.statistics.input_norm, path, "inputs").double())
        slices.append(take_units(wanda(view.tensor(member).detach(), norm), member.dim, member.index))
    return l2_norm(slices)


def _lacks_inputs(view: GroupView) -> str:
    if any(isinstance(view.owner(member)[1], WEIGHTED) for member in view.removed()):
        return ""
    return "no linear layer or convolution reads or makes its channels"


def _conductance_units(view: GroupView) -> Tensor:
    total = torch.zeros(())
    for member in view.with_role("producer"):
        path, layer = view.owner(member)
        if isinstance(layer, WEIGHTED):
            flow = find(view.statistics.conductance, path, "conductance").double()
            # A grouped transposed convolution has several output channels for each entry of its weight.
            per_entry = flow.reshape(-1, view.tensor(member).shape[member.dim]).sum(0)
            total = total + per_entry[member.index].sum(1)
    return total


def _lacks_outputs(view: GroupView) -> str:
    if any(isinstance(view.owner(member)[1], WEIGHTED) for member in view.with_role("producer")):
        return ""
    return "no linear layer or convolution makes its channels"


def _wanda_weights(view: LayerView) -> Tensor:
    return wanda(view.weight, view.input_norm())


register(
    Criterion(
        name="taylor",
        label="Taylor, first order",
        description=(
            "How much the loss would change if this were zero, to first order: (gradient x weight) "
            "squared, mean over calibration batches. For a channel gradient x weight is first summed over "
            "all weights that read it, in all layers of its group; that equals the gradient of a gate on "
            "XXWhere no weight "
            "reads it (inside attention heads) the weights that make it stand in."
        ),
        source="Molchanov et al. 2019, arXiv:1906.10771",
        needs=frozenset({"gradients"}),
        weights=lambda view: taylor_weights(view.weight, view.gradient_square()),
        units=_taylor_units,
        comparable=True,
    )
)

register(
    Criterion(
        name="wanda",
        label="Wanda (weight x activation)",
        description=(
            "A weight matters by its size times the L2 norm of the input that it multiplies, measured on "
            "calibration data. The paper compares weights within an output row; here they compete within "
            "the layer, or globally. A channel's score is the root of the sum of squares over all weights "
            "that read it: what those layers lose with it."
        ),
        source="Sun et al. 2023, arXiv:2306.11695; for channels as in An et al. 2023, arXiv:2312.11983",
        needs=frozenset({"inputs"}),
        weights=_wanda_weights,
        units=_wanda_units,
        misfit=_lacks_inputs,
    )
)

register(
    Criterion(
        name="conductance",
        label="Layer conductance",
        description=(
            "How much of the logit of the true class flows through a channel on the way from an all-zero "
            "input to the sample: the absolute value, mean over calibration samples, summed over the "
            "layers that make the channel. Slower than the others: many passes for each sample."
        ),
        source="Dhamdhere et al. 2018, arXiv:1805.12233",
        needs=frozenset({"conductance"}),
        units=_conductance_units,
        misfit=_lacks_outputs,
        comparable=True,
    )
)
