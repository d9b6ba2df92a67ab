"""Versions that start at their first change answer like the really smaller network."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn
from zoo import random_plan

from pruning.groups import find_structure
from pruning.masks import apply_masks
from pruning.models import MODELS, build_model
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.replay import NotReplayable, Program, Replay
from pruning.replay.cuts import choose_cuts
from pruning.shrink import shrink, slice_module

DIGITS = [name for name in MODELS if name.startswith("digits")]


def batches(name: str, sizes: tuple[int, ...] = (4, 4, 3)) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    shape = MODELS[name].input_shape
    return [(torch.randn(size, *shape, dtype=torch.float64), torch.zeros(size).long()) for size in sizes]


def network(name: str) -> nn.Module:
    torch.manual_seed(1)
    return build_model(name).double().eval()


@pytest.mark.parametrize("budget", [0, 2**16, 2**30])
@pytest.mark.parametrize("name", DIGITS)
def test_answers_like_the_smaller_network_whatever_is_kept(name: str, budget: int) -> None:
    module, given = network(name), batches(name)
    structure = find_structure(module, (given[0][0],))
    replay = Replay(module, structure, given, budget=budget)
    assert replay.kept_bytes <= budget
    assert bool(replay.cuts) == (budget > 2**16) or budget == 2**16
    everything = random_plan(structure, 1)
    last = structure.groups[-1].id
    for keep in (everything.channels, {last: everything.channels[last]}):
        plan = make_plan(module, Recipe(), example_inputs=(given[0][0],), structure=structure)
        plan = type(plan)(keep, tuple(e for e in everything.entries if e.key in keep), structure)
        small, version = shrink(module, plan, (given[0][0],)), replay.network(keep)
        with torch.inference_mode():
            for x, _ in given:
                torch.testing.assert_close(version(x), small(x), rtol=0, atol=1e-12)
    with torch.inference_mode():  # and the whole network is as it was
        for x, _ in given:
            torch.testing.assert_close(replay.network({})(x), module(x), rtol=0, atol=1e-12)


def test_masks_of_weights_together_with_channels() -> None:
    module, given = network("digits-cnn"), batches("digits-cnn")
    inputs = (given[0][0],)
    structure = find_structure(module, inputs)
    first, *_, last = structure.groups
    layer = last.producers[0]
    rules = {first.id: Rule(ratio=0.5), layer: Rule(ratio=0.7, granularity="weight", criterion="l1")}
    plan = make_plan(module, Recipe(rules=rules), example_inputs=inputs, structure=structure)
    version = Replay(module, structure, given).network(plan.channels, plan.weights)
    masked = apply_masks(module, plan)
    with torch.inference_mode():
        for x, _ in given:
            torch.testing.assert_close(version(x), masked(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("budget", [0, 2**17, 2**30])
@pytest.mark.parametrize("name", ["digits-resnet", "cifar10-resnet20", "digits-vit"])
def test_edit_after_edit_answers_like_the_smaller_network(name: str, budget: int) -> None:
    """In the second, what is padded changes before any parameter of its group is read."""
    module, given = network(name), batches(name)
    inputs = (given[0][0],)
    structure = find_structure(module, inputs)
    replay = Replay(module, structure, given, budget=budget)
    draw = random.Random(budget)
    keep: dict[str, Tensor] = {}
    for edit in range(12):
        group = draw.choice(structure.groups)
        keep[group.id] = torch.rand(group.size) > draw.random()
        keep[group.id][0] = True
        small = slice_module(module, structure, keep)
        version = replay.network(dict(keep))
        seen = given[: draw.randint(1, len(given))]  # left early, as a drag does
        with torch.inference_mode():
            for x, _ in seen:
                torch.testing.assert_close(version(x), small(x), rtol=0, atol=1e-12, msg=f"edit {edit}")
        assert replay.kept_bytes <= budget


def test_what_comes_before_an_edit_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "digits-resnet"
    module, given = network(name), batches(name)
    structure = find_structure(module, (given[0][0],))
    replay = Replay(module, structure, given)
    ran: list[int] = []
    run = Program.run

    def counted(self: Program, *args: object, **named: object) -> object:
        made = run(self, *args, **named)  # type: ignore[arg-type]
        start, end = args[2], args[3] if len(args) > 3 else len(self.steps)
        ran.append(end - start)  # type: ignore[operator]
        return made

    monkeypatch.setattr(Program, "run", counted)

    def steps_for(keep: dict[str, Tensor]) -> int:
        ran.clear()
        version = replay.network(keep)
        for x, _ in given:
            version(x)
        return sum(ran) // len(given)

    first, last = structure.groups[0], structure.groups[-1]
    half = {group.id: torch.arange(group.size) % 2 == 0 for group in (first, last)}
    everything = len(replay.program.steps)
    assert steps_for(half) == everything
    late = steps_for({**half, last.id: torch.arange(last.size) % 3 == 0})
    assert 0 < late < everything / 2
    assert steps_for({first.id: torch.arange(first.size) % 3 == 0}) > everything / 2
    assert steps_for(half) > everything / 2  # the first edit's tensors are gone
    assert steps_for(half) < everything / 2


class InPlace(nn.Module):
    """Writes into a part of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        y[:, :2] += 1
        return y


class Decided(InPlace):
    """Does what the data say."""

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) * float(x.max())


class Several(InPlace):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.a(x), x


@pytest.mark.parametrize("cls", [InPlace, Decided, Several])
def test_what_cannot_be_run_again_is_not(cls: type[nn.Module]) -> None:
    module = cls().eval()
    given = [(torch.randn(3, 4), torch.zeros(3).long()), (torch.randn(3, 4), torch.zeros(3).long())]
    with pytest.raises(NotReplayable):
        Replay(module, find_structure(module, (given[0][0],)), given)


def test_in_place_activations_do_not_change_what_is_kept() -> None:
    module = nn.Sequential(
        nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 5), nn.ReLU(True), nn.Linear(5, 3)
    )
    given = [(torch.randn(3, 4), torch.zeros(3).long())]
    structure = find_structure(module, (given[0][0],))
    replay = Replay(module.eval(), structure, given)
    version = replay.network({structure.groups[1].id: torch.arange(5) < 2})
    with torch.inference_mode():
        assert torch.equal(version(given[0][0]), version(given[0][0]))


def test_cuts_go_where_a_byte_saves_the_most() -> None:
    seconds, sizes = [0, 1, 2, 3, 4], {1: 10, 2: 10, 3: 4, 4: 4}
    assert choose_cuts([1, 2, 3, 4], seconds, sizes, 0) == ()
    assert choose_cuts([1, 2, 3, 4], seconds, sizes, 4) == (3,)
    assert choose_cuts([1, 2, 3, 4], seconds, sizes, 8) == (3, 4)
    assert choose_cuts([1, 2, 3, 4], seconds, sizes, 100) == (1, 2, 3, 4)
    assert choose_cuts([], seconds, sizes, 100) == ()
