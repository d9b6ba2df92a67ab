import math

import pytest
import torch
from fake_task import fake_task
from torch import Tensor, nn

from pruning.explain import (
    EXPLAINERS,
    Comparison,
    compare,
    compare_batches,
    explain,
    explainable_layers,
    rank_correlation,
)
from pruning.models import build_model

MODELS = ("digits-cnn", "digits-vit")


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {name: build_model(name).eval() for name in MODELS}


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


class Corner(nn.Module):
    """Class 1 is three times the top left pixel of the first channel minus that at the bottom right."""

    def forward(self, x: Tensor) -> Tensor:
        one = 3 * x[:, 0, 0, 0] - x[:, 0, -1, -1]
        return torch.stack([torch.zeros_like(one), one], 1)


@pytest.mark.parametrize("method", list(EXPLAINERS))
@pytest.mark.parametrize("model", MODELS)
def test_every_explainer_keeps_the_contract(
    networks: dict[str, nn.Module], x: Tensor, model: str, method: str
) -> None:
    network, explainer = networks[model].train(), EXPLAINERS[method]
    targets = torch.tensor([0, 1, 2])
    assert explainer.description
    assert "arXiv" in explainer.source
    if misfit := explainer.misfit(network, x):
        assert (model, method) in {("digits-cnn", "token-gradients"), ("digits-vit", "grad-cam")}
        with pytest.raises(ValueError, match=misfit):
            explain(network, x, targets, method)
        return
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = explain(network, x, targets, method)
    assert found.shape == (3, 8, 8)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.abs().sum() > 0
    assert not found.requires_grad
    assert torch.equal(found, explain(network, x, targets, method))
    assert torch.allclose(found[1:2], explain(network, x[1:2], targets[1:2], method), atol=1e-5)
    assert not torch.allclose(found, explain(network, x, targets + 1, method))
    assert all(part.training for part in network.modules())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())
    assert not x.requires_grad


def test_pixels_that_matter_get_the_attribution(x: Tensor) -> None:
    targets = torch.ones(3, dtype=torch.long)
    gradients = explain(Corner(), x, targets, "integrated-gradients")
    expected = torch.zeros(3, 8, 8)
    expected[:, 0, 0], expected[:, -1, -1] = 3 * x[:, 0, 0, 0], -x[:, 0, -1, -1]
    assert torch.allclose(gradients, expected, atol=1e-5)
    saliency = explain(Corner(), x, targets, "saliency")
    assert saliency[:, 0, 0].tolist() == [3, 3, 3]
    assert saliency[:, -1, -1].tolist() == [1, 1, 1]
    assert saliency.sum() == 12


def test_integrated_gradients_sum_to_the_change_of_the_output(
    networks: dict[str, nn.Module], x: Tensor
) -> None:
    network, targets = networks["digits-vit"].eval(), torch.tensor([4, 5, 6])
    found = explain(network, x, targets, "integrated-gradients").sum((1, 2))
    with torch.no_grad():
        change = network(x) - network(torch.zeros_like(x))
    assert torch.allclose(found, change.gather(1, targets.unsqueeze(1)).squeeze(1), atol=0.02)


def test_colours_are_joined() -> None:
    found = explain(Corner(), torch.randn(2, 3, 5, 5), torch.ones(2, dtype=torch.long), "saliency")
    assert found.shape == (2, 5, 5)


def test_grad_cam_is_the_weighted_sum_of_the_maps(networks: dict[str, nn.Module], x: Tensor) -> None:
    network = networks["digits-cnn"].eval()
    layers = explainable_layers(network, x, "grad-cam")
    convolutions = [name for name, part in network.named_modules() if isinstance(part, nn.Conv2d)]
    assert layers == convolutions
    targets = torch.tensor([7, 8, 9])
    maps: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        output.retain_grad()
        maps.append(output)

    handle = network.get_submodule(layers[0]).register_forward_hook(keep)
    network(x).gather(1, targets.unsqueeze(1)).sum().backward()
    handle.remove()
    network.zero_grad(set_to_none=True)
    assert maps[0].grad is not None
    expected = (maps[0].grad.mean((2, 3), keepdim=True) * maps[0]).sum(1).relu()
    assert torch.allclose(explain(network, x, targets, "grad-cam", layer=layers[0]), expected, atol=1e-6)


