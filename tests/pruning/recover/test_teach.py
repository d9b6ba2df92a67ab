"""Distillation and hints: parts of the loss, hooks that come off, other widths, fewer blocks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny_networks import EXAMPLE, NETWORKS, tiny, traces
from torch import Tensor, nn

from pruning.blocks import drop_blocks, find_blocks
from pruning.groups import find_structure
from pruning.models import load_model
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.recover.settings import Teach
from pruning.recover.teach import Regressor, Teacher
from pruning.shrink import shrink

X, Y = torch.randn(7, 1, 6, 6, generator=torch.Generator().manual_seed(3)), torch.arange(7) % 3


def smaller(module: nn.Module, example: tuple[Tensor, ...] = EXAMPLE) -> nn.Module:
    """Half of every group's units."""
    rules = {group.id: Rule(ratio=0.5) for group in find_structure(module, example).groups}
    return shrink(module, make_plan(module, Recipe(rules=rules), example_inputs=example), example)


def one_step(teacher: Teacher, student: nn.Module, x: Tensor = X, y: Tensor = Y) -> dict[str, Tensor]:
    logits = student(x)
    return teacher.loss(x, logits, y, F.cross_entropy(logits, y))


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_sum_to_a_loss_that_trains_the_smaller_network(name: str) -> None:
    dense = tiny(name)
    student = smaller(dense).train()
    before, hooked = traces(dense), traces(student)
    with Teacher(dense, student, Teach(weight=0.3, hints=0.5), EXAMPLE) as teacher:
        assert teacher.layers
        optimizer = torch.optim.SGD([*student.parameters(), *teacher.parameters()], lr=0.01)
        totals = []
        for _ in range(12):
            parts = one_step(teacher, student)
            assert list(parts) == ["labels", "distillation", "hints"]
            assert all(part.shape == () and part.isfinite() and part >= 0 for part in parts.values())
            loss = torch.stack(list(parts.values())).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            totals.append(loss.item())
        assert totals[-1] < totals[0]
    assert traces(dense) == before
    assert traces(student)[-2] == hooked[-2]  # flags and numbers of hooks


def test_a_network_that_answers_the_same_learns_from_labels_alone() -> None:
    dense, student = tiny("plain"), tiny("plain")
    with Teacher(dense, student, Teach(weight=0.25, hints=1.0), EXAMPLE) as teacher:
        parts = one_step(teacher, student)
    torch.testing.assert_close(parts["labels"], 0.75 * F.cross_entropy(dense(X), Y))
    assert parts["distillation"].abs() < 1e-6
    assert parts["hints"] == 0
    assert not list(teacher.parameters())


def test_distillation_is_the_divergence_times_the_squared_temperature() -> None:
    dense, student = tiny("plain"), tiny("plain", seed=1)
    with Teacher(dense, student, Teach(weight=0.4, temperature=3.0), EXAMPLE) as teacher:
        found = one_step(teacher, student)["distillation"]
    p, q = (dense(X) / 3).softmax(1), (student(X) / 3).softmax(1)
    torch.testing.assert_close(found, 0.4 * 9 * (p * (p / q).log()).sum(1).mean())


def test_hints_are_the_share_of_the_dense_features_that_is_missed() -> None:
    dense, student = tiny("plain"), tiny("plain", seed=1)
    settings = Teach(weight=0.0, hints=2.0, layers=("conv1",))
    with Teacher(dense, student, settings, EXAMPLE) as teacher:
        parts = one_step(teacher, student)
    ours, theirs = student.conv1(X), dense.conv1(X)
    assert set(parts) == {"labels", "hints"}
    expected = 2 * (ours - theirs).square().sum() / theirs.square().sum()
    torch.testing.assert_close(parts["hints"], expected)


