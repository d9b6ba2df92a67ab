"""One contract for every method, on every layer that it fits."""

from __future__ import annotations

import pytest
import torch
from layers_to_split import LAYERS, PAIRS, made
from torch import Tensor, nn

from pruning.cost import CostModel
from pruning.lowrank import METHODS, factorise, find_factorable, predict, record_of
from pruning.lowrank.decompose import left_vectors, tucker_2
from pruning.lowrank.factorise import factors_of
from pruning.lowrank.geometry import PARTS, Ranks
from pruning.lowrank.record import multiplied

contract = pytest.mark.parametrize(("name", "method"), PAIRS)


def steps(most: Ranks) -> list[Ranks]:
    """Rising ranks, the last of them full."""
    return [tuple(max(1, round(rank * part / 4)) for rank in most) for part in range(1, 5)]


def test_every_method_and_every_layer_is_tried() -> None:
    assert {method for _, method in PAIRS} == set(METHODS)
    assert {name for name, _ in PAIRS} == set(LAYERS)


def test_every_method_says_what_it_is() -> None:
    for name, method in METHODS.items():
        assert method.name == name
        assert method.description.endswith(".")
        assert "arXiv:" in method.source


@contract
def test_full_rank_answers_alike(name: str, method: str) -> None:
    layer, x = made(name)
    most = METHODS[method].most(tuple(layer.weight.shape))
    small = factors_of(layer, method, most)
    with torch.no_grad():
        found, expected = small(x), layer(x)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < 1e-10


@contract
def test_the_error_falls_with_the_rank_and_is_what_spectra_say(name: str, method: str) -> None:
    layer, _ = made(name)
    entry, weight = METHODS[method], layer.weight.detach()
    errors = []
    for ranks in steps(entry.most(tuple(weight.shape))):
        ranks = entry.fitted(tuple(weight.shape), ranks)
        factors = [part.weight.detach() for part in factors_of(layer, method, ranks)]
        errors.append(float((weight - multiplied(factors)).square().sum()))
        lost = [
            float(values[rank:].square().sum())
            for values, rank in zip(entry.spectra(weight, None), ranks, strict=True)
        ]
        if len(ranks) == 1:
            assert errors[-1] == pytest.approx(lost[0], abs=1e-12)
        else:
            assert max(lost) - 1e-12 <= errors[-1] <= sum(lost) + 1e-12
    assert errors == sorted(errors, reverse=True) or errors == pytest.approx([0] * len(errors), abs=1e-20)
    assert errors[-1] < 1e-20 * float(weight.square().sum()) + 1e-25


@contract
def test_same_every_time_input_unchanged_and_nothing_shared(name: str, method: str) -> None:
    layer, _ = made(name)
    layer.train()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    ranks = METHODS[method].fitted(
        tuple(layer.weight.shape), (2,) * len(METHODS[method].most(tuple(layer.weight.shape)))
    )
    random = torch.get_rng_state()
    first, second = (factors_of(layer, method, ranks) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), random)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.isfinite().all()
        assert one.requires_grad
    assert first.training
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert all(torch.equal(layer.state_dict()[key], value) for key, value in before.items())


@contract
def test_keeps_dtype_and_frozen_parameters(name: str, method: str) -> None:
    layer, _ = made(name)
    layer = layer.to(torch.bfloat16).requires_grad_(False)
    most = METHODS[method].most(tuple(layer.weight.shape))
    small = factors_of(layer, method, most)
    assert all(p.dtype is torch.bfloat16 and not p.requires_grad for p in small.parameters())
    assert all((part.bias is None) == (layer.bias is None or part is not small[-1]) for part in small)


@contract
def test_predicted_cost_is_what_is_measured(name: str, method: str) -> None:
    layer, x = made(name)
    network = nn.Sequential(nn.Identity(), layer)
    (candidate,) = find_factorable(network, (x,), method)
    assert not candidate.reason
    dense = CostModel(network, (x,)).dense
    for ranks in steps(candidate.most):
        ranks = candidate.fitted(ranks)
        foretold = predict(dense.parameters, dense.macs, [candidate], {"1": ranks})
        measured = CostModel(factorise(network, {"1": ranks}, method), (x,)).dense
        assert (foretold.parameters, foretold.macs) == (measured.parameters, measured.macs)


