"""What is said of two recipes is true, and what was answered on each image is found again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from compare_runs import HOSTILE, recipe, run

from pruning import Report
from pruning.compare import (
    answers,
    in_words,
    recipe_of,
    recovery_of,
    rule_pairs,
    setting_pairs,
    sources,
    tuned_in_words,
)
from pruning.evaluate import wilson
from pruning.history import History
from pruning.recover.settings import Fit, Recovery, Teach


def test_the_same_recipe_differs_in_nothing() -> None:
    assert in_words(recipe(fc1=0.5), recipe(fc1=0.5)) == ["Both recipes are the same."]
    assert all(pair.same for pair in rule_pairs(recipe(fc1=0.5), recipe(fc1=0.5)))


def test_words_and_table_say_what_differs() -> None:
    first = recipe(fc1=0.5, fc2=0.25, fc3=0.1)
    second = recipe(seed=3, criterion="l2", fc1=0.75, fc2=0.25, fc4=0.4)
    assert in_words(first, second) == [
        "The first ranks by L1 norm, the second ranks by L2 norm.",
        "Seed of the recipe: 0 in the first, 3 in the second.",
        "Only the first prunes “hidden.fc3”.",
        "Only the second prunes “hidden.fc4”.",
        "Of 2 parts that both prune, the second cuts 1 further, 1 as far.",
        "The largest difference: “hidden.fc1” 50 % against 75 %.",
    ]
    pairs = {pair.name: (pair.first, pair.second) for pair in rule_pairs(first, second)}
    assert pairs["hidden.fc1"] == ("50 % channel, L1 norm", "75 % channel, L2 norm")
    assert pairs["hidden.fc3"][1] == ""


def test_recipes_are_found_in_settings_of_every_kind() -> None:
    made = recipe(fc1=0.5)
    assert recipe_of(made.to_json()) == made
    recovery = Recovery(recipe=made)
    assert recipe_of(recovery.to_json()) == made
    assert recovery_of(recovery.to_json()) == recovery
    for other in ("", "[1]", "null", '{"criterion": "l1"}', '{"rules": 3}', HOSTILE):
        assert recipe_of(other) is None
        assert recovery_of(other) is None


def test_settings_that_differ_are_listed() -> None:
    first, second = Recovery(fit=Fit(lr=0.1)), Recovery(fit=Fit(lr=0.2), teach=Teach(weight=0.7))
    pairs = {pair.name: (pair.first, pair.second) for pair in setting_pairs(first, second)}
    assert pairs["fit: lr"] == ("0.1", "0.2")
    assert pairs["teach: weight"] == ("none", "0.7")
    assert not [name for name in pairs if name.startswith(("pruning", "recipe"))]
    assert "teach" not in pairs
    assert setting_pairs(first, first) == []
    assert tuned_in_words(first, second) == tuned_in_words(None, None) == ""
    assert tuned_in_words(None, first) == "Only the second was fine-tuned: cubic, 8 epochs."


def test_every_criterion_has_its_paper() -> None:
    (found,) = sources([run(criterion="l1"), run(1, criterion="l1"), run(2, criterion=HOSTILE)])
    assert "arXiv:1608.08710" in found


def answered(predictions: list[int], split: str = "test") -> Report:
    targets = torch.zeros(len(predictions), dtype=torch.long)
    said = torch.tensor(predictions)
    right = int((said == targets).sum())
    n = len(predictions)
    return Report(right / n, wilson(right, n), 0.0, n, n, split, said, targets)


def test_answers_are_found_again_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    history, first, second = History(f"sqlite:///{tmp_path}/h.sqlite"), run(1), run(2)
    answers.keep(history.folder(first.id), answered([0, 0, 1, -1]), answered([0], "validation"))
    assert answers.paired(history, first, second, "test") is None, "the second has none"
    answers.keep(history.folder(second.id), answered([0, 1, 0, 0]))
    found = answers.paired(history, first, second, "test")
    assert found is not None
    assert (found.value, found.gained, found.lost, found.n) == (0.25, 2, 1, 4)
    assert answers.paired(history, first, second, "validation") is None
    read = answers.read(history.folder(first.id), "test")
    assert read is not None
    assert read.predictions.tolist() == [0, 0, 1, -1]
    (history.folder(second.id) / answers.FILE).write_bytes(b"damaged")
    assert answers.paired(history, first, second, "test") is None
