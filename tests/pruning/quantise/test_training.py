"""Training straight through rounding and clipping, in a plain loop."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from fake_task import fake_task
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import Plain, Tied
from torch import nn

from pruning.evaluate import evaluate
from pruning.quantise import Clip, ClipQ, Straight, Uniform, clip_and_partition, quantise
from pruning.recover import Pruning, Recovery, recover

Constraint = Straight | ClipQ
X = torch.randn(40, 1, 6, 6, generator=torch.Generator().manual_seed(1))
Y = (X.mean((1, 2, 3)) > 0).long() + (X[:, 0, 0, 0] > 1).long()
BITS = {"conv2": 2, "head": 3}
CLIPS = {"conv2": Clip(0.5, 2), "head": Clip(0.25, 3)}

MADE = {
    "straight": lambda net: Straight(net, BITS, refresh=3),
    "clip-q": lambda net: ClipQ(net, CLIPS),
}
BOTH = pytest.mark.parametrize("made", MADE.values(), ids=MADE)


def network(seed: int = 0) -> Plain:
    torch.manual_seed(seed)
    return Plain()


def train(net: nn.Module, constraint: Constraint, steps: int, lr: float = 0.01) -> list[float]:
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
    constraint.set(optimizer)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(X), Y)
        loss.backward()  # type: ignore[no-untyped-call]
        constraint.before_step()
        optimizer.step()
        constraint.after_step()
        losses.append(loss.item())
    return losses


@BOTH
def test_one_step_moves_the_exact_weights_by_the_gradient_at_the_rounded_ones(
    made: Callable[[nn.Module], Constraint],
) -> None:
    net = network()
    exact = net.conv2.weight.detach().clone()
    constraint = made(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    constraint.set(optimizer)
    rounded = net.conv2.weight.detach().clone()
    assert not torch.equal(rounded, exact)
    F.cross_entropy(net(X), Y).backward()  # type: ignore[no-untyped-call]
    gradient = net.conv2.weight.grad
    assert gradient is not None
    constraint.before_step()
    assert torch.equal(net.conv2.weight, exact)
    optimizer.step()
    constraint.after_step()
    assert torch.allclose(constraint.exact["conv2"], exact - 0.1 * gradient)
    assert len(net.conv2.weight.unique()) < net.conv2.weight.numel() / 4


@BOTH
def test_training_lowers_the_loss_of_the_network_that_is_shown(
    made: Callable[[nn.Module], Constraint],
) -> None:
    net = network()
    constraint = made(net)
    losses = train(net, constraint, 40)
    assert losses[-1] < 0.6 * losses[0]
    with torch.no_grad():  # what a step shows is what is evaluated afterwards
        assert torch.isfinite(net(X)).all()
    for name, layer in (("conv2", net.conv2), ("head", net.head)):
        assert not torch.equal(layer.weight, constraint.exact[name])


def test_straight_ends_on_the_lattice_of_its_exact_weights() -> None:
    net = network()
    scheme = Uniform(False, True, "min-max")
    constraint = Straight(net, BITS, scheme, refresh=1)
    train(net, constraint, 5)
    exact = network()
    exact.load_state_dict(net.state_dict())
    with torch.no_grad():
        exact.conv2.weight.copy_(constraint.exact["conv2"])
        exact.head.weight.copy_(constraint.exact["head"])
    again = quantise(exact, BITS, scheme)
    assert torch.equal(again.conv2.weight, net.conv2.weight)
    assert torch.equal(again.head.weight, net.head.weight)


def test_between_two_refreshes_a_lattice_stays() -> None:
    net = network()
    constraint = Straight(net, {"head": 2}, Uniform(per_channel=False), refresh=4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    constraint.set(optimizer)
    steps = []
    for _ in range(4):
        F.cross_entropy(net(X), Y).backward()  # type: ignore[no-untyped-call]
        constraint.before_step()
        optimizer.step()
        constraint.after_step()
        steps.append(net.head.weight.abs().max().item())
    assert steps[0] == steps[1] == steps[2] != steps[3]


@pytest.mark.parametrize("keep", [True, False])
def test_weights_that_pruning_removed_return_only_if_they_may(keep: bool) -> None:
    net = network()
    with torch.no_grad():
        net.conv2.weight[:, ::2] = 0
    for constraint in (
        Straight(net, {"conv2": 4}, keep_zeros=keep),
        ClipQ(net, {"conv2": Clip(0, 4)}, keep_zeros=keep),
    ):
        train(net, constraint, 5)
        assert bool((net.conv2.weight[:, ::2] == 0).all()) is keep
        assert (net.conv2.weight[:, 1::2] != 0).any()


def test_clipped_weights_return_when_they_grow() -> None:
    net = network()
    constraint = ClipQ(net, {"conv2": Clip(0.6, 3)})
    constraint.set()
    gone = net.conv2.weight == 0
    train(net, constraint, 30)
    still = net.conv2.weight == 0
    assert (gone & ~still).any()
    assert (still & ~gone).any()
    assert still.float().mean() == pytest.approx(0.6, abs=0.02)


def test_a_shared_weight_is_one_weight() -> None:
    torch.manual_seed(0)
    net = Tied()
    train(net, Straight(net, {"again": 2, "twin": 2}), 3)
    assert all(len(row.unique()) <= 4 for row in net.twin.weight)


def test_training_is_deterministic() -> None:
    for made in MADE.values():
        nets = [network(), network()]
        for net in nets:
            train(net, made(net), 4)
        assert torch.equal(nets[0].conv2.weight, nets[1].conv2.weight)


def test_clip_and_partition_by_hand() -> None:
    weight = torch.tensor([-4.0, -3.0, -1.0, -0.5, 0.0, 0.1, 0.2, 1.0, 1.2, 5.0])
    got = clip_and_partition(weight, Clip(0.4, 2))
    # One of four below zero goes and two of five above; lengths of 3 and 4 are left, with two intervals each.
    assert torch.allclose(got, torch.tensor([-3.5, -3.5, -1, 0, 0, 0, 0, 1.1, 1.1, 5.0]))


@given(
    st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=1, max_size=60),
    st.integers(1, 8),
    st.floats(0, 0.99),
)
@settings(max_examples=100, deadline=None)
def test_clip_contract(values: list[float], bits: int, share: float) -> None:
    weight = torch.tensor(values)
    before = weight.clone()
    got = clip_and_partition(weight, Clip(share, bits))
    assert torch.equal(weight, before)
    assert torch.equal(got, clip_and_partition(weight, Clip(share, bits)))
    assert got.shape == weight.shape
    assert got.isfinite().all()
    assert len(got[got != 0].unique()) <= 2**bits
    assert (got[weight == 0] == 0).all()
    assert (got * weight >= 0).all()  # no weight changes its sign
    for sign in (1, -1):
        count = int((weight * sign > 0).sum())
        assert int((got * sign > 0).sum()) == count - int(share * count)


def test_without_clipping_and_with_enough_bits_little_changes() -> None:
    weight = torch.randn(500, generator=torch.Generator().manual_seed(0))
    errors = [(clip_and_partition(weight, Clip(0, bits)) - weight).square().sum() for bits in range(1, 9)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * errors[0]


@pytest.mark.parametrize(("share", "bits"), [(-0.1, 4), (1.0, 4), (float("nan"), 4), (0.5, 0), (0.5, 9)])
def test_impossible_clips_are_refused(share: float, bits: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Clip(share, bits)


def test_refused() -> None:
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        Straight(Plain(), {"nowhere": 3})
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        ClipQ(Plain(), {"nowhere": Clip(0.5, 3)})
    with pytest.raises(ValueError, match="after 1 step or more"):
        Straight(Plain(), {"head": 3}, refresh=0)


@BOTH
def test_recover_trains_under_it_and_gives_the_quantised_network(
    made: Callable[[nn.Module], Constraint],
) -> None:
    net, task = network().eval(), fake_task()
    fit = Pruning(prune=0, recover=2)
    found = recover(net, task, Recovery(pruning=fit), example_inputs=(task.validation.x,), constrain=made)
    got = found.module
    assert isinstance(got, Plain)
    assert len(got.conv2.weight.unique()) < 40
    assert len(net.conv2.weight.unique()) > 400
    first = network().eval()
    made(first).set()  # the state before the first step is the rounded network, not the one given
    assert found.epochs[0].accuracy == evaluate(first, task).accuracy
    assert found.recovered.accuracy == max(epoch.accuracy for epoch in found.epochs)
