"""Networks on a GPU do what they do on the CPU. Where there is none, a pretended device shows that every
tensor is moved to where it is needed; what a real one computes shows only where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pretend_device import LABEL, NAME, Elsewhere, pretended
from torch import Tensor, nn

import pruning
from pruning import CRITERIA, LoadedModel, Recipe, Rule, device, store, weights
from pruning.cli import main
from pruning.device import Device, device_of, on_device
from pruning.explain import EXPLAINERS, compare
from pruning.groups import Choices
from pruning.groups.panels import vectors
from pruning.live import LiveEvaluator
from pruning.masks import named_tensors
from pruning.replay import Replay

CUDA = torch.cuda.is_available()
NEEDS = ("inputs", "gradients", "conductance", "blocks")
TASK: Any = pruning.load_task("digits")
NETWORKS = ("digits-resnet", "digits-vit")


@pytest.fixture(params=["cuda", "pretended"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a device that is not the CPU."""
    if request.param == "pretended":
        with pretended(monkeypatch) as name:
            yield name
    elif CUDA:
        yield "cuda:0"
    else:
        pytest.skip("PyTorch finds no CUDA device here.")


@pytest.fixture(scope="module")
def loaded() -> dict[str, LoadedModel]:
    return {name: pruning.load_model(name) for name in NETWORKS}


def close(there: Tensor, here: Tensor) -> bool:
    """Both on the CPU, and alike but for rounding."""
    assert there.device == here.device == torch.device("cpu")
    return torch.allclose(there.float(), here.float(), rtol=0, atol=0.02 * float(here.abs().max()) + 1e-6)


def some_groups(network: LoadedModel, choices: Choices | None = None) -> Recipe:
    found = pruning.find_structure(network.module, network.example_inputs, choices or Choices())
    rules = {group.id: Rule(ratio=0.4) for group in found.groups[:3]}
    return Recipe(rules=rules, norms=found.choices.norms, heads=found.choices.heads)


def test_the_pretended_device_refuses_what_a_gpu_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    here = torch.arange(6.0).view(2, 3)
    with pretended(monkeypatch):
        there = here.to(NAME)
        assert isinstance(there, Elsewhere)
        assert there.device == torch.zeros(1, device=NAME).device
        assert torch.equal((there[torch.tensor([1])] * 2).cpu(), here[1:] * 2)
        for mixed in (
            lambda: there + here,
            lambda: here[there[0].long()],
            lambda: there.index_select(0, torch.tensor([1])),
            lambda: there.masked_fill(here > 1, 0),
            lambda: nn.Linear(3, 1)(there),
            lambda: there.numpy(),
        ):
            with pytest.raises((RuntimeError, TypeError)):
                mixed()