def test_the_dense_network_is_in_eval_mode_and_sees_the_very_images() -> None:
    dense, student = tiny("plain").train(), tiny("plain").train()
    statistics = dense.norm1.running_mean.clone()
    with Teacher(dense, student, Teach(weight=1.0, temperature=1.0), EXAMPLE) as teacher:
        first = one_step(teacher, student)["distillation"]
        other = one_step(teacher, student, X + 1)["distillation"]
    assert torch.equal(dense.norm1.running_mean, statistics)
    assert dense.training
    assert not torch.isclose(first, other)
    assert all(parameter.grad is None for parameter in dense.parameters())


@pytest.mark.parametrize("fails", [False, True])
def test_hooks_come_off_after_success_and_after_failure(fails: bool) -> None:
    dense, student = tiny("residual"), smaller(tiny("residual"))
    before = traces(dense), traces(student)
    teacher = Teacher(dense, student, Teach(hints=1.0), EXAMPLE)
    assert (traces(dense), traces(student)) == before
    try:
        with teacher:
            one_step(teacher, student)
            assert traces(student) != before[1]
            if fails:
                raise RuntimeError("a step that fails")
    except RuntimeError:
        assert fails
    assert (traces(dense), traces(student)) == before


def test_one_layer_of_each_resolution_is_chosen() -> None:
    loaded = load_model("digits-resnet")
    teacher = Teacher(loaded.module, loaded.module, Teach(hints=1.0), loaded.example_inputs)
    assert teacher.layers == ("stages.stage1", "stages.stage2", "stages")


@pytest.mark.parametrize(
    ("name", "layers"), [("tied", ("twin",)), ("transformer", ("fc2",)), ("grouped", ("grouped", "up"))]
)
def test_other_networks_have_their_last_features_chosen(name: str, layers: tuple[str, ...]) -> None:
    module = tiny(name)
    chosen = Teacher(module, smaller(module), Teach(hints=1.0), EXAMPLE).layers
    assert set(layers) <= set(chosen)
    assert "head" not in chosen


def test_regressors_stand_where_widths_differ_and_are_the_same_every_time() -> None:
    dense = tiny("residual")
    student = smaller(dense)
    settings = Teach(hints=1.0, layers=("stem", "expand"))
    state = torch.get_rng_state()
    first, second = (Teacher(dense, student, settings, EXAMPLE) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert [type(part) for part in first.regressors] == [Regressor, Regressor]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.regressors[0](torch.randn(2, 4, 5, 5)).shape == (2, 8, 5, 5)


def test_tokens_are_brought_to_the_width_along_their_last_dimension() -> None:
    regressor = Regressor(4, 6, 2)
    assert regressor(torch.randn(2, 5, 4)).shape == (2, 5, 6)


def test_dropped_blocks_are_left_out_and_the_others_matched() -> None:
    loaded = load_model("digits-resnet")
    blocks = find_blocks(loaded.module, loaded.example_inputs)
    student = drop_blocks(loaded.module, [blocks.block("stages.stage1.1")])
    settings = Teach(hints=1.0, layers=("stages.stage1.1.conv2", "stages.stage2.0"))
    x, y = torch.randn(4, 1, 8, 8), torch.arange(4)
    with Teacher(loaded.module, student, settings, loaded.example_inputs) as teacher:
        assert teacher.layers == ("stages.stage2.0",)
        assert one_step(teacher, student, x, y)["hints"] > 0
    with pytest.raises(ValueError, match=r"^No layer is left [^.]*\.$"):
        Teacher(
            loaded.module,
            student,
            Teach(hints=1.0, layers=("stages.stage1.1.conv2",)),
            loaded.example_inputs,
        )


def test_a_layer_that_is_not_there_is_told() -> None:
    module = tiny("plain")
    with pytest.raises(ValueError, match=r"^The dense network has no layer 'conv9' [^.]*\.$"):
        Teacher(module, module, Teach(hints=1.0, layers=("conv1", "conv9")), EXAMPLE)


def test_without_hints_no_layer_is_looked_for() -> None:
    module = tiny("plain")
    with Teacher(module, module, Teach(weight=0.0, layers=("conv9",)), EXAMPLE) as teacher:
        assert list(one_step(teacher, module)) == ["labels"]
