"""Units removed by name: exact, checked, in files and out of them again."""

from __future__ import annotations

import json

import pytest
import torch

from pruning import Recipe, Rule, apply_masks, load_model, make_plan, shrink
from pruning.checkpoint import SizeModel, checkpoint_bytes, load_checkpoint
from pruning.checkpoint.layout import digest, digest_place
from pruning.groups import find_structure
from pruning.live import LiveEvaluator
from pruning.tasks import load_task

HEADS = "blocks.0.attention.qkv"  # four heads


@pytest.fixture(scope="module")
def vit():
    return load_model("digits-vit")


@pytest.fixture(scope="module")
def structure(vit):
    return find_structure(vit.module, vit.example_inputs)


def by_hand(*units: int, size: int = 4, **more) -> Rule:
    return Rule(ratio=len(units) / size, removed=units, **more)


def planned(vit, structure, rules, **options):
    recipe = Recipe(rules=rules, **options)
    return make_plan(vit.module, recipe, example_inputs=vit.example_inputs, structure=structure)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_exactly_the_named_units_go_whatever_the_criterion_and_the_scope(vit, structure, scope):
    rules = {
        HEADS: by_hand(0, 3, criterion="taylor"),  # needs data, which nobody asks for
        "blocks.0.fc1": Rule(ratio=0.5),
        "blocks.1.fc1": Rule(ratio=0.5),
    }
    plan = planned(vit, structure, rules, scope=scope, multiple_of=16)
    assert plan.keep[HEADS].tolist() == [False, True, True, False]
    entry = plan.entries[0]
    assert (entry.asked, entry.size, entry.kept, entry.note) == (0.5, 4, 2, "by hand, without 0, 3")
    x = torch.cat([vit.example_inputs[0]] * 2)
    small = shrink(vit.module, plan, vit.example_inputs)
    torch.testing.assert_close(small(x), apply_masks(vit.module, plan)(x))


def test_a_multiple_is_not_applied_and_said(vit, structure):
    gone = tuple(range(0, 30, 3))
    plan = planned(vit, structure, {"blocks.0.fc1": by_hand(*gone, size=256)}, multiple_of=16)
    assert plan.entries[0].kept == 246
    assert plan.entries[0].note == (
        "by hand, without 0, 3, 6, 9, 12, 15, 18, 21 and 2 more; not rounded to a multiple of 16"
    )


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (by_hand(4), "has no unit 4; its units are 0 to 3"),
        (by_hand(0, 1, 2, 3), "must keep at least 1 of 4 units"),
        (Rule(ratio=0.25, removed=(0, 1)), "which is a ratio of 0.5, not 0.25"),
        (Rule(ratio=0.0, removed=(0, 1)), "which is a ratio of 0.5, not 0"),
    ],
)
def test_what_a_group_cannot_spare_is_refused(vit, structure, rule, said):
    with pytest.raises(ValueError, match=said):
        planned(vit, structure, {HEADS: rule})


@pytest.mark.parametrize(
    "units", ["[3, 0]", "[1, 1]", "[-1]", "[0.5]", "[true]", '["1"]', "7", "null", "[1e9]"]
)
def test_hostile_units_are_refused_in_a_sentence(units):
    text = '{"rules": {"a": {"ratio": 0.5, "removed": UNITS}}}'.replace("UNITS", units)
    with pytest.raises(ValueError, match="The recipe is not valid at rules > a"):
        Recipe.from_json(text)


@pytest.mark.parametrize(("granularity", "ratio"), [("weight", 0.5), ("layer", 1.0), ("n:4", 0.5)])
def test_only_channels_have_units(granularity, ratio):
    with pytest.raises(ValueError, match="Single units"):
        Rule(ratio=ratio, granularity=granularity, removed=(0,))


def test_a_recipe_keeps_units_and_others_read_as_before():
    recipe = Recipe(rules={HEADS: by_hand(0, 3), "b": Rule(ratio=0.5)})
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert (
        again.digest == recipe.digest != Recipe(rules={HEADS: Rule(ratio=0.5), "b": Rule(ratio=0.5)}).digest
    )
    assert recipe.digest != Recipe(rules={HEADS: by_hand(1, 3), "b": Rule(ratio=0.5)}).digest
    assert "removed" not in json.loads(recipe.to_json())["rules"]["b"]


def test_a_checkpoint_keeps_units_in_a_file_of_the_predicted_size(vit, structure):
    recipe = Recipe(rules={HEADS: by_hand(1)}, model="digits-vit")
    plan = make_plan(vit.module, recipe, example_inputs=vit.example_inputs, structure=structure)
    small = shrink(vit.module, plan, vit.example_inputs)
    data = checkpoint_bytes(small, plan, recipe)
    assert len(data) == SizeModel(vit.module, structure).size(recipe, {HEADS: 3})
    loaded = load_checkpoint(data)
    assert loaded.recipe == recipe
    torch.testing.assert_close(loaded.module(*vit.example_inputs), small(*vit.example_inputs), rtol=0, atol=0)


def test_a_file_whose_record_is_another_than_its_recipe_is_refused(vit, structure):
    recipe = Recipe(rules={HEADS: by_hand(1)})
    plan = make_plan(vit.module, recipe, example_inputs=vit.example_inputs, structure=structure)
    data = checkpoint_bytes(shrink(vit.module, plan, vit.example_inputs), plan, recipe)
    changed = bytearray(data.replace(b'\\"removed\\":[1]', b'\\"removed\\":[2]'))
    assert changed != data
    place = digest_place(changed)
    changed[place : place + 64] = digest(changed, place).encode()
    with pytest.raises(ValueError, match="does not fit its recipe"):
        load_checkpoint(bytes(changed))


def test_the_accuracy_follows_which_head_goes(vit):
    live = LiveEvaluator(vit.module, load_task("digits"), vit.example_inputs, limit=96)
    found = [list(live.reports(Recipe(rules={HEADS: by_hand(unit)})))[-1] for unit in range(4)]
    assert len({report.loss for report in found}) == 4
