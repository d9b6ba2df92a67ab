"""Ranks by energy and by share, weighed by data or not."""

from __future__ import annotations

import pytest
import torch
from fake_task import fake_task
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import EXAMPLE, tiny
from torch import Tensor, nn

from pruning.lowrank import (
    METHODS,
    factorise,
    find_factorable,
    input_roots,
    moments,
    rank_for_energy,
    ranks_by_energy,
    ranks_by_share,
    ranks_by_total,
)
from pruning.lowrank.geometry import PARTS
from pruning.lowrank.moments import patches
from pruning.lowrank.record import multiplied

WIDE = (torch.zeros(2, 6, 7, 7),)


def wide(seed: int = 0) -> nn.Sequential:
    """Layers large enough to get cheaper."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(6, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 20),
            nn.Linear(20, 3),
        ).eval()


def product(network: nn.Module, name: str) -> Tensor:
    parts = dict(network.get_submodule(name).named_children())
    return multiplied([parts[part].weight.detach().double() for part in PARTS if part in parts])


@given(
    st.lists(st.floats(0, 1e3), min_size=1, max_size=12).map(lambda v: torch.tensor(sorted(v, reverse=True))),
    st.floats(0, 1),
)
@settings(max_examples=80, deadline=None)
def test_rank_for_energy_is_the_lowest_that_keeps_it(values: Tensor, energy: float) -> None:
    squares = values.double().square()
    rank = rank_for_energy(values, energy)
    assert 1 <= rank <= len(values)
    allowed = (1 - energy) * float(squares.sum())
    assert float(squares[rank:].sum()) <= allowed * (1 + 1e-9) + 1e-12
    if rank > 1:
        assert float(squares[rank - 1 :].sum()) >= allowed * (1 - 1e-9) - 1e-12


def test_energy_out_of_range_is_said() -> None:
    for energy in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            rank_for_energy(torch.ones(3), energy)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("energy", [0.3, 0.7, 0.9])
def test_energy_bounds_the_error_of_each_layer(method: str, energy: float) -> None:
    network = wide()
    candidates = find_factorable(network, WIDE, method)
    ranks = ranks_by_energy(network, candidates, energy)
    assert ranks
    small = factorise(network, ranks, method)
    for one in candidates:
        if one.name in ranks:
            weight = network.get_parameter(f"{one.name}.weight").detach().double()
            lost = float((weight - product(small, one.name)).square().sum() / weight.square().sum())
            assert lost <= 1 - energy + 1e-9
            assert one.saves(ranks[one.name])


def test_layers_that_would_cost_more_stay_whole() -> None:
    network = wide()
    assert ranks_by_energy(network, find_factorable(network, WIDE), 1.0) == {}
    assert ranks_by_share(network, find_factorable(network, WIDE), 0.01) == {}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_shares_are_kept_to_and_not_one_rank_more_fits(method: str, share: float) -> None:
    network = wide()
    candidates = find_factorable(network, WIDE, method)
    ranks = ranks_by_share(network, candidates, share)
    assert ranks
    for one in candidates:
        if one.name in ranks:
            best = ranks[one.name]
            assert one.parameters_at(best) <= share * one.parameters
            if len(best) == 1 and one.fitted((best[0] + 1,)) != best:
                more = (best[0] + 1,)
                assert one.parameters_at(more) > share * one.parameters or one.macs_at(more) > one.macs
            assert one.macs_at(best) <= one.macs


@pytest.mark.parametrize("method", METHODS)
def test_a_share_of_the_whole_network_is_reached_by_one_energy(method: str) -> None:
    network = wide()
    candidates = find_factorable(network, WIDE, method)
    total = sum(p.numel() for p in network.parameters())

    def left(ranks: dict[str, tuple[int, ...]]) -> float:
        return sum(p.numel() for p in factorise(network, ranks, method).parameters()) / total

    others = [left(ranks_by_energy(network, candidates, energy / 25)) for energy in range(26)]
    for share in (0.4, 0.6, 0.9):
        best = left(ranks_by_total(network, candidates, share))
        assert max(other for other in others if other <= share) <= best <= share
    assert ranks_by_total(network, candidates, 1.0) == {}


def test_a_share_that_rank_one_cannot_reach_is_said() -> None:
    network = wide()
    with pytest.raises(ValueError, match=r"At rank 1 the network still has \d+\.\d%") as caught:
        ranks_by_total(network, find_factorable(network, WIDE), 0.001)
    assert "\n" not in str(caught.value)


def test_of_all_pairs_of_ranks_the_best_is_taken() -> None:
    network = wide()
    (one,) = [one for one in find_factorable(network, WIDE) if one.method == "tucker-2"]
    ranks = ranks_by_share(network, [one], 0.4)["0"]
    spectra = METHODS["tucker-2"].spectra(network[0].weight.detach(), None)

    def lost(pair: tuple[int, ...]) -> float:
        return sum(float(v[rank:].square().sum()) for v, rank in zip(spectra, pair, strict=True))

    within = [
        (into, out)
        for into in range(1, 7)
        for out in range(1, 17)
        if one.parameters_at((into, out)) <= 0.4 * one.parameters and one.macs_at((into, out)) <= one.macs
    ]
    assert ranks in within
    assert lost(ranks) == pytest.approx(min(map(lost, within)))


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_shares_out_of_range_are_said(share: float) -> None:
    with pytest.raises(ValueError, match="share of parameters"):
        ranks_by_share(wide(), [], share)


def test_patches_are_what_the_layer_multiplies() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for layer, shape in [
            (nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1)), (2, 3, 7, 6)),
            (nn.Conv1d(3, 4, 3, padding="same", padding_mode="circular"), (2, 3, 7)),
            (nn.Linear(5, 4), (2, 3, 5)),
        ]:
            x = torch.randn(shape)
            with torch.no_grad():
                expected = layer(x) if isinstance(layer, nn.Linear) else layer(x).movedim(1, -1)
                found = patches(layer, x) @ layer.weight.flatten(1).T + layer.bias
            assert torch.allclose(found, expected.reshape(found.shape), atol=1e-5)


def test_weighed_by_data_the_outputs_err_less_on_that_data() -> None:
    network, task = tiny("plain"), fake_task(images=80)
    task.calibration.x[..., 3:] *= 0.05  # half of each image hardly varies
    candidates = find_factorable(network, EXAMPLE, "channel-svd")
    roots = input_roots(network, task, candidates)
    assert set(roots) == {"conv1", "conv2", "head"}
    assert not any(part._forward_pre_hooks for part in network.modules())
    for name, ranks in (("conv1", 2), ("head", 1)):
        plain = factorise(network, {name: ranks}, "channel-svd")
        weighed = factorise(network, {name: ranks}, "channel-svd", roots=roots)
        weight = network.get_parameter(f"{name}.weight").detach().double().flatten(1)
        errors = [
            float(((weight - product(small, name).flatten(1)) @ roots[name]).square().sum())
            for small in (plain, weighed)
        ]
        assert errors[1] < 0.99 * errors[0]


def test_of_many_patches_some_are_drawn_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network, task = tiny("plain"), fake_task(images=80)
    candidates = find_factorable(network, EXAMPLE, "channel-svd")
    every = input_roots(network, task, candidates)
    monkeypatch.setattr(moments, "PATCHES", 800)
    some, again = (input_roots(network, task, candidates) for _ in range(2))
    assert all(torch.equal(some[name], again[name]) for name in some)
    assert torch.equal(some["head"], every["head"]), "it has one patch an image"
    moment, drawn = (found["conv1"] @ found["conv1"].T for found in (every, some))
    assert not torch.equal(moment, drawn)
    assert float((moment - drawn).norm() / moment.norm()) < 0.2


def test_at_full_rank_data_changes_nothing() -> None:
    network, task = tiny("plain"), fake_task()
    task.calibration.x.zero_()  # inputs that say nothing
    candidates = find_factorable(network, EXAMPLE, "channel-svd")
    roots = input_roots(network, task, candidates)
    small = factorise(network, {one.name: one.most for one in candidates}, "channel-svd", roots=roots)
    x = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(small(x), network(x), atol=1e-4)


def test_methods_that_take_no_data_say_so() -> None:
    with pytest.raises(ValueError, match="cannot weigh errors by data"):
        factorise(wide(), {"0": (2, 2)}, "tucker-2", roots={"0": torch.eye(54)})
