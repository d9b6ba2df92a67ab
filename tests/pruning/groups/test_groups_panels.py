"""A group's weights as pictures: which entries are whose, in any order, and sizes that stay small."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning import Group, find_groups
from pruning.groups.panels import CELLS, Panel, matrices, vectors
from pruning.masks import named_tensors
from pruning.models import load_model


def of(group: Group, net: nn.Module, order: Tensor | None = None) -> dict[str, Panel]:
    order = torch.arange(group.size) if order is None else order
    return {panel.name: panel for panel in matrices(group, named_tensors(net), order)}


def owners(panel: Panel) -> list[int]:
    """The unit of every entry along the panel's axis."""
    return [unit for _, count, unit in panel.runs for _ in range(count)]


def wide() -> tuple[nn.Sequential, Group]:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 16, 300), nn.ReLU()
    )
    net.append(nn.Linear(300, 2))
    first, _ = find_groups(net, (torch.randn(1, 3, 6, 6),))
    return net, first


def test_rows_and_columns_belong_to_their_units() -> None:
    net, group = wide()
    found = of(group, net)
    assert found["0.weight"].along == 0
    assert owners(found["0.weight"]) == [0, 1, 2, 3]
    reader = found["3.weight"]
    assert reader.along == 1
    assert reader.runs.tolist() == [[16 * unit, 16, unit] for unit in range(4)]
    assert reader.size == (300, 64)
    assert reader.strength.shape == (CELLS, 64)
    assert reader.pooled


def test_a_convolution_shows_the_norm_of_each_kernel() -> None:
    net, group = wide()
    strength = torch.from_numpy(of(group, net)["0.weight"].strength)
    norms = net[0].weight.flatten(2).norm(dim=2)
    below = norms < torch.quantile(norms.flatten(), 0.99)
    ratio = strength[below] / norms[below]
    assert torch.allclose(ratio, ratio[0].expand_as(ratio))
    assert strength.max() == 1


def test_units_can_be_drawn_in_another_order() -> None:
    net, group = wide()
    order = torch.tensor([2, 0, 3, 1])
    found = of(group, net, order)
    assert owners(found["0.weight"]) == order.tolist()
    assert found["3.weight"].runs[:, 2].tolist() == order.tolist()
    stored = of(group, net)["0.weight"].strength
    assert (found["0.weight"].strength == stored[order.numpy()]).all()
    beside = vectors(group, named_tensors(net), order)
    assert beside is not None
    assert owners(beside) == order.tolist()


def test_biases_and_norms_stand_side_by_side() -> None:
    net, group = wide()
    beside = vectors(group, named_tensors(net), torch.arange(4))
    assert beside is not None
    assert beside.labels == ("0.bias", "1.weight", "1.bias")
    assert beside.strength.shape == (4, 3)


def test_a_head_owns_three_stretches_of_rows() -> None:
    loaded = load_model("digits-vit")
    group = next(g for g in find_groups(loaded.module, loaded.example_inputs) if g.kind == "head")
    found = of(group, loaded.module)
    assert len(found["blocks.0.attention.qkv.weight"].runs) == 3 * group.size
    assert len(found["blocks.0.attention.proj.weight"].runs) == group.size


def test_dead_weights_make_a_picture_too() -> None:
    net, group = wide()
    nn.init.zeros_(net[0].weight)
    assert (of(group, net)["0.weight"].strength == 0).all()
