"""Train the built-in networks: `python -m pruning train NAME` makes the files in assets/ anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save

from pruning.models import ASSETS, MODELS
from pruning.store import cache_dir
from pruning.tasks import load_task
from pruning.train.card import make_card
from pruning.train.loop import EpochReport, Progress, fit
from pruning.train.recipes import TRAININGS, Training

__all__ = ["TRAININGS", "EpochReport", "Progress", "Training", "fit", "train_model"]


def train_model(
    name: str,
    *,
    data_dir: str | Path | None = None,
    out: str | Path = ASSETS,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a built-in network by its recipe and write its weights and its model card.

    An interrupted training goes on from its last kept state (in the cache directory, every few epochs).

    Args:
        name: of an entry of `MODELS`.
        data_dir: where the archive of its task is; the configured directory if not given.
        out: directory for NAME.safetensors and NAME.json.
        epochs: instead of the recipe's, for a quick try.
        progress: called after each epoch.
    Returns:
        The model card that was written.
    Raises:
        ValueError: if there is no such model, its data is missing or damaged, or `epochs` is not positive.
    """
    spec = MODELS[name]
    training = TRAININGS[name]
    if epochs is not None:
        if epochs < 1:
            raise ValueError(f"A training takes at least one epoch, not {epochs}.")
        training = replace(training, epochs=epochs)
    task = load_task(spec.task, data_dir)
    state_file = cache_dir() / "training" / f"{name}.pt"
    module = fit(name, task, training, state_file=state_file, progress=progress)
    weights = save({key: tensor.contiguous() for key, tensor in module.state_dict().items()})
    card = make_card(name, module, task, training, weights)
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{name}.safetensors").write_bytes(weights)
    (target / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    # Only now: a state that is left behind would make the next training of this recipe end at once.
    state_file.unlink(missing_ok=True)
    return card
