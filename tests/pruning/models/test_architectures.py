"""Every built-in architecture runs, has its size, and can be copied and shrunk by its attributes."""

import copy

import pytest
import torch
from torch import nn

from pruning.models import MODELS, build_model
from pruning.models.resnet import ChannelPad, Subsample, cifar_resnet
from pruning.models.vit import Attention
from pruning.tasks import TASKS

NAMES = list(MODELS)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_network_gives_one_logit_a_class_for_each_image(name: str) -> None:
    module = build_model(name).eval()
    x = torch.randn(3, *MODELS[name].input_shape)
    outputs = module(x)
    assert outputs.shape == (3, len(TASKS[MODELS[name].task].classes))
    assert torch.isfinite(outputs).all()
    # One image's logits do not depend on the others in its batch.
    assert torch.allclose(module(x[:1]), outputs[:1], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_and_its_copy_know_their_architecture(name: str) -> None:
    module = build_model(name)
    assert copy.deepcopy(module).architecture == module.architecture == name
    assert "architecture" not in module.state_dict()
    assert MODELS[name].name == name
    assert MODELS[name].input_shape == TASKS[MODELS[name].task].input_shape


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_random_weights(name: str) -> None:
    def built(seed: int) -> torch.Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return torch.cat([parameter.flatten() for parameter in build_model(name).parameters()])

    assert torch.equal(built(0), built(0))
    assert not torch.equal(built(0), built(1))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("mnist-lenet-300-100", 266_610), ("mnist-lenet-5", 431_080), ("cifar10-resnet20", 269_722)],
)
def test_the_networks_of_the_literature_have_exactly_its_sizes(name: str, parameters: int) -> None:
    assert count(build_model(name)) == parameters


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("digits")])
def test_the_digits_networks_are_neither_tiny_nor_huge(name: str) -> None:
    assert 50_000 <= count(build_model(name)) <= 2_000_000


def test_the_digits_networks_have_the_parts_that_make_them_interesting() -> None:
    resnet = build_model("digits-resnet")
    assert sum(isinstance(part, nn.Conv2d) for part in resnet.modules()) >= 9
    mobilenet = build_model("digits-mobilenet")
    assert any(isinstance(part, nn.Conv2d) and part.groups > 1 for part in mobilenet.modules())
    attentions = [part for part in build_model("digits-vit").modules() if isinstance(part, Attention)]
    assert len(attentions) >= 4
    assert all(part.num_heads == 4 for part in attentions)


@pytest.mark.parametrize("name", NAMES)
def test_every_leaf_module_runs_once_in_one_forward(name: str) -> None:
    # Attribution and hooks go by module: one that is used twice would mix two places of the network.
    module = build_model(name).eval()
    leaves = [path for path, part in module.named_modules() if not list(part.children())]
    calls: list[str] = []
    for path in leaves:
        module.get_submodule(path).register_forward_hook(lambda *_, path=path: calls.append(path))
    module(torch.randn(1, *MODELS[name].input_shape))
    assert sorted(calls) == sorted(leaves)


def test_channel_pad_puts_zeros_on_both_sides() -> None:
    x = torch.randn(2, 3, 4, 4)
    padded = ChannelPad(1, 2)(x)
    assert padded.shape == (2, 6, 4, 4)
    assert torch.equal(padded[:, 1:4], x)
    assert not padded[:, [0, 4, 5]].any()
    assert torch.equal(Subsample(2)(x), x[:, :, [0, 2]][..., [0, 2]])


def test_attention_follows_the_documented_order_of_rows() -> None:
    attention = Attention(8, 2).double()
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    q, k, v = (
        x @ w.T + b for w, b in zip(attention.qkv.weight.split(8), attention.qkv.bias.split(8), strict=True)
    )
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = torch.softmax(q[..., head] @ k[..., head].transpose(1, 2) / 2, dim=-1)
        heads.append(weights @ v[..., head])
    expected = attention.proj(torch.cat(heads, dim=-1))
    assert torch.allclose(attention(x), expected)


def test_attention_runs_with_fewer_heads_by_its_attributes_alone() -> None:
    attention = Attention(8, 2)
    x = torch.randn(1, 5, 8)
    kept = torch.cat([torch.arange(4, 8) + start for start in (0, 8, 16)])
    silent = copy.deepcopy(attention)
    with torch.no_grad():
        silent.proj.weight[:, :4] = 0
        attention.qkv.weight = nn.Parameter(attention.qkv.weight[kept])
        attention.qkv.bias = nn.Parameter(attention.qkv.bias[kept])
        attention.proj.weight = nn.Parameter(attention.proj.weight[:, 4:])
    attention.num_heads = 1
    assert torch.allclose(attention(x), silent(x), atol=1e-6)


def test_cifar_resnets_come_in_the_depths_of_the_paper() -> None:
    assert count(cifar_resnet(56)) == 853_018
    for depth in (2, 21):
        with pytest.raises(ValueError, match="6n"):
            cifar_resnet(depth)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"digits-mlp.*cifar10-resnet20"):
        build_model("resnet-5000")
