"""The contract of every scheme and range, and what quantised networks are."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import Grouped, Plain, Tied
from torch import Tensor, nn

from pruning.quantise import RANGES, Uniform, grid_of, grids, quantise, quantise_weight
from pruning.quantise.network import squared_error

SCHEMES = [Uniform(*choice) for choice in product((True, False), (True, False), RANGES)]
MANY = pytest.mark.parametrize("scheme", SCHEMES, ids=str)


@pytest.fixture
def weight() -> Tensor:
    """Pruned by half, off centre, with an outlier."""
    weight = torch.randn(6, 20, 5, generator=torch.Generator().manual_seed(0)) + 0.3
    weight[0, 0, 0] = 12.0
    return weight * (torch.arange(100).view(20, 5) % 2)


@MANY
def test_contract(weight: Tensor, scheme: Uniform) -> None:
    before = weight.clone()
    for bits in range(1, 9):
        got = quantise_weight(weight, bits, scheme)
        assert got.shape == weight.shape
        assert got.dtype == weight.dtype
        assert got.isfinite().all()
        assert torch.equal(got, quantise_weight(weight, bits, scheme))
        assert torch.equal(weight, before)
        assert (got[weight == 0] == 0).all()
        for part in got if scheme.per_channel else [got]:
            values = part.unique()
            assert len(values[values != 0]) <= 2**bits
            assert bits == 1 or len(values) <= 2**bits


@MANY
def test_error_falls_with_bits(weight: Tensor, scheme: Uniform) -> None:
    # One bit has the best of all scales, and may be better than two bits from minimum to maximum.
    errors = [squared_error(weight, quantise_weight(weight, bits, scheme)) for bits in range(2, 9)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 100


@pytest.mark.parametrize(("symmetric", "per_channel"), list(product((True, False), repeat=2)))
def test_mse_is_never_worse_than_any_other_range(weight: Tensor, symmetric: bool, per_channel: bool) -> None:
    for bits in range(2, 9):
        errors = {
            name: squared_error(weight, quantise_weight(weight, bits, Uniform(symmetric, per_channel, name)))
            for name in RANGES
        }
        assert errors["mse"] <= errors["min-max"] * (1 + 1e-9)
        assert bits > 4 or errors["mse"] < 0.95 * errors["min-max"]  # the outlier is clipped


def test_a_percentile_clips_the_outermost_values_only() -> None:
    weight = torch.cat([torch.linspace(-1, 1, 10_000), torch.tensor([50.0]), torch.zeros(10_000)])
    for symmetric in (True, False):
        got = quantise_weight(weight, 8, Uniform(symmetric, False, "percentile"))
        assert got.abs().max() == pytest.approx(1.0, abs=0.02)
        assert quantise_weight(weight, 8, Uniform(symmetric, False, "min-max")).max() == pytest.approx(
            50.0, rel=0.01
        )


@MANY
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_integers_scale_and_zero_point_give_the_weights_to_the_bit(
    weight: Tensor, scheme: Uniform, bits: int
) -> None:
    grid = grid_of(weight, bits, scheme)
    assert torch.equal(grid.values(), quantise_weight(weight, bits, scheme))
    assert grid.integers.dtype == (torch.int8 if scheme.symmetric or bits == 1 else torch.uint8)
    assert len(grid.scale) == len(grid.zero_point) == (len(weight) if scheme.per_channel else 1)
    assert grid.zero_point.dtype == torch.int32
    assert (grid.zero_point == 0).all() or not scheme.symmetric


def test_by_hand() -> None:
    weight = torch.tensor([[-1.0, -0.4, 0.0, 0.6, 2.0]])
    affine = grid_of(weight, 2, Uniform(False, False, "min-max"))  # steps of 1 from -1
    assert affine.integers.tolist() == [[0, 1, 1, 2, 3]]
    assert (affine.scale.tolist(), affine.zero_point.tolist()) == ([1.0], [1])
    symmetric = grid_of(weight, 3, Uniform(True, False, "min-max"))  # -3..3 of 2/3
    assert symmetric.integers.tolist() == [[-2, -1, 0, 1, 3]]
    assert quantise_weight(weight, 1).tolist() == [[-1.0, -1.0, 0.0, 1.0, 1.0]]


@MANY
@pytest.mark.parametrize("value", [0.0, 1e-42, 3.0, -2.5])
def test_a_constant_tensor(scheme: Uniform, value: float) -> None:
    got = quantise_weight(torch.full((3, 4), value), 4, scheme)
    assert torch.allclose(got, torch.full((3, 4), value), rtol=1e-5, atol=1e-37)


@given(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=2, max_size=40),
    st.integers(1, 8),
    st.sampled_from(SCHEMES),
)
@settings(max_examples=60, deadline=None)
def test_any_finite_numbers(values: list[float], bits: int, scheme: Uniform) -> None:
    weight = torch.tensor(values).view(2, -1) if len(values) % 2 == 0 else torch.tensor([values])
    got = quantise_weight(weight, bits, scheme)
    assert got.isfinite().all()
    assert (got[weight == 0] == 0).all()
    assert got.abs().max() <= weight.abs().max() * 1.34 + 1e-37  # half a step beyond the end


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_dtypes_stay(weight: Tensor, dtype: torch.dtype) -> None:
    got = quantise_weight(weight.to(dtype), 4)
    assert got.dtype == dtype
    assert len(got[0].unique()) <= 16


def test_quantise_changes_a_copy_of_the_named_layers_only() -> None:
    torch.manual_seed(0)
    net = Plain()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    got = quantise(net, {"conv2": 2, "head": 3}, Uniform(per_channel=False))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    changed = {name for name, tensor in got.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed == {"conv2.weight", "head.weight"}
    state = got.state_dict()
    assert len(state["conv2.weight"].unique()) <= 4
    assert len(state["head.weight"].unique()) <= 8


def test_channels_of_a_transposed_convolution_lie_along_its_second_axis() -> None:
    torch.manual_seed(0)
    net = Grouped()
    with torch.no_grad():
        net.up.weight.mul_(torch.tensor([1.0, 10, 100, 1000, 10000]).view(1, 5, 1, 1))
    grid = grids(net, {"up": 4})["up"]
    assert len(grid.scale) == 5
    assert torch.equal(quantise(net, {"up": 4}).up.weight, grid.values())  # type: ignore[arg-type]
    relative = (grid.values() - net.up.weight).abs().amax((0, 2, 3)) / net.up.weight.abs().amax((0, 2, 3))
    assert (relative < 0.2).all()


def test_a_shared_weight_is_quantised_once() -> None:
    net = Tied()
    got = quantise(net, {"again": 2, "twin": 8})
    assert got.twin.weight is got.again.weight
    assert all(len(row.unique()) <= 4 for row in got.again.weight)


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ({"nowhere": 4}, "no layer 'nowhere'"),
        ({"norm1": 4}, "no weight of its own"),
        ({"relu": 4}, "no weight of its own"),
        ({"head": 0}, "from 1 to 8"),
        ({"head": 9}, "from 1 to 8"),
        ({"head": True}, "from 1 to 8"),
        ({"head": 2.0}, "from 1 to 8"),
    ],
)
def test_refused(bits: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        quantise(Plain(), bits)


def test_numbers_that_are_not_finite_and_unknown_ranges_are_refused() -> None:
    with pytest.raises(ValueError, match="Only finite numbers"):
        quantise_weight(torch.tensor([[1.0, float("nan")]]), 4)
    with pytest.raises(ValueError, match="no range 'widest'"):
        Uniform(range="widest")


def test_a_network_that_is_one_layer() -> None:
    assert all(len(row.unique()) <= 4 for row in quantise(nn.Linear(30, 4), {"": 2}).weight)