def test_tokens_lie_on_their_patches(networks: dict[str, nn.Module], x: Tensor) -> None:
    """With the class token reading one patch alone, only that patch's pixels get any attribution."""

    class Mean(nn.Module):
        num_heads = 1

        def forward(self, tokens: Tensor) -> Tensor:
            return tokens[:, 3:4].expand_as(tokens)  # class token first: patch 2 of 4, the bottom left one

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(Mean())

        def forward(self, x: Tensor) -> Tensor:
            patches = x.unfold(2, 4, 4).unfold(3, 4, 4).reshape(len(x), 4, 16)
            return self.block(torch.cat([torch.zeros(len(x), 1, 16), patches], 1))[:, 0]

    assert explainable_layers(networks["digits-vit"], x, "token-gradients") == [
        f"blocks.{i}" for i in range(4)
    ]
    found = explain(Tokens(), x, torch.zeros(3, dtype=torch.long), "token-gradients")
    expected = torch.zeros(3, 8, 8)
    expected[:, 4:, :4] = x[:, 0, 4, 0].view(3, 1, 1)
    assert torch.allclose(found, expected, atol=1e-5)


def test_wrong_names_are_named(networks: dict[str, nn.Module], x: Tensor) -> None:
    network, targets = networks["digits-cnn"], torch.zeros(3, dtype=torch.long)
    with pytest.raises(ValueError, match="There is no explainer"):
        explain(network, x, targets, "tea leaves")
    with pytest.raises(ValueError, match="cannot ask about 'nowhere'; choose one of"):
        explain(network, x, targets, "grad-cam", layer="nowhere")
    with pytest.raises(ValueError, match="leave the layer out"):
        explain(network, x, targets, "saliency", layer="features")


def test_rank_correlation_agrees_with_scipy() -> None:
    from scipy.stats import spearmanr

    random = torch.Generator().manual_seed(0)
    a, b = (torch.randint(8, (5, 4, 6), generator=random).float() for _ in range(2))  # many ties
    expected = [
        spearmanr(one.flatten(), two.flatten()).statistic
        for one, two in zip(a.numpy(), b.numpy(), strict=True)
    ]
    assert rank_correlation(a, b).tolist() == pytest.approx(expected, abs=1e-6)


def test_rank_correlation_at_the_edges() -> None:
    a = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    b = torch.tensor([[10.0, 20.0, 900.0], [3.0, 2.0, 1.0], [5.0, 5.0, 5.0]])
    one, minus, undefined = rank_correlation(a, b).tolist()
    assert (one, minus) == pytest.approx((1.0, -1.0))
    assert math.isnan(undefined)


def test_a_network_agrees_with_itself_and_less_with_another(x: Tensor) -> None:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 5))
    second = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 5))
    same = compare(first, first, x, "integrated-gradients")
    assert same.similarity.tolist() == pytest.approx([1, 1, 1])
    assert torch.equal(same.targets, first(x).argmax(1))
    other = compare(first, second, x, "integrated-gradients")
    assert torch.equal(other.targets, same.targets)
    assert torch.equal(other.dense, same.dense)
    assert torch.equal(other.pruned, explain(second, x, same.targets, "integrated-gradients"))
    assert (other.similarity < 0.9).all()
    chosen = compare(first, second, x, "saliency", targets=torch.tensor([4, 4, 4]))
    assert chosen.targets.tolist() == [4, 4, 4]


def test_most_different_puts_the_undefined_last() -> None:
    similarity = torch.tensor([0.5, math.nan, -0.2, 0.9])
    none = torch.zeros(4, 2, 2)
    comparison = Comparison("saliency", torch.zeros(4), none, none, similarity)
    assert comparison.most_different(2).tolist() == [2, 0]
    assert comparison.most_different(9).tolist() == [2, 0, 3, 1]


def test_batches_grow_to_the_whole() -> None:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    second = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    split = fake_task().validation
    indices = [4, 1, 30, 7, 2]
    steps = list(compare_batches(first, second, split, indices, "saliency", batch_size=2))
    assert [len(step.similarity) for step in steps] == [2, 4, 5]
    whole = compare(first, second, split.x[indices], "saliency")
    assert torch.allclose(steps[-1].dense, whole.dense)
    assert torch.allclose(steps[-1].similarity, whole.similarity)
    assert torch.equal(steps[-1].targets, whole.targets)
