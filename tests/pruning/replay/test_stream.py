"""Many versions in one pass answer like the masked networks, whatever the network is made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from zoo import ZOO, random_plan

from pruning.groups import find_structure
from pruning.layers import duplicate
from pruning.masks import named_tensors, zero_units
from pruning.replay import Change, NotReplayable, Program, Stream
from pruning.replay.modules import Modules
from pruning.replay.onednn import convolved
from pruning.replay.unroll import multiplied
from pruning.replay.workers import workers

BATCHED = 5  # images, of which the recordings saw two and three


def batch_of(name: str) -> tuple[nn.Module, Tensor] | None:
    """A network of the zoo in float64 and some images, if it takes one tensor of numbers."""
    module, inputs = ZOO[name](0)
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or not inputs[0].is_floating_point():
        return None
    torch.manual_seed(3)
    return module.double().eval(), torch.randn(BATCHED, *inputs[0].shape[1:], dtype=torch.float64)


def masked(module: nn.Module, structure, keep: dict[str, Tensor], x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    copy = duplicate(module).eval()
    with torch.no_grad():
        for key, mask in keep.items():
            zero_units(named_tensors(copy), structure.group(key), mask)
        return copy(x)


@pytest.mark.parametrize("name", sorted(ZOO))
def test_all_groups_of_a_network_in_one_pass(name: str) -> None:
    found = batch_of(name)
    if found is None:
        pytest.skip("takes something other than one tensor of numbers")
    module, x = found
    try:
        with torch.no_grad():
            expected = module(x)
        structure = find_structure(module, (x[:2],))
        stream = Stream(module, structure, x)
    except NotReplayable as reason:
        pytest.skip(f"not replayable: {reason}")
    except (RuntimeError, ValueError) as error:
        pytest.skip(f"does not take {BATCHED} images: {error}")
    plan = random_plan(structure, 1)
    keeps = [{g.id: plan.channels[g.id]} for g in structure.groups if g.grade == "exact"]
    again = []
    for _ in range(2):  # what one version overwrites must not be missing to the next
        answers = stream.answers(
            x,
            [[lambda keep=keep: Change(keep=keep), lambda: Change()] for keep in keeps],  # type: ignore[misc]
            [stream.program.start(groups=keep) for keep in keeps],
            lambda: False,
        )
        again.append({(place, number): outputs for place, number, outputs in answers})
    assert again[0].keys() == {(place, number) for place in range(len(keeps)) for number in (0, 1)}
    scale = float(expected.abs().max()) + 1
    precise = 1e-4 if stream.program._recorded[0].recording.precision == torch.float32 else 1e-9
    for (place, number), outputs in again[0].items():
        assert torch.equal(outputs, again[1][place, number])
        wanted = masked(module, structure, keeps[place], x) if number == 0 else expected
        torch.testing.assert_close(outputs, wanted, rtol=0, atol=precise * scale)


def test_most_networks_with_one_input_are_replayed() -> None:
    """The test above skips what cannot be: that must stay the exception."""
    replayed = tried = 0
    for name in sorted(ZOO)[::3]:
        found = batch_of(name)
        if found is not None:
            tried += 1
            try:
                Stream(found[0], None, found[1])
            except (NotReplayable, RuntimeError, ValueError):
                continue
            replayed += 1
    assert replayed >= 0.8 * tried, f"{replayed} of {tried}"


def test_norms_are_folded_and_operands_overwritten() -> None:
    module = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Hardswish()),
        *(nn.Flatten(), nn.Linear(16, 3)),
    ).eval()
    with torch.no_grad():
        module[1].running_mean.normal_()
        module[1].running_var.uniform_(0.5, 2)
    x = torch.randn(7, 3, 4, 4)
    program = Program(module, x, None)
    names = [getattr(step.function, "_opname", step.function.__name__) for step in program.steps]
    assert names == ["convolved", "hardswish", "reshape", "linear"]
    assert program.steps[1].in_place is not None
    got = program.run(program.begin(x), len(x))[program.output]
    torch.testing.assert_close(got, module(x).detach(), rtol=0, atol=1e-5)
    mask = torch.rand(4, 3, 3, 3) > 0.5
    version = program.version({}, {"0.weight": mask})
    with torch.no_grad():
        module[0].weight.mul_(mask)
    wanted = module(x).detach()
    got = program.answer(program.begin(x), len(x), 0, version)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


class Summed(nn.Module):
    """Every way in which an addition and a ReLU may follow a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.norm, self.narrow = nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        both = self.norm(self.b(x)) + self.c(x)  # two convolutions: one of them does the sum
        x = (both + x).relu() + self.narrow(x)  # read by nothing else; and one that is broadcast
        seen = self.a(x)
        x = (seen + x).relu() * seen.sigmoid()  # a convolution that something else reads, too
        return torch.add(self.b(x), x, alpha=2).relu().mean((2, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_and_activations_join_their_convolution(dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    module, x = Summed().to(dtype).eval(), torch.randn(5, 4, 6, 6, dtype=dtype)
    program = Program(module, x, None)
    convolutions = [step.values[3:5] for step in program.steps if step.function in (convolved, multiplied)]
    assert len(convolutions) == 6
    assert [relu for other, relu in convolutions if other is None].count(True) == 1
    assert [relu for other, relu in convolutions if other is not None] == [False]
    with torch.no_grad():
        wanted = module(x)
    for _ in range(2):
        got = program.run(program.begin(x), len(x))[program.output]
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)


class Branching(nn.Module):
    """Asks its data which way to go: no recording can stand for it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 6)
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(6, 3)
        self.calls: list[str] = []
        for name, child in self.named_children():
            child.register_forward_hook(lambda *_, name=name: self.calls.append(name))  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        for _ in range(2 if float(x.mean()) > 0 else 1):
            x = self.act(self.second(x)) + x
        return self.head(x)


@torch.no_grad()
def test_finished_modules_hand_out_what_they_returned() -> None:
    torch.manual_seed(0)
    module, x = Branching().eval(), torch.randn(6, 4)
    with pytest.raises(NotReplayable, match="by its data"):
        Stream(module, None, torch.randn(50, 4))
    known, working = Modules(module, x), duplicate(module).eval()
    assert torch.equal(known.outputs, module(x))
    for changed in ("first", "second", "head"):
        weight = working.get_parameter(f"{changed}.weight")
        whole = weight.clone()
        weight[0] = 0
        wanted = working(x)
        for _ in range(2):
            with known.skipping(working, [changed]):
                torch.testing.assert_close(working(x), wanted, rtol=0, atol=0)
        torch.testing.assert_close(working(x), wanted, rtol=0, atol=0)  # nothing is left behind
        weight.copy_(whole)
    assert {visit.name for visit in known.finished_before(["head"])} == {"first", "act", "second"}
    assert [visit.name for visit in known.finished_before(["first"])] == []


def test_workers_have_one_thread_each_and_leave_the_setting_alone() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with workers(torch.device("cpu")) as pool:
            assert pool.count == 2
            assert list(pool.map(lambda _: torch.get_num_threads(), range(4))) == [1, 1, 1, 1]
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        with workers(torch.device("cpu")) as pool:
            assert list(pool.map(lambda n: n + 1, range(3))) == [1, 2, 3]
    finally:
        torch.set_num_threads(before)
