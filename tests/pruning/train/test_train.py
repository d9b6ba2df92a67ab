"""Training learns, is the same every time, and goes on after an interruption."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from pruning.models import load_model
from pruning.tasks import load_task
from pruning.train import TRAININGS, EpochReport, fit, train_model
from pruning.train.augment import augment, crop, warp
from pruning.train.loop import make_optimizer, rate

SHORT = replace(TRAININGS["digits-mlp"], epochs=7)


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    task = load_task("digits")
    straight = fit("digits-mlp", task, SHORT)
    state_file = tmp_path / "state" / "digits-mlp.pt"

    def interrupt(report: EpochReport) -> None:
        if report.epoch == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit("digits-mlp", task, SHORT, state_file=state_file, progress=interrupt)
    epochs: list[int] = []
    again = fit("digits-mlp", task, SHORT, state_file=state_file, progress=lambda r: epochs.append(r.epoch))
    assert epochs == [6, 7]
    assert torch.equal(weights(straight), weights(again))


def test_a_state_of_another_recipe_is_not_taken_up(tmp_path: Path) -> None:
    task = load_task("digits")
    state_file = tmp_path / "digits-mlp.pt"
    fit("digits-mlp", task, replace(SHORT, epochs=1), state_file=state_file)
    epochs: list[int] = []
    fit(
        "digits-mlp",
        task,
        replace(SHORT, epochs=1, seed=1),
        state_file=state_file,
        progress=lambda r: epochs.append(1),
    )
    assert epochs == [1]


def test_training_leaves_the_random_numbers_of_the_caller_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit("digits-mlp", load_task("digits"), replace(SHORT, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_a_training_writes_weights_and_a_card_that_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path / "cache"))
    reports: list[EpochReport] = []
    card = train_model("digits-mlp", out=tmp_path, epochs=6, progress=reports.append)
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert reports[-1].loss < reports[0].loss
    assert card["accuracy"]["validation"]["accuracy"] == reports[-1].accuracy > 0.8
    assert json.loads((tmp_path / "digits-mlp.json").read_text()) == card
    assert card["training"]["epochs"] == 6
    assert "6 epochs on the 957 training images" in card["how"]
    loaded = load_model("digits-mlp", tmp_path / "digits-mlp.safetensors")
    assert sum(p.numel() for p in loaded.module.parameters()) == card["parameters"]
    assert card["macs"] == 64 * 300 + 300 * 100 + 100 * 10
    assert not list((tmp_path / "cache").rglob("*.pt"))


def test_a_training_of_no_epochs_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        train_model("digits-mlp", epochs=0)


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    training = replace(SHORT, warmup=0.1)
    assert rate(0.05, training) == pytest.approx(0.5)
    assert rate(0.1, training) == pytest.approx(1.0)
    assert rate(0.55, training) == pytest.approx(0.5)
    assert rate(1.0, training) == pytest.approx(0.0)


def test_norms_biases_and_tokens_are_not_decayed() -> None:
    from pruning.models import build_model

    module = build_model("digits-vit")
    decayed, others = make_optimizer(module, SHORT).param_groups
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert any(p is module.positions for p in others["params"])
    assert others["weight_decay"] == 0
    assert len(decayed["params"]) + len(others["params"]) == len(list(module.parameters()))


def test_a_crop_is_a_window_of_the_padded_image() -> None:
    images = torch.rand(50, 2, 6, 6)
    cropped = crop(images, 2, generator())
    padded = nn.functional.pad(images, (2, 2, 2, 2), mode="reflect")
    places = set()
    for image, source in zip(cropped, padded, strict=True):
        windows = source.unfold(1, 6, 1).unfold(2, 6, 1).permute(1, 2, 0, 3, 4)
        hits = (windows == image).all(dim=(2, 3, 4)).nonzero().tolist()
        assert hits
        places.add(tuple(hits[0]))
    assert len(places) > 10


def test_warping_by_nothing_changes_nothing() -> None:
    images = torch.rand(3, 1, 8, 8)
    assert torch.allclose(warp(images, 0, 0, 0, generator()), images, atol=1e-5)


def test_warping_moves_images_by_at_most_the_given_distance() -> None:
    images = torch.full((200, 1, 9, 9), -1.0)
    images[:, :, 4, 4] = 1.0
    moved = warp(images, 2.0, 0, 0, generator()) + 1
    weight = moved.sum(dim=(2, 3)).squeeze(1)
    centre = (moved.sum(dim=2).squeeze(1) @ torch.arange(9.0)) / weight - 4
    assert centre.abs().max() <= 2.01
    assert centre.max() > 1.5
    assert centre.min() < -1.5
    assert torch.allclose(weight, torch.full((200,), 2.0), atol=1e-4)


@pytest.mark.parametrize("name", list(TRAININGS))
def test_augmentation_is_decided_by_its_generator(name: str) -> None:
    images = torch.rand(8, 3, 8, 8)
    kept = images.clone()
    one, again, other = (augment(images, TRAININGS[name], generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(images, kept)
    assert one.shape == images.shape
