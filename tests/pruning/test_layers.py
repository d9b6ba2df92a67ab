import pytest
import torch
import torchinfo
from tiny_networks import EXAMPLE, NETWORKS, tiny, traces
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pruning.layers import find_layers, first_tensor, private_copy, summary_text
from pruning.models import MODELS, build_model


def rows(name: str) -> dict:
    return {layer.name: layer for layer in find_layers(tiny(name), EXAMPLE)}


@pytest.mark.parametrize("name", [*NETWORKS, *MODELS])
def test_parameters_and_macs_agree_with_independent_counters(name: str) -> None:
    if name in NETWORKS:
        module, inputs = tiny(name), EXAMPLE
    else:
        module, inputs = build_model(name).eval(), (torch.zeros(1, *MODELS[name].input_shape),)
    layers = find_layers(module, inputs)
    total = sum(layer.parameters for layer in layers)
    assert total == sum(p.numel() for p in module.parameters())
    if name != "tied":  # torchinfo counts a shared weight twice
        assert total == torchinfo.summary(private_copy(module), input_data=inputs, verbose=0).total_params

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(*inputs)
    of_activations = ("bmm", "attention")  # products of activations with each other belong to no layer
    flops = sum(
        count
        for operation, count in counter.get_flop_counts()["Global"].items()
        if not any(word in str(operation) for word in of_activations)
    )
    assert sum(layer.macs for layer in layers) == flops // 2


def test_layers_come_in_execution_order_with_their_kinds_and_shapes() -> None:
    found = rows("residual")
    assert list(found) == [
        *("stem", "norm", "expand", "norm1", "depthwise", "norm2", "project", "norm3", "head")
    ]
    assert [found[n].kind for n in ("stem", "norm", "expand", "depthwise", "head")] == [
        *("convolution", "batch norm", "pointwise convolution", "depthwise convolution", "linear")
    ]
    assert found["depthwise"].weight == "depthwise.weight"
    assert found["depthwise"].weight_shape == (12, 1, 3, 3)
    assert found["depthwise"].output_shape == (12, 6, 6)
    assert found["depthwise"].macs == 12 * 9 * 36
    assert [n for n, layer in found.items() if not layer.prunable] == ["norm", "norm1", "norm2", "norm3"]
    assert all(bool(layer.reason) != layer.prunable for layer in found.values())


def test_grouped_transposed_and_unused_layers() -> None:
    found = rows("grouped")
    assert found["grouped"].kind == "grouped convolution"
    assert found["up"].kind == "transposed convolution"
    assert found["up"].macs == 4 * 4 * 5 * 4
    assert list(found)[-1] == "unused"
    assert not found["unused"].prunable
    assert "not called" in found["unused"].reason
    assert (found["unused"].macs, found["unused"].output_shape) == (0, ())


def test_a_shared_weight_is_counted_once_and_a_module_called_twice_works_twice() -> None:
    found = rows("tied")
    assert list(found) == ["first", "again", "twin", "head"]
    assert found["again"].parameters == 110
    assert found["again"].macs == 2 * 100
    assert found["twin"].parameters == 0
    assert not found["twin"].prunable
    assert "again" in found["twin"].reason


def test_free_parameters_of_containers_are_listed_with_a_reason() -> None:
    found = rows("transformer")
    assert list(found)[:3] == ["token", "positions", "patches"]
    assert found["positions"].parameters == 40
    assert not found["positions"].prunable
    assert "Transformer" in found["positions"].reason
    assert found["attention.qkv"].kind == "attention projection"
    assert found["attention.qkv"].macs == 5 * 8 * 24
    assert found["fc1"].kind == "linear"


def test_a_network_that_is_one_layer() -> None:
    (layer,) = find_layers(nn.Linear(3, 4), (torch.zeros(1, 3),))
    assert (layer.name, layer.weight, layer.macs) == ("", "weight", 12)


def test_macs_are_those_of_one_sample_whatever_the_batch() -> None:
    one = find_layers(tiny("transformer"), EXAMPLE)
    assert find_layers(tiny("transformer"), (torch.zeros(5, 1, 6, 6),)) == one


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 6, 6), (1, 1, 6, 4)], ids=["success", "failure"])
@pytest.mark.parametrize("look", [find_layers, summary_text])
def test_nothing_is_left_behind(look, shape: tuple[int, ...], training: bool) -> None:
    module = tiny("plain").train(training)
    module.norm1.eval()  # flags are per module
    module.conv1.weight.requires_grad_(False)
    mine = module.conv2.register_forward_hook(lambda *_: None)
    before = traces(module)
    if shape[-1] == 4:
        with pytest.raises(ValueError, match="does not run on the example inputs: mat1 and mat2"):
            look(module, (torch.zeros(shape),))
    else:
        look(module, (torch.zeros(shape),))
    assert traces(module) == before
    assert list(module.conv2._forward_hooks.values()) == [mine.hooks_dict_ref()[mine.id]]


def test_the_network_given_is_not_hooked_even_while_it_is_looked_at() -> None:
    module = tiny("plain")
    seen: list[int] = []

    def spy(*_: object) -> None:
        seen.append(len(module.conv1._forward_hooks) + len(module.conv1._forward_pre_hooks))

    module.conv1.register_forward_hook(spy)
    find_layers(module, EXAMPLE)
    assert seen == [1]  # its own


def test_private_copy_shares_memory_and_nothing_else() -> None:
    module = tiny("tied").train()
    copy = private_copy(module, requires_grad=False)
    assert copy.first.weight.data_ptr() == module.first.weight.data_ptr()
    assert copy.twin.weight is copy.again.weight
    assert copy.first.weight is not module.first.weight
    assert not copy.training
    assert module.training
    assert not any(p.requires_grad for p in copy.parameters())
    assert all(p.requires_grad for p in module.parameters())


def test_summary_text_lists_every_module_and_no_wrong_multiply_adds() -> None:
    text = summary_text(tiny("transformer"), EXAMPLE)
    assert "Linear (qkv)" in text
    assert "Total params" in text
    assert "mult-adds" not in text


def test_first_tensor_looks_inside_containers() -> None:
    tensor = torch.zeros(2)
    assert first_tensor({"a": [None, (3, tensor)]}) is tensor
    assert first_tensor([1, {}]) is None
