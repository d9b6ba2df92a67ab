"""Penalties: what they sum, and that they pull towards zero."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_networks import EXAMPLE, NETWORKS, tiny, traces
from torch import Tensor, nn

from pruning.groups import find_structure
from pruning.layers import private_copy
from pruning.recover.regularise import REGULARISERS, PenaltyView


def view_of(
    name: str, strength: float = 0.5, progress: float = 0.5, module: nn.Module | None = None
) -> PenaltyView:
    module = module or tiny(name)
    random = torch.Generator().manual_seed(1)
    going = {key: torch.rand(p.shape, generator=random) < 0.5 for key, p in module.named_parameters()}
    return PenaltyView(module, find_structure(module, EXAMPLE), going, strength, progress)


def gradients(view: PenaltyView, name: str) -> dict[str, Tensor | None]:
    parameters = dict(view.module.named_parameters())
    found = torch.autograd.grad(
        REGULARISERS[name].penalty(view), list(parameters.values()), allow_unused=True
    )
    return dict(zip(parameters, found, strict=True))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", REGULARISERS)
def test_every_penalty_is_a_finite_scalar_that_pulls_towards_zero(name: str, network: str) -> None:
    view = view_of(network)
    norms = [part for part in view.module.modules() if isinstance(part, nn.BatchNorm2d)]
    if name == "bn-l1" and not norms:
        with pytest.raises(ValueError, match=r"^The network has no BatchNorm .*another penalty\.$"):
            REGULARISERS[name].penalty(view)
        return
    before = traces(view.module)
    value = REGULARISERS[name].penalty(view)
    assert value.shape == ()
    assert value.isfinite()
    assert value > 0
    parameters = dict(view.module.named_parameters())
    pulled = {key: g for key, g in gradients(view, name).items() if g is not None}
    assert pulled
    for key, gradient in pulled.items():
        assert gradient.isfinite().all()
        assert (gradient * parameters[key] >= 0).all()
    assert traces(view.module) == before
    smaller = REGULARISERS[name].penalty(view.at(0.5))
    torch.testing.assert_close(smaller, value)  # a second step, from what the first has looked up
    with torch.no_grad():
        for parameter in view.module.parameters():
            parameter *= 0.5
    assert REGULARISERS[name].penalty(view) < value


@pytest.mark.parametrize("name", REGULARISERS)
def test_pruned_entries_have_no_gradient_but_a_finite_one(name: str) -> None:
    """The root of a sum of squares has none at zero, and would give NaN."""
    view = view_of("residual")
    with torch.no_grad():
        for parameter in view.module.parameters():
            parameter[::2] = 0
    for key, gradient in gradients(view, name).items():
        assert gradient is None or gradient[view.module.get_parameter(key) == 0].abs().sum() == 0


def test_l1_is_the_sum_of_absolute_weights_each_once() -> None:
    view = view_of("tied")
    net = view.module
    expected = sum(layer.weight.abs().sum() for layer in (net.first, net.again, net.head))
    torch.testing.assert_close(REGULARISERS["l1"].penalty(view), 0.5 * expected)
    assert gradients(view, "l1")["first.bias"] is None


def test_group_lasso_takes_all_producers_of_a_unit_together() -> None:
    view = view_of("residual")
    net = view.module
    stream = torch.cat([net.stem.weight.flatten(1), net.project.weight.flatten(1)], 1)
    inner = torch.cat([net.expand.weight.flatten(1), net.depthwise.weight.flatten(1)], 1)
    expected = sum(math.sqrt(rows.shape[1]) * rows.norm(dim=1).sum() for rows in (stream, inner))
    torch.testing.assert_close(REGULARISERS["group-lasso"].penalty(view), 0.5 * expected)


def test_group_lasso_with_plain_subgradient_steps_empties_whole_channels() -> None:
    """Against L1 on the same weights: what is emptied is channels, not scattered weights."""
    view = view_of("plain", strength=1.0)
    weight = view.module.conv2.weight
    with torch.no_grad():
        weight[0] *= 0.05
    for _ in range(20):
        step = torch.autograd.grad(REGULARISERS["group-lasso"].penalty(view), [weight])[0]
        with torch.no_grad():
            weight -= 1e-3 * step
    norms = weight.detach().flatten(1).norm(dim=1)
    assert norms[0] < 0.05 * norms[1:].min()


def test_slimming_is_the_sum_of_absolute_scales() -> None:
    view = view_of("plain")
    expected = view.module.norm1.weight.abs().sum() + view.module.norm2.weight.abs().sum()
    torch.testing.assert_close(REGULARISERS["bn-l1"].penalty(view), 0.5 * expected)


def test_growing_acts_on_what_goes_alone_and_grows() -> None:
    view = view_of("plain", strength=2.0)
    weight = view.module.conv2.weight
    found = gradients(view.at(0.25), "growing")["conv2.weight"]
    torch.testing.assert_close(found, 2.0 * 0.25 * weight.detach() * view.going["conv2.weight"])
    assert REGULARISERS["growing"].penalty(view.at(0.0)) == 0
    torch.testing.assert_close(
        REGULARISERS["growing"].penalty(view.at(1.0)), 4 * REGULARISERS["growing"].penalty(view.at(0.25))
    )


def test_growing_without_anything_to_go_is_zero_and_passes_over_buffers() -> None:
    view = view_of("plain")
    nothing = PenaltyView(view.module, view.structure, {}, 1.0, 1.0)
    assert REGULARISERS["growing"].penalty(nothing) == 0
    buffers = PenaltyView(
        view.module, view.structure, {"norm1.running_mean": torch.ones(6, dtype=torch.bool)}, 1.0, 1.0
    )
    assert REGULARISERS["growing"].penalty(buffers) == 0


def test_networks_without_what_is_penalised_are_told() -> None:
    module = nn.Sequential(nn.Flatten(), nn.LayerNorm(36))
    view = PenaltyView(module, find_structure(private_copy(module), EXAMPLE), {}, 1.0)
    for name in ("l1", "group-lasso"):
        with pytest.raises(ValueError, match=r"^The network has no [^.]*\.$"):
            REGULARISERS[name].penalty(view)