@pytest.mark.parametrize("name", NETWORKS)
def test_everything_that_is_measured_is_measured_there(
    gpu: str, loaded: dict[str, LoadedModel], name: str
) -> None:
    there = on_device(loaded[name], gpu)
    assert device_of(there.module) == there.example_inputs[0].device == torch.device(gpu)
    assert device_of(loaded[name].module) == torch.device("cpu")
    dense = [pruning.evaluate(network.module, TASK, limit=200) for network in (there, loaded[name])]
    assert dense[0].accuracy == pytest.approx(dense[1].accuracy, abs=0.02)
    recipe = some_groups(there)
    plan = pruning.make_plan(there.module, recipe, example_inputs=there.example_inputs)
    small = pruning.shrink(there.module, plan, there.example_inputs)
    assert device_of(small) == device_of(pruning.apply_masks(there.module, plan)) == torch.device(gpu)
    evaluator = LiveEvaluator(there.module, TASK, there.example_inputs, limit=200)
    assert isinstance(evaluator.replay, Replay)
    *_, live = evaluator.reports(recipe)
    assert live.accuracy == pytest.approx(pruning.evaluate(small, TASK, limit=200).accuracy, abs=0.02)
    timing = pruning.measure_latency(small, there.example_inputs, baseline=there.module, budget_s=0.1)
    assert timing.device == device.named(gpu).short
    assert pruning.profile_layers(small, there.example_inputs, budget_s=0.1).layers
    assert pruning.peak_memory(small, there.example_inputs).peak > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_every_criterion_scores_there_as_here(gpu: str, loaded: dict[str, LoadedModel], name: str) -> None:
    found: list[dict[str, Tensor]] = []
    for network in (on_device(loaded[name], gpu), loaded[name]):
        module, inputs = network.module, network.example_inputs
        known = pruning.collect_statistics(module, TASK, NEEDS, limit=32)
        layers, structure = pruning.find_layers(module, inputs), pruning.find_structure(module, inputs)
        blocks = pruning.find_blocks(module, inputs, structure).blocks
        scores: dict[str, Tensor] = {}
        for criterion, entry in CRITERIA.items():
            if entry.weights:
                of = pruning.score_weights(module, layers, criterion, known)
                scores |= {f"{criterion} {key}": values for key, values in of.items()}
            if entry.units:
                cannot = pruning.unscorable(module, structure.groups, criterion)
                groups = [group for group in structure.groups if group.id not in cannot]
                of = pruning.score_groups(module, groups, criterion, known)
                scores |= {f"{criterion} {key} units": values for key, values in of.items()}
            if entry.layers:
                of = pruning.score_blocks(module, blocks, criterion, known)
                scores |= {f"{criterion} {key} whole": values for key, values in of.items()}
        found.append(scores)
    assert found[0].keys() == found[1].keys()
    assert [key for key in found[0] if not close(found[0][key], found[1][key])] == []


@pytest.mark.parametrize(
    ("granularity", "precise"),
    [
        ("channel", None),
        ("channel", pruning.Precise()),
        ("weight", None),
        ("n:4", None),
        ("pattern", None),
        ("layer", None),
    ],
)
def test_scans_run_there(
    gpu: str, loaded: dict[str, LoadedModel], granularity: Any, precise: pruning.Precise | None
) -> None:
    accuracies = []
    for network in (on_device(loaded["digits-resnet"], gpu), loaded["digits-resnet"]):
        walk = pruning.iter_scan(
            network.module,
            TASK,
            (1.0,) if granularity == "layer" else (0.6,),
            granularity,
            "influence" if granularity == "layer" else "l2",
            example_inputs=network.example_inputs,
            limit=100,
            precise=precise,
        )
        for _ in walk:
            pass
        assert not walk.why
        accuracies.append([point.accuracy for point in walk.scan().points])
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.03)


def test_what_replay_cannot_do_is_done_there_by_modules(gpu: str) -> None:
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.first, self.last = nn.Flatten(), nn.Linear(64, 16), nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.first(self.flat(x)).relu()
            return self.last(hidden if float(hidden.sum()) > -1 else hidden * 2)

    module, x = Looks().eval().to(gpu), torch.zeros(1, 1, 8, 8).to(gpu)
    walk = pruning.iter_scan(module, TASK, (0.5,), "weight", "l1", example_inputs=(x,), limit=50)
    assert len(list(walk)) == 2
    assert walk.way == "modules"


def test_norms_over_what_is_kept_are_checked_there(gpu: str, loaded: dict[str, LoadedModel]) -> None:
    there = on_device(loaded["digits-vit"], gpu)
    recipe = some_groups(there, Choices(norms="statistics"))
    plan = pruning.make_plan(there.module, recipe, example_inputs=there.example_inputs)
    assert plan.grade == "statistics"
    assert device_of(pruning.shrink(there.module, plan, there.example_inputs)) == torch.device(gpu)


@pytest.mark.parametrize("method", EXPLAINERS)
def test_maps_are_made_there(gpu: str, loaded: dict[str, LoadedModel], method: str) -> None:
    x = torch.stack([TASK.validation[image][0] for image in range(3)])
    name = "digits-vit" if EXPLAINERS[method].needs == "attention" else "digits-resnet"
    networks = on_device(loaded[name], gpu).module, loaded[name].module
    both = compare(*networks, x, method)
    assert close(both.dense, both.pruned)
    assert both.targets.device == torch.device("cpu")


