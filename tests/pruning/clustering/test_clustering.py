"""Every way to begin, the optimum against all partitions, shared weights of layers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning.clustering import INITS, centroids_of, cluster, fit, share
from pruning.clustering.optimum import optimum
from pruning.clustering.spread import Spread

NUMBERS = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40)


def least_error(numbers: np.ndarray, k: int) -> float:
    """Of all partitions into runs, by trying them."""
    ordered = np.sort(numbers.astype(np.float64))
    best = np.inf
    for cuts in combinations(range(1, len(ordered)), k - 1):
        runs = np.split(ordered, cuts)
        best = min(best, sum(float(((run - run.mean()) ** 2).sum()) for run in runs))
    return best


@pytest.mark.parametrize("init", INITS)
@given(numbers=NUMBERS, k=st.integers(1, 9), seed=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_numbers_go_to_their_nearest_centroid(init: str, numbers: list[float], k: int, seed: int) -> None:
    values = torch.tensor(numbers)
    found = fit(values, k, init=init, seed=seed)
    assert 1 <= len(found.centroids) <= k
    assert bool((found.centroids.diff() > 0).all())
    distances = (values.double()[:, None] - found.centroids.double()).abs()
    chosen = distances.gather(1, found.index[:, None]).flatten()
    assert torch.allclose(chosen, distances.amin(1), atol=1e-12)
    assert found.error == pytest.approx(float(chosen.square().sum()), abs=1e-9)
    assert torch.equal(fit(values, k, init=init, seed=seed).centroids, found.centroids)
    if len(set(numbers)) <= k:
        assert found.error == 0


@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
def test_the_optimum_is_the_least_of_all_partitions(k: int) -> None:
    generator = np.random.default_rng(k)
    for size in (9, 10, 11):
        numbers = generator.choice([-3.0, 0.5, 1e-3, 1e4, 2.0, 7.0], size) * generator.normal(size=size)
        centroids = optimum(Spread.of(numbers), k)
        error = float(((numbers[:, None] - centroids) ** 2).min(1).sum())
        assert error == pytest.approx(least_error(numbers, k), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("init", INITS)
def test_no_way_to_begin_beats_the_optimum_and_more_bits_lose_less(init: str) -> None:
    values = torch.randn(3000, generator=torch.Generator().manual_seed(0))
    errors = [fit(values, 2**bits, init=init).error for bits in range(1, 7)]
    assert errors == sorted(errors, reverse=True)
    best = [fit(values, 2**bits, init="exact").error for bits in range(1, 7)]
    assert all(found >= least * (1 - 1e-9) for found, least in zip(errors, best, strict=True))


def test_the_optimum_of_many_numbers_is_no_worse_than_another_way() -> None:
    values = torch.randn(60_000, generator=torch.Generator().manual_seed(0))
    assert fit(values, 16, init="exact").error <= fit(values, 16, init="linear").error * 1.0001


@pytest.mark.parametrize("init", [name for name in INITS if name != "linear"])
def test_another_k_means_moves_centroids_to_the_same_places(init: str) -> None:
    pytest.importorskip("sklearn")
    values = torch.randn(800, generator=torch.Generator().manual_seed(1)).round(decimals=2)
    for k in (1, 2, 5, 16):
        own = fit(values, k, init=init)
        other = fit(values, k, init=init, solver="scikit-learn")
        assert torch.allclose(own.centroids, other.centroids, atol=1e-6)
        assert torch.equal(own.index, other.index)
        assert own.error == pytest.approx(other.error, rel=1e-6)


def test_clusters_left_empty_go_or_get_a_new_place() -> None:
    pytest.importorskip("sklearn")
    values = torch.cat([torch.linspace(-1.0, 1.0, 60), torch.tensor([100.0])])
    own, other = fit(values, 8), fit(values, 8, solver="scikit-learn")
    assert len(own.centroids) < len(other.centroids) == 8
    assert other.error < own.error


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_zeros_stay_zero_and_few_values_are_left(dtype: torch.dtype) -> None:
    weight = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    weight[weight.abs() < 0.5] = 0
    before = weight.clone()
    for bits in (1, 3, 8):
        found = share(weight, bits)
        assert found.shape == weight.shape
        assert found.dtype == dtype
        assert torch.equal(found[weight == 0], weight[weight == 0])
        assert len(centroids_of(found)) <= 2**bits
    assert torch.equal(weight, before)
    assert not share(torch.zeros(3, 3), 4).any()


def test_layers_are_clustered_in_a_copy_and_shared_weights_once() -> None:
    first, other = nn.Linear(8, 8), nn.Linear(8, 8)
    other.weight = first.weight
    module = nn.Sequential(first, other, nn.Linear(8, 4))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = cluster(module, {"0": 2, "1": 4})
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())
    assert found[0].weight is found[1].weight
    assert len(centroids_of(found[0].weight)) <= 4
    assert torch.equal(found[2].weight, module[2].weight)


@pytest.mark.parametrize(
    ("bits", "sentence"),
    [
        ({"0": 0}, "0 bits"),
        ({"0": 9}, "9 bits"),
        ({"nowhere": 4}, "no layer 'nowhere'"),
        ({"1": 4}, "'1' has no"),
    ],
)
def test_what_cannot_be_clustered_is_said(bits: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        cluster(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), bits)


@pytest.mark.parametrize("values", [torch.empty(0), torch.tensor([1.0, float("nan")])])
def test_numbers_must_be_there_and_finite(values: Tensor) -> None:
    with pytest.raises(ValueError, match="finite"):
        fit(values, 2)
    with pytest.raises(ValueError, match="There is no initialisation"):
        fit(torch.ones(2), 1, init="sideways")
    with pytest.raises(ValueError, match="no solver 'sideways'; choose from own, scikit-learn"):
        fit(torch.ones(2), 1, solver="sideways")  # type: ignore[arg-type]