@contract
def test_what_is_made_is_recorded(name: str, method: str) -> None:
    layer, _ = made(name)
    network = nn.Sequential(layer)
    most = METHODS[method].most(tuple(layer.weight.shape))
    small = factorise(network, {"0": most}, method)
    record = record_of(small)
    assert record is not None
    assert (record.layers["0"].method, record.layers["0"].ranks) == (method, most)
    assert record_of(network) is None
    assert network[0] is layer
    names = [part for part, _ in small.get_submodule("0").named_children()]
    assert names == [part for part in PARTS if part in names]


def test_a_weight_of_zeros_and_one_of_exact_rank() -> None:
    layer = nn.Linear(6, 5, bias=False).double()
    nn.init.zeros_(layer.weight)
    assert all(not part.any() for part in factors_of(layer, "svd", (3,)).parameters() if part.shape[0] == 3)
    left, right = torch.randn(5, 2).double(), torch.randn(2, 6).double()
    layer.weight = nn.Parameter(left @ right)
    x = torch.randn(4, 6).double()
    with torch.no_grad():
        assert float((factors_of(layer, "svd", (2,))(x) - layer(x)).abs().max()) < 1e-12


def test_signs_do_not_depend_on_the_decomposition() -> None:
    matrix = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    vectors, _ = left_vectors(matrix)
    assert (vectors.gather(0, vectors.abs().argmax(0, keepdim=True)) > 0).all()
    turned, _ = left_vectors(-matrix)
    assert torch.allclose(vectors, turned, atol=1e-12)


def test_hooi_is_better_than_hosvd() -> None:
    weight = torch.randn(8, 6, 3, 3, generator=torch.Generator().manual_seed(2)).double()

    def error(inputs: Tensor, core: Tensor, outputs: Tensor) -> float:
        made = torch.einsum("ri,srxy,os->oixy", inputs, core, outputs)
        return float((weight - made).square().sum())

    inputs, outputs = (left_vectors(weight.movedim(dim, 0).flatten(1))[0] for dim in (1, 0))
    inputs, outputs = inputs[:, :2], outputs[:, :3]
    start = error(inputs.T, torch.einsum("oixy,ir,os->srxy", weight, inputs, outputs), outputs)
    assert error(*tucker_2(weight, (2, 3))) < 0.999 * start


@pytest.mark.parametrize(
    ("ranks", "method", "said"),
    [
        ({"0": 3}, "tucker-2", "needs 2 ranks by tucker-2, not 1"),
        ({"0": (2, 2)}, "channel-svd", "needs 1 rank by channel-svd, not 2"),
        ({"0": (5, 2)}, "tucker-2", "its highest is 4 x 2"),
        ({"0": (1, 9)}, "tucker-2", "its highest is 1 x 6"),
        ({"0": 0}, "channel-svd", "whole numbers from 1 on, not 0"),
        ({"7": 1}, "channel-svd", "no such layer"),
        ({"1": 1}, "channel-svd", "Only linear layers and convolutions"),
        ({"0": 1}, "svd", "Only linear layers"),
        ({"0": 1}, "cp", "no method of low rank 'cp'"),
    ],
)
def test_what_cannot_be_done_is_said(ranks: dict[str, int | Ranks], method: str, said: str) -> None:
    network = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU())
    with pytest.raises(ValueError, match=said) as caught:
        factorise(network, ranks, method)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "svd"])
def test_weights_that_are_not_finite_are_refused(method: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    network[0].weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        factorise(network, {"0": (2,) * len(METHODS[method].most((4, 3, 3, 3)))}, method)


def test_a_network_is_factorised_once() -> None:
    small = factorise(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), {"0": 2})
    with pytest.raises(ValueError, match="factorised already"):
        factorise(small, {"1": 2})