def test_a_file_is_the_same_from_every_device(gpu: str, loaded: dict[str, LoadedModel]) -> None:
    files = []
    for network in (on_device(loaded["digits-resnet"], gpu), loaded["digits-resnet"]):
        rules = {"stages.stage1.0.conv1": Rule(ratio=0.5), "head": Rule(ratio=0.5, granularity="weight")}
        recipe = Recipe(rules=rules)
        plan = pruning.make_plan(network.module, recipe, example_inputs=network.example_inputs)
        small = pruning.shrink(network.module, plan, network.example_inputs)
        files.append(pruning.checkpoint.checkpoint_bytes(small, plan, recipe, form="sparse"))
        check = pruning.self_check(files[-1], small, TASK.validation, limit=50)
        assert check.identical
    assert files[0] == files[1]


def test_weights_are_looked_at_from_every_device(gpu: str, loaded: dict[str, LoadedModel]) -> None:
    network = on_device(loaded["digits-resnet"], gpu)
    weight = network.module.get_submodule("conv").weight
    assert isinstance(weight, Tensor)
    here = weight.detach().cpu()
    assert weights.SortedScores(weight).compact(8).counts.sum() == here.numel()
    assert weights.summarise(weight) == weights.summarise(here)
    assert (weights.matrix(weight) == weights.matrix(here)).all()
    assert (weights.kernels(weight).images == weights.kernels(here).images).all()
    assert weights.channel_norms(weight).channels.tolist() == weights.channel_norms(here).channels.tolist()
    assert weights.batch_norm_scales(network.module)
    group = pruning.find_groups(network.module, network.example_inputs)[0]
    assert vectors(group, named_tensors(network.module), torch.arange(group.size)) is not None


def test_figures_of_a_gpu_are_kept_apart(gpu: str, loaded: dict[str, LoadedModel]) -> None:
    here, there = loaded["digits-vit"].module, on_device(loaded["digits-vit"], gpu).module
    assert store.weights_digest(here) != store.weights_digest(there)
    assert on_device(loaded["digits-vit"], "cpu").module is here


def test_the_command_line_takes_a_device(
    gpu: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[torch.device] = []
    forward = pruning.models.mlp.MLP.forward
    monkeypatch.setattr(
        pruning.models.mlp.MLP, "forward", lambda self, x: (used.append(x.device), forward(self, x))[1]
    )
    for asked in ("auto", gpu, "cpu"):
        assert main(["evaluate", "digits-mlp", "--limit", "20", "--device", asked]) == 0
    measured = used[1::2]  # each was tried once when it was loaded
    assert [where.type for where in measured] == [torch.device(gpu).type, torch.device(gpu).type, "cpu"]
    assert main(["latency", "digits-mlp", "--device", "tpu"]) == 2
    assert "error: PyTorch has no device 'tpu' here" in capsys.readouterr().err


def test_devices_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = (
        Device("cpu", "CPU, 2 threads"),
        Device("cuda:0", "Fast, 80 GiB"),
        Device("cuda:1", "Slow, 8 GiB"),
    )
    monkeypatch.setattr(device, "devices", lambda: gpus[:1])
    assert device.choose() == device.choose("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"no device 'cuda' here; choose one of auto, cpu\.$"):
        device.choose("cuda")
    monkeypatch.setattr(device, "devices", lambda: gpus)
    assert device.choose() == device.choose("cuda") == torch.device("cuda:0")
    assert device.named("cuda:1").short == device.kind_of(torch.device("cuda:1")) == "Slow"
    assert device.kind_of(torch.device("cpu")) == ""
    with pytest.raises(ValueError, match=r"choose one of auto, cpu, cuda:0, cuda:1\.$"):
        device.choose("tpu")


def test_this_machines_devices_can_be_used() -> None:
    first, *gpus = device.devices()
    assert first.name == "cpu"
    assert first.label.startswith(f"CPU, {torch.get_num_threads()} thread")
    assert len(gpus) == (torch.cuda.device_count() if CUDA else 0)
    assert LABEL not in {gpu.label for gpu in gpus}
