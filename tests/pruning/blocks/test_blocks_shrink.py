"""Networks without blocks: exact, whatever else is pruned, and what one would have written by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from block_nets import NETS, build
from tiny_networks import traces
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from zoo import randomise

from pruning.blocks import Skip, drop_blocks, find_blocks, without_blocks
from pruning.cost import CostModel
from pruning.evaluate import evaluating
from pruning.groups import Choices, Structure, find_structure
from pruning.live import LiveEvaluator
from pruning.masks import apply_masks
from pruning.models import MODELS, build_model
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe, Rule
from pruning.reference import masked_outputs
from pruning.shrink import shrink

MODELS_WITH_BLOCKS = ["digits-resnet", "digits-mobilenet", "digits-vit"]
WITH_BLOCKS = [name for name, (_, _, blocks) in NETS.items() if blocks]


def network(name: str, seed: int = 0) -> tuple[nn.Module, tuple[Any, ...]]:
    """Any network of these tests, in float64."""
    if name in NETS:
        return build(name, seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = build_model(name).eval()
        randomise(module)
        return module.double(), (torch.randn(2, *MODELS[name].input_shape, dtype=torch.float64),)


def random_plan(
    module: nn.Module, inputs: tuple[Any, ...], seed: int, structure: Structure | None = None
) -> Plan:
    """Drops about half of the blocks and prunes every group by a random ratio."""
    structure = structure or find_structure(module, inputs)
    blocks = find_blocks(module, inputs, structure)
    random = torch.Generator().manual_seed(seed)

    def draw() -> float:
        return float(torch.rand((), generator=random))

    rules = {block.id: Rule(ratio=float(draw() < 0.5), granularity="layer") for block in blocks.blocks}
    rules |= {group.id: Rule(ratio=draw(), criterion="random") for group in structure.groups}
    recipe = Recipe(rules=rules, seed=seed)
    return make_plan(module, recipe, example_inputs=inputs, structure=structure, blocks=blocks)


@torch.no_grad()
def outputs(module: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
    with evaluating(module):
        return torch.cat([leaf.flatten() for leaf in tree_leaves(module(*inputs))])


def assert_exact(module: nn.Module, plan: Plan, inputs: tuple[Any, ...]) -> nn.Module:
    small, masked = shrink(module, plan, inputs), apply_masks(module, plan)
    expected = outputs(masked, inputs)
    assert expected.abs().max() > 1e-6
    assert (outputs(small, inputs) - expected).abs().max() <= 1e-10 * expected.abs().max()
    return small


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", [*WITH_BLOCKS, *MODELS_WITH_BLOCKS])
def test_shrunk_equals_masked_costs_what_was_counted_and_shrinks_again(name: str, seed: int) -> None:
    module, inputs = network(name, seed)
    plan = random_plan(module, inputs, seed)
    before = traces(module)
    small = assert_exact(module, plan, inputs)
    assert traces(module) == before
    other = tuple(torch.randn_like(x) for x in inputs)
    assert torch.allclose(outputs(small, other), outputs(apply_masks(module, plan), other), atol=1e-10)

    predicted, counted = CostModel(module, inputs).of_plan(plan), CostModel(small, inputs).dense
    tensors = [*small.parameters(), *small.buffers()]
    assert predicted == counted
    assert predicted.bytes_dense == sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert not any(block.id in name for name, _ in small.named_parameters() for block in plan.blocks)

    left = find_blocks(small, inputs)
    gone = {block.id for block in plan.blocks}
    assert gone.isdisjoint(block.id for block in left.blocks)
    assert_exact(small, random_plan(small, inputs, seed + 10), inputs)


def drop_all(name: str) -> tuple[nn.Module, nn.Module, tuple[Any, ...]]:
    module, inputs = network(name)
    return module, drop_blocks(module, find_blocks(module, inputs).blocks), inputs


def test_without_its_blocks_a_network_is_the_one_written_by_hand() -> None:
    module, small, inputs = drop_all("digits-resnet")
    by_hand = copy.deepcopy(module)
    for stage in by_hand.stages:
        for number, block in enumerate(stage):
            if isinstance(block.shortcut, nn.Identity):
                stage[number] = nn.Identity()
    assert torch.equal(outputs(small, inputs), outputs(by_hand, inputs))

    module, small, inputs = drop_all("digits-vit")
    by_hand = copy.deepcopy(module)
    by_hand.blocks = nn.Sequential()
    assert torch.equal(outputs(small, inputs), outputs(by_hand, inputs))

    module, small, inputs = drop_all("Forms")
    assert torch.equal(outputs(small, inputs), module.head(inputs[0].mean(1)).flatten())

    module, small, inputs = drop_all("TorchEncoder")
    assert torch.equal(outputs(small, inputs), module.head(inputs[0].mean(1)).flatten())


def test_a_later_operation_in_place_does_not_reach_what_was_handed_on() -> None:
    module, small, (x,) = drop_all("Overwritten")
    with torch.no_grad():
        kept = module.stem(x)
        expected = module.head(module.join(torch.cat([kept, 3 * kept], 1)))
    assert torch.equal(outputs(small, (x,)), expected.flatten())


@pytest.mark.parametrize("name", ["Stages", "Forms", "digits-vit"])
def test_gradients_flow(name: str) -> None:
    module, inputs = network(name)
    small = shrink(module, random_plan(module, inputs, 1), inputs).train()
    small(*inputs).square().sum().backward()
    grads = [parameter.grad for parameter in small.parameters()]
    assert all(grad is not None for grad in grads)
    assert sum(float(grad.abs().sum()) for grad in grads) > 0


def test_rules_inside_a_dropped_block_are_moot_and_their_notes_say_so() -> None:
    module, inputs = network("digits-resnet")
    inner = "stages.stage1.0.conv1"
    rules = {
        "stages.stage1.0": Rule(ratio=1.0, granularity="layer", criterion="influence"),
        "stages.stage1.1": Rule(ratio=0.0, granularity="layer", criterion="influence"),
        inner: Rule(ratio=0.5),
        "stages.stage1.0.conv2": Rule(ratio=0.5, granularity="weight"),
        "stages.stage1.1.conv1": Rule(ratio=0.5),
        "conv": Rule(ratio=0.25),
        "head": Rule(ratio=0.5, granularity="weight"),
    }
    for scope in ("layer", "global"):
        plan = make_plan(module, Recipe(rules=rules, scope=scope), example_inputs=inputs)
        entries = {entry.key: entry for entry in plan.entries}
        assert list(entries) == list(rules)
        assert [block.id for block in plan.blocks] == ["stages.stage1.0"]
        assert plan.keep["stages.stage1.0"].tolist() == [False]
        assert plan.keep["stages.stage1.1"].tolist() == [True]
        for key in (inner, "stages.stage1.0.conv2"):
            assert entries[key].note == "moot: it goes with the dropped layer stages.stage1.0"
            assert entries[key].gone_with == "stages.stage1.0"
            assert entries[key].kept == 0
        assert set(plan.channels) == {"stages.stage1.1.conv1", "conv"}
        assert set(plan.weights) == {"head"}
        assert (
            entries["conv"].kept + entries["stages.stage1.1.conv1"].kept == 18 + 12
        )  # moot ones took nothing
        small = assert_exact(module, plan, inputs)
        assert isinstance(small.stages.stage1[0], Skip)
        assert CostModel(module, inputs).of_plan(plan).nonzero == sum(
            int(p.count_nonzero()) for p in small.parameters()
        )


def test_averages_over_kept_channels_are_counted_on_behind_a_dropped_block() -> None:
    """Norms over pruned channels are found by the number of their call, which changes without a block."""
    for name in ("digits-vit", "Averages"):
        module, inputs = network(name)
        structure = find_structure(module, inputs, Choices(norms="statistics"))
        assert any(group.grade == "statistics" for group in structure.groups)
        for seed in (1, 2, 3):
            plan = random_plan(module, inputs, seed, structure)
            small = shrink(module, plan, inputs)
            left = without_blocks(structure, plan.blocks)
            expected = masked_outputs(apply_masks(module, plan), inputs, left, plan.channels)
            assert torch.allclose(outputs(small, inputs), expected.flatten(), rtol=0, atol=1e-10)


def test_wrong_rules_are_refused_in_a_sentence() -> None:
    module, inputs = network("Stages")

    def plan(key: str, **rule: Any) -> Plan:
        rules = {key: Rule(**{"ratio": 1.0, "granularity": "layer", **rule})}
        return make_plan(module, Recipe(rules=rules), example_inputs=inputs)

    with pytest.raises(ValueError, match=r"A layer is kept \(0\) or dropped \(1\)"):
        Rule(ratio=0.5, granularity="layer")
    text = Recipe(rules={"a": Rule(ratio=1.0, granularity="layer")}).to_json().replace("1.0", "0.75")
    with pytest.raises(ValueError, match=r"rules > a: A layer is kept \(0\) or dropped \(1\)"):
        Recipe.from_json(text)
    with pytest.raises(ValueError, match=r"'stages\.1\.0' cannot be dropped, because"):
        plan("stages.1.0")
    with pytest.raises(ValueError, match="no criterion 'beauty'"):
        plan("stages.1.1", criterion="beauty")
    with pytest.raises(ValueError, match="'taylor' cannot score a whole layer"):
        plan("stages.1.1", criterion="taylor")
    other, _ = network("Droppable")
    with pytest.raises(ValueError, match="made for another network"):
        apply_masks(other, plan("stages.1.1"))
    with pytest.raises(ValueError, match=r"no module 'stages\.1\.1' that could be dropped"):
        drop_blocks(other, plan("stages.1.1").blocks)


def test_a_network_that_is_edited_live_loses_its_blocks_too() -> None:
    from fake_task import fake_task

    module, inputs = network("Stages")
    module = module.float()
    live = LiveEvaluator(module, fake_task((3, 8, 8)), tuple(x.float() for x in inputs))
    for rules in (
        {"stages.0.0": Rule(ratio=1.0, granularity="layer")},
        {"stages.0.0": Rule(ratio=1.0, granularity="layer"), "stem": Rule(ratio=0.5)},
        {"stages.1.1": Rule(ratio=1.0, granularity="layer"), "stem": Rule(ratio=0.25)},
    ):
        *_, report = live.reports(Recipe(rules=rules))
        assert report.complete
        plan = make_plan(module, Recipe(rules=rules), example_inputs=tuple(x.float() for x in inputs))
        built, expected = live.build(plan), apply_masks(module, plan)
        x = inputs[0].float()
        assert torch.allclose(outputs(built, (x,)), outputs(expected, (x,)), atol=1e-5)


HUGGING = ["Swin", "BERT", "Qwen2", "T5"]


@pytest.mark.parametrize("name", HUGGING)
def test_architectures_of_hugging_face(name: str) -> None:
    pytest.importorskip("transformers")
    from huggingface import NETWORKS

    module, inputs = NETWORKS[name](0)
    module = module.double()
    inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs)
    plan = random_plan(module, inputs, 3)
    assert plan.blocks
    small = assert_exact(module, plan, inputs)
    assert CostModel(module, inputs).of_plan(plan) == CostModel(small, inputs).dense


def test_a_decoder_without_a_layer_is_the_one_with_a_shorter_list() -> None:
    pytest.importorskip("transformers")
    from huggingface import NETWORKS

    module, inputs = NETWORKS["Llama"](0)
    found = find_blocks(module, inputs)
    small = drop_blocks(module, found.blocks[:1])
    by_hand = copy.deepcopy(module)
    inner = by_hand.network.model
    inner.layers = inner.layers[1:]
    inner.config.num_hidden_layers = 1
    assert torch.equal(outputs(small, inputs), outputs(by_hand, inputs))
