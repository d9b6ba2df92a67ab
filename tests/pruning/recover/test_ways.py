"""Every granularity through a run, what is penalised, what grows back, and how runs that fail end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_task import FakeTask, fake_task
from tiny_networks import EXAMPLE, tiny
from torch import Tensor, nn

from pruning.blocks import find_blocks
from pruning.checkpoint.write import checkpoint_bytes
from pruning.groups import find_structure
from pruning.layers import find_layers
from pruning.masks import apply_masks, survivors
from pruning.models import load_model
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.recover import Epoch, Fit, Pruning, Recovered, Recovery, Regularise, Teach, preview, recover
from pruning.recover.held import Held, masks_of
from pruning.recover.optimise import carry_state, make_optimizer
from pruning.recover.schedules import reached
from pruning.shrink import shrink
from pruning.sparsity import parse

FIT = Fit(lr=0.01, batch_size=16)


def run(
    module: nn.Module, rules: dict[str, Rule], task: FakeTask | None = None, **more: Any
) -> tuple[Recovered, Recovery]:
    parts = {key: more.pop(key) for key in ("fit", "teach", "regularise", "scope") if key in more}
    recipe = Recipe(rules=rules, scope=parts.pop("scope", "layer"))
    hooks = {key: more.pop(key) for key in ("on_epoch", "on_step") if key in more}
    settings = Recovery(recipe=recipe, pruning=Pruning(**more), **{"fit": FIT, **parts})
    return recover(module, task or fake_task(), settings, example_inputs=EXAMPLE, **hooks), settings


def weights_of(module: nn.Module, granularity: str, ratio: float) -> dict[str, Rule]:
    misfit = parse(granularity).misfit
    layers = [layer.name for layer in find_layers(module, EXAMPLE) if layer.prunable]
    fits = [name for name in layers if not misfit(module.get_submodule(name))]
    return {name: Rule(ratio=ratio, granularity=granularity, criterion="l1") for name in fits}


@pytest.mark.parametrize("granularity", ["weight", "n:4", "4x1", "pattern"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_every_kind_of_mask_ends_with_its_own_counts(granularity: str, scope: str) -> None:
    module = tiny("residual").eval()
    rules = weights_of(module, granularity, 0.75)
    assert rules
    found, settings = run(module, rules, scope=scope, prune=2, recover=1)
    once = make_plan(module, settings.recipe, example_inputs=EXAMPLE)
    assert found.plan is not None
    kept = [sum(entry.kept for entry in plan.entries) for plan in (found.plan, once)]
    assert kept[0] == kept[1] or granularity == "4x1"  # whole blocks come near the count asked for together
    assert checkpoint_bytes(found.module, found.plan, settings.recipe)  # refuses weights that should be gone


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("schedule", ["cubic", "layer-by-layer"])
@pytest.mark.parametrize("criterion", ["l1", "random", "taylor"])
def test_no_channel_comes_back(scope: str, schedule: str, criterion: str) -> None:
    module = tiny("residual").eval()
    groups = find_structure(module, EXAMPLE).groups
    told: list[dict[str, float]] = []
    run(
        module,
        {group.id: Rule(ratio=0.6, criterion=criterion) for group in groups},
        scope=scope,
        schedule=schedule,
        prune=3,
        recover=0,
        on_epoch=lambda epoch: told.append(epoch.removed),
    )
    for group in groups:
        removed = [epoch[group.id] for epoch in told]
        assert removed == sorted(removed)
        assert removed[0] == 0
    assert sum(told[1].values()) > 0


def test_whole_layers_go_with_the_last_update() -> None:
    loaded = load_model("digits-resnet")
    blocks = find_blocks(loaded.module, loaded.example_inputs).blocks
    rules = {
        block.id: Rule(ratio=float(number == 1), granularity="layer", criterion="influence")
        for number, block in enumerate(blocks)
    }
    rules["conv"] = Rule(ratio=0.5, granularity="weight", criterion="l1")
    settings = Recovery(
        recipe=Recipe(rules=rules), pruning=Pruning(prune=2, recover=0, schedule="linear"), fit=FIT
    )
    task = fake_task((1, 8, 8), 40)
    found = recover(loaded.module, task, settings, example_inputs=loaded.example_inputs)
    assert found.plan is not None
    assert [block.id for block in found.plan.blocks] == [blocks[1].id]
    inside = [name for name, _ in found.module.named_parameters() if name.startswith(f"{blocks[1].id}.")]
    assert inside == []
    assert checkpoint_bytes(found.module, found.plan, settings.recipe)


def test_running_means_of_removed_channels_are_held_at_zero() -> None:
    module = tiny("plain").train()
    rules = {group.id: Rule(ratio=0.5) for group in find_structure(module, EXAMPLE).groups}
    plan = make_plan(module, Recipe(rules=rules), example_inputs=EXAMPLE)
    masked, masks = apply_masks(module, plan), masks_of(module, plan)
    optimizer, held = make_optimizer(module, FIT), Held(module, masks)
    held.set(optimizer)
    for name, value in masked.state_dict().items():
        assert torch.equal(value, module.state_dict()[name])
    for _ in range(3):
        module(torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(1)) + 3).sum().backward()
        held.before_step()
        optimizer.step()
        held.after_step()
        means = [name for name in masks if name.endswith("running_mean")]
        assert means
        for name in means:
            value = module.state_dict()[name]
            assert not value[~masks[name]].any()
            assert value[masks[name]].all()


def test_a_smaller_network_trains_on_with_the_momentum_it_had() -> None:
    module, x = tiny("residual").train(), fake_task().train.x
    structure = find_structure(module, EXAMPLE)
    optimizer = make_optimizer(module, FIT)
    for _ in range(3):
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()
    rules = {group.id: Rule(ratio=0.5) for group in structure.groups}
    plan = make_plan(module, Recipe(rules=rules), example_inputs=EXAMPLE, structure=structure)
    small = shrink(module, plan, EXAMPLE)
    fresh = make_optimizer(small, FIT)
    before = dict(module.named_parameters())
    gone = survivors(structure, plan.channels)
    carry_state(optimizer, before, fresh, small, gone)
    for name, parameter in small.named_parameters():
        known, old = fresh.state[parameter], optimizer.state[before[name]]
        assert known["exp_avg"].shape == parameter.shape
        assert float(known["step"]) == 3
        kept = old["exp_avg"]
        for dim, stays in gone.get(name, {}).items():
            kept = kept.index_select(dim, stays.nonzero().flatten())
        assert torch.equal(known["exp_avg"], kept)


def test_the_share_reached_is_that_of_the_ratios() -> None:
    recipe = Recipe(rules={"a": Rule(ratio=0.5), "b": Rule(ratio=0.9), "c": Rule(ratio=0.0)})
    assert reached(recipe, Pruning(schedule="cubic"), 0.5) == pytest.approx(0.875)
    assert reached(recipe, Pruning(schedule="layer-by-layer"), 0.34) == pytest.approx(0.5)
    assert reached(recipe, Pruning(), 0) == 0
    assert reached(recipe, Pruning(), 1) == reached(Recipe(), Pruning(), 0) == 1
    epochs: list[Epoch] = []
    module = tiny("plain").eval()
    run(module, weights_of(module, "weight", 0.5), prune=2, updates=1, recover=0, on_epoch=epochs.append)
    assert [epoch.reached for epoch in epochs] == [0, pytest.approx(0.875), 1]
    assert epochs[1].sparsity == pytest.approx(epochs[2].sparsity * 0.875, abs=0.02)


def test_the_best_weights_keep_their_own_masks_when_others_grow_back() -> None:
    module = tiny("plain").eval()
    earlier = False
    for seed in range(3):
        found, _ = run(
            module,
            weights_of(module, "weight", 0.6),
            schedule="one-shot",
            regrow=0.8,
            prune=4,
            recover=0,
            fit=FIT.model_copy(update={"seed": seed, "lr": 0.05}),
        )
        assert found.plan is not None
        for layer, keep in found.plan.weights.items():
            assert not found.module.get_submodule(layer).weight[~keep].any()
        earlier |= found.best < 4
    assert earlier


def test_what_grows_is_looked_at_again_in_every_epoch(tmp_path: Any) -> None:
    """A run that goes on knows nothing of what was to go before; it must come to the same."""
    module = tiny("residual").eval()
    rules = weights_of(module, "weight", 0.5)
    settings = Recovery(
        recipe=Recipe(rules=rules),
        pruning=Pruning(schedule="one-shot", stabilise=3, prune=0, recover=1),
        regularise=Regularise(name="growing", strength=5.0),
        fit=FIT.model_copy(update={"lr": 0.1}),
    )
    task = fake_task()
    straight = recover(module, task, settings, example_inputs=EXAMPLE)

    def interrupt(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    for _ in range(settings.epochs + 1):
        with pytest.raises(KeyboardInterrupt):
            recover(module, task, settings, example_inputs=EXAMPLE, folder=tmp_path, on_epoch=interrupt)
    again = recover(module, task, settings, example_inputs=EXAMPLE, folder=tmp_path)
    for name, value in straight.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[name])
    assert straight.epochs[1].losses["penalty"] > 0
    assert straight.epochs[-1].losses.keys() == {"labels"}


def test_a_penalty_makes_weights_small_before_they_go() -> None:
    module = tiny("plain").eval()
    rules = weights_of(module, "weight", 0.5)
    near = {}
    for strength in (0.0, 20.0):
        found, _ = run(
            module,
            rules,
            schedule="one-shot",
            stabilise=6,
            prune=0,
            recover=0,
            regularise=Regularise(name="growing", strength=strength),
        )
        near[strength] = sum(histogram.near for histogram in found.epochs[-1].histograms.values())
    assert near[20.0] > near[0.0]


def test_a_run_that_diverges_keeps_what_was_best() -> None:
    module, task = tiny("plain").eval(), fake_task()
    told: list[int] = []

    def spoil(epoch: Epoch) -> None:
        told.append(epoch.number)
        if epoch.number == 2:
            task.train.targets[:] = -100  # counts for nothing, so that the mean loss is 0 / 0

    found, _ = run(
        module,
        weights_of(module, "weight", 0.5),
        task,
        schedule="one-shot",
        prune=0,
        recover=5,
        on_epoch=spoil,
    )
    assert found.ended == "diverged"
    assert told == [0, 1, 2]
    assert found.best in (1, 2)
    assert all(value.isfinite().all() for value in found.module.state_dict().values())
    assert found.recovered.accuracy >= 0


def test_bfloat16_trains_weights_that_stay_float32() -> None:
    module = tiny("plain").eval()
    fit = FIT.model_copy(update={"precision": "bfloat16", "clip": 0.5})
    found, _ = run(module, weights_of(module, "weight", 0.5), prune=1, recover=1, fit=fit)
    exact, _ = run(module, weights_of(module, "weight", 0.5), prune=1, recover=1, fit=FIT)
    assert {value.dtype for value in found.module.parameters()} == {torch.float32}
    assert found.epochs[1].losses != exact.epochs[1].losses


def test_networks_that_cannot_begin_anew_are_refused() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(36))
            self.head = nn.Linear(36, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.flatten(1) * self.scale)

    rules = {"head": Rule(ratio=0.5, granularity="weight", criterion="l1")}
    with pytest.raises(ValueError, match="cannot start at random"):
        run(Own().eval(), rules, start="initial")


def test_built_in_networks_begin_as_they_are_built() -> None:
    loaded = load_model("digits-mlp")
    settings = Recovery(pruning=Pruning(prune=0, recover=1, start="initial"), fit=FIT)
    task = fake_task((1, 8, 8))
    one, two = (
        recover(loaded.module, task, settings, example_inputs=loaded.example_inputs) for _ in range(2)
    )
    assert one.epochs[0].accuracy == two.epochs[0].accuracy
    begun, trained = (network.get_submodule("hidden.fc1").weight for network in (one.module, loaded.module))
    assert float((begun - trained).detach().abs().mean()) > 0.01


def test_the_learning_rate_begins_anew_where_weights_go_back() -> None:
    told: list[Epoch] = []
    module = tiny("plain").eval()
    rules = weights_of(module, "weight", 0.5)
    _, settings = run(
        module, rules, schedule="iterative", rounds=2, prune=4, recover=0, rewind=0, on_epoch=told.append
    )
    rates = [epoch.lr for epoch in told[1:]]
    assert rates[1] < rates[0]
    assert rates[2] == rates[0]
    assert rates[3] == rates[1]
    drawn = dict(preview(settings, list(rules))[1])
    assert drawn[2.0] < drawn[1.0]
    assert drawn[1.0] == pytest.approx(drawn[3.0])


def test_copies_made_in_between_carry_no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    from pruning.recover import trainee

    hooks: list[int] = []

    def counted(original: Any) -> Any:
        def call(module: nn.Module, *arguments: Any, **options: Any) -> Any:
            hooks.append(sum(len(part._forward_hooks) for part in module.modules()))
            return original(module, *arguments, **options)

        return call

    for name in ("collect_statistics", "recalibrate", "shrink", "plan_at"):
        monkeypatch.setattr(trainee, name, counted(getattr(trainee, name)))
    module = tiny("plain").eval()
    taught = {"teach": Teach(hints=1.0), "regularise": Regularise(name="growing")}
    run(module, weights_of(module, "weight", 0.5), regrow=0.3, stabilise=1, prune=2, recover=1, **taught)
    rules = {group.id: Rule(ratio=0.5) for group in find_structure(module, EXAMPLE).groups}
    run(module, rules, stabilise=1, prune=2, recover=1, **taught)
    assert len(hooks) > 12
    assert not any(hooks)
