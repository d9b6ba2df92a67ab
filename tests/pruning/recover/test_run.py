"""A whole run: exact counts at its end, the same numbers every time, and the same after an interruption."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_task import FakeTask, fake_task
from tiny_networks import tiny
from torch import Tensor, nn

from pruning.criteria import CRITERIA
from pruning.groups import find_structure
from pruning.layers import find_layers
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.recover import SCHEDULES, Epoch, Fit, Pruning, Recovered, Recovery, Regularise, Teach, recover
from pruning.recover.state import FILE

EXAMPLE = (torch.zeros(1, 1, 6, 6),)
FIT = Fit(lr=0.01, batch_size=16)


def rules_for(module: nn.Module, granularity: str, ratio: float = 0.5) -> dict[str, Rule]:
    if granularity == "channel":
        groups = find_structure(module, EXAMPLE).groups
        return {group.id: Rule(ratio=ratio) for group in groups}
    layers = [layer.name for layer in find_layers(module, EXAMPLE) if layer.prunable]
    return {name: Rule(ratio=ratio, granularity=granularity, criterion="l1") for name in layers}


def settings_for(module: nn.Module, granularity: str = "weight", **pruning: Any) -> Recovery:
    steps = Pruning(**{"prune": 2, "recover": 1, **pruning})
    return Recovery(recipe=Recipe(rules=rules_for(module, granularity)), pruning=steps, fit=FIT)


def run(module: nn.Module, settings: Recovery, task: FakeTask | None = None, **more: Any) -> Recovered:
    return recover(module, task or fake_task(), settings, example_inputs=EXAMPLE, **more)


def values(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def bare(epoch: Epoch) -> dict[str, Any]:
    return epoch.model_dump(exclude={"seconds", "images_per_s"})


@pytest.mark.parametrize("granularity", ["weight", "channel"])
@pytest.mark.parametrize("choose", ["criterion", "movement"])
@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_a_run_ends_with_exactly_the_counts_of_its_recipe(
    schedule: str, choose: str, granularity: str
) -> None:
    module = tiny("residual").eval()
    before, state = values(module), torch.get_rng_state()
    settings = settings_for(module, granularity, schedule=schedule, choose=choose, stabilise=1, recover=0)
    found = run(module, settings)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    once = make_plan(module, settings.recipe, example_inputs=EXAMPLE)
    assert found.plan is not None
    assert {e.key: e.kept for e in found.plan.entries} == {e.key: e.kept for e in once.entries}
    assert found.ended == "done"
    assert len(found.epochs) == 4
    assert found.epochs[-1].reached == 1
    assert not found.module.training
    if granularity == "channel":
        assert sum(p.numel() for p in found.module.parameters()) < sum(p.numel() for p in module.parameters())
    else:
        weights = dict(found.module.named_parameters())
        for layer, keep in found.plan.weights.items():
            assert not weights[f"{layer}.weight"][~keep].any()
    assert all(parameter.grad is None for parameter in found.module.parameters())
    assert found.recovered.accuracy == found.epochs[found.best].accuracy or settings.recalibrate


@pytest.mark.parametrize("schedule", ["cubic", "linear", "layer-by-layer"])
def test_what_is_gone_stays_gone(schedule: str) -> None:
    module = tiny("plain").eval()
    removed: list[dict[str, float]] = []
    settings = settings_for(module, schedule=schedule, prune=3)
    run(module, settings, on_epoch=lambda epoch: removed.append(epoch.removed))
    keys = removed[-1]
    rising = [[found.get(key, 0.0) for found in removed] for key in keys]
    assert all(row == sorted(row) for row in rising)
    assert any(0 < row[1] < row[-1] for row in rising) or schedule == "layer-by-layer"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"fit": FIT.model_copy(update={"optimizer": "sgd", "momentum": 0.9})},
        {
            "teach": Teach(hints=0.5),
            "fit": FIT.model_copy(update={"optimizer": "sgd", "layer_lr": {"stem": 0.5, "norm": 0.0}}),
        },
        {"regularise": Regularise(name="growing", strength=0.1)},
    ],
)
@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_a_run_goes_on_as_if_nothing_had_happened(
    change: dict[str, Any], granularity: str, tmp_path: Path
) -> None:
    module = tiny("residual").eval()
    settings = settings_for(module, granularity, prune=2, recover=2, stabilise=1).model_copy(update=change)
    straight = run(module, settings)
    folder = tmp_path / "run"

    def interrupt(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    for _ in range(6):  # it is killed after each of its epochs
        with pytest.raises(KeyboardInterrupt):
            run(module, settings, folder=folder, on_epoch=interrupt)
    told: list[int] = []
    again = run(module, settings, folder=folder, on_epoch=lambda epoch: told.append(epoch.number))
    assert told == []  # all of them had been told before
    assert [bare(epoch) for epoch in again.epochs] == [bare(epoch) for epoch in straight.epochs]
    assert same(straight.module, again.module)
    assert straight.recovered.accuracy == again.recovered.accuracy


@pytest.mark.parametrize(
    "pruning", [{"choose": "movement"}, {"regrow": 0.3}, {"rewind": 0, "schedule": "iterative"}]
)
def test_other_ways_go_on_too_in_the_middle_of_an_epoch(pruning: dict[str, Any], tmp_path: Path) -> None:
    module = tiny("plain").eval()
    settings = settings_for(module, **pruning)
    straight = run(module, settings)
    steps = 0

    def interrupt(done: int, total: int) -> None:
        nonlocal steps
        steps += 1
        if steps in (3, 9, 12):
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(module, settings, folder=tmp_path, on_step=interrupt)
    again = run(module, settings, folder=tmp_path, on_step=interrupt)
    assert [bare(epoch) for epoch in again.epochs] == [bare(epoch) for epoch in straight.epochs]
    assert same(straight.module, again.module)


def test_a_state_of_other_settings_or_a_damaged_one_is_not_taken_up(tmp_path: Path) -> None:
    module = tiny("plain").eval()
    run(module, settings_for(module), folder=tmp_path)
    told: list[int] = []
    other = settings_for(module).model_copy(update={"fit": FIT.model_copy(update={"seed": 1})})
    run(module, other, folder=tmp_path, on_epoch=lambda epoch: told.append(epoch.number))
    assert told == [0, 1, 2, 3]
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-100])
    told.clear()
    run(module, other, folder=tmp_path, on_epoch=lambda epoch: told.append(epoch.number))
    assert told == [0, 1, 2, 3]


def test_another_seed_is_another_run() -> None:
    module = tiny("plain").eval()
    one, two = (
        run(module, settings_for(module).model_copy(update={"fit": FIT.model_copy(update={"seed": seed})}))
        for seed in (0, 1)
    )
    assert not same(one.module, two.module)


def test_weights_grow_back_and_their_number_stays() -> None:
    module = tiny("plain").eval()
    settings = settings_for(module, schedule="one-shot", regrow=0.5, prune=2)
    found = run(module, settings)
    once = make_plan(module, settings.recipe, example_inputs=EXAMPLE)
    assert found.plan is not None
    for layer, keep in found.plan.weights.items():
        assert int(keep.sum()) == int(once.weights[layer].sum())
    assert any(not torch.equal(keep, once.weights[layer]) for layer, keep in found.plan.weights.items())


def test_a_ticket_goes_back_to_its_first_weights() -> None:
    module = tiny("plain").eval()
    settings = settings_for(module, schedule="iterative", rewind=0, prune=2, recover=0, rounds=2)
    layer = next(iter(settings.recipe.rules))
    first = dict(module.named_parameters())[f"{layer}.weight"].detach()

    still = settings.model_copy(update={"fit": FIT.model_copy(update={"lr": 1e-30, "weight_decay": 0.0})})
    found = run(module, still)
    weight = dict(found.module.named_parameters())[f"{layer}.weight"]
    assert found.plan is not None
    keep = found.plan.weights[layer]
    assert torch.equal(weight[keep], first[keep])


def test_initial_weights_are_drawn_anew_by_the_seed() -> None:
    module = tiny("plain", seed=3).eval()
    settings = settings_for(module, start="initial", prune=0, recover=0)
    one, two = run(module, settings), run(module, settings)
    assert same(one.module, two.module)
    weight = dict(one.module.named_parameters())
    dense = dict(module.named_parameters())
    assert one.plan is not None
    layer, keep = next(iter(one.plan.weights.items()))
    assert not torch.equal(weight[f"{layer}.weight"][keep], dense[f"{layer}.weight"][keep])


def test_without_epochs_the_network_is_pruned_at_once() -> None:
    module = tiny("residual").eval()
    settings = settings_for(module, "channel", prune=0, recover=0)
    found = run(module, settings.model_copy(update={"recalibrate": False}))
    assert found.recovered.accuracy == found.pruned.accuracy
    assert [epoch.number for epoch in found.epochs] == [0]


def test_without_rules_it_only_trains() -> None:
    module = tiny("plain").eval()
    task = fake_task()
    task.validation.x[:], task.validation.targets[:] = task.train.x, task.train.targets  # it can learn these
    fit = FIT.model_copy(update={"lr": 0.05})
    found = run(module, Recovery(pruning=Pruning(prune=0, recover=3), fit=fit), task)
    assert found.plan is None
    assert found.epochs[-1].sparsity == pytest.approx(found.epochs[0].sparsity, abs=1e-9)
    assert found.best > 0
    assert found.recovered.accuracy > found.dense.accuracy
    assert not same(found.module, module)


def test_without_rules_the_network_itself_can_be_the_best() -> None:
    module = tiny("plain").eval()
    fit = FIT.model_copy(update={"lr": 1e-30, "weight_decay": 0.0})
    found = run(module, Recovery(pruning=Pruning(prune=0, recover=2), fit=fit, recalibrate=False))
    assert found.best == 0
    assert same(found.module, module)


def test_it_stops_when_asked_to_and_prunes_what_is_left() -> None:
    module, stop = tiny("plain").eval(), threading.Event()
    settings = settings_for(module, prune=3)
    found = run(module, settings, stop=stop, on_epoch=lambda epoch: stop.set() if epoch.number == 1 else None)
    assert found.ended == "stopped"
    assert [epoch.number for epoch in found.epochs] == [0, 1]
    once = make_plan(module, settings.recipe, example_inputs=EXAMPLE)
    assert found.plan is not None
    assert {e.key: e.kept for e in found.plan.entries} == {e.key: e.kept for e in once.entries}


def test_patience_ends_a_run_that_gets_no_better() -> None:
    module = tiny("tied").eval()  # no BatchNorm, whose statistics move even where weights do not
    fit = FIT.model_copy(update={"lr": 1e-30, "weight_decay": 0.0, "patience": 2})
    settings = settings_for(module, schedule="one-shot", prune=0, recover=20)
    found = run(module, settings.model_copy(update={"fit": fit, "recalibrate": False}))
    assert found.ended == "early"
    assert len(found.epochs) == 4  # before, the best, and two that are no better
    assert found.best == 1


def test_a_loss_that_is_no_number_is_told() -> None:
    module = tiny("plain").eval()
    settings = settings_for(module).model_copy(
        update={"fit": FIT.model_copy(update={"lr": 1e6, "optimizer": "sgd"})}
    )
    with pytest.raises(ValueError, match=r"no number any more in epoch \d; choose a smaller learning rate"):
        run(module, settings)


def test_frozen_layers_keep_their_weights() -> None:
    module = tiny("plain").eval()
    layer = next(iter(rules_for(module, "weight")))
    fit = FIT.model_copy(update={"layer_lr": {layer: 0.0}})
    settings = settings_for(module, prune=0, recover=1).model_copy(update={"fit": fit, "recalibrate": False})
    rules = {key: rule for key, rule in settings.recipe.rules.items() if key != layer}
    found = run(module, settings.model_copy(update={"recipe": Recipe(rules=rules)}))
    before, after = module.get_submodule(layer), found.module.get_submodule(layer)
    assert torch.equal(before.weight, after.weight)
    assert not same(module, found.module)


@pytest.mark.parametrize(
    ("pruning", "fit", "message"),
    [
        ({"regrow": 0.3}, {}, "Only single weights can grow back"),
        ({"schedule": "one-shot", "choose": "movement"}, {}, "Nothing has moved before the first epoch"),
        ({}, {"precision": "float16"}, "float16 needs a CUDA device"),
        ({}, {"layer_lr": {"nowhere": 0.5}}, "no layer 'nowhere'"),
        ({"schedule": "nothing"}, {}, "no schedule 'nothing'"),
        ({}, {"lr_schedule": "nothing"}, "no learning rate schedule 'nothing'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    pruning: dict[str, Any], fit: dict[str, Any], message: str
) -> None:
    module = tiny("plain").eval()
    settings = settings_for(module, "channel", **pruning)
    with pytest.raises(ValueError, match=message):
        run(module, settings.model_copy(update={"fit": FIT.model_copy(update=fit)}))


def test_every_regulariser_and_hooks_leave_nothing_behind() -> None:
    module = tiny("residual").eval()
    settings = settings_for(module, "channel", stabilise=1, prune=1).model_copy(
        update={"regularise": Regularise(name="group-lasso", strength=0.01), "teach": Teach(hints=1.0)}
    )
    found = run(module, settings)
    for network in (module, found.module):
        assert all(not part._forward_hooks for part in network.modules())
    assert set(found.epochs[1].losses) == {"labels", "distillation", "hints", "penalty"}
    assert "penalty" not in found.epochs[-1].losses


def test_criteria_with_data_are_asked_again_at_every_update() -> None:
    module = tiny("plain").eval()
    needing = next(name for name, entry in CRITERIA.items() if "gradients" in entry.needs and entry.weights)
    rules = {k: r.model_copy(update={"criterion": needing}) for k, r in rules_for(module, "weight").items()}
    settings = Recovery(recipe=Recipe(rules=rules), pruning=Pruning(prune=1, recover=0), fit=FIT)
    assert run(module, settings).ended == "done"
