"""What a finished run leaves in its folder, beside the dense weights and the settings that it began with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pruning.checkpoint import SelfCheck, Side, loading_code, model_card, save_checkpoint, self_check
from pruning.checkpoint.write import write_atomically
from pruning.models import LoadedModel
from pruning.recover.record import Epoch
from pruning.recover.settings import Recovery
from pruning.runs.measure import Outcome
from pruning.shrink import is_graph
from pruning.tasks import TASKS, Task

RECIPE, CODE, CARD = "recipe.json", "load.py", "README.md"
CHECKED_IMAGES = 1024
_EPOCH_ROWS = 60  # of the card's table


def checkpoint_name(model: str) -> str:
    """Name of the file with the network that came out."""
    return f"{model}-recovered.safetensors"


def result_files(folder: Path, model: str) -> list[Path]:
    """Files to take home that are there: the network, its recipe and settings, loading code and card."""
    names = (checkpoint_name(model), RECIPE, "settings.json", CODE, CARD)
    return [folder / name for name in names if (folder / name).is_file()]


def leave_result(
    folder: Path,
    loaded: LoadedModel,
    task: Task,
    outcome: Outcome,
    settings: Recovery,
    epochs: Sequence[Epoch],
    best: int,
) -> SelfCheck:
    """Write the network that came out with all that goes with it, and load the file again to check it.

    Args:
        folder: of the run.
        loaded: the dense network.
        task: its data.
        outcome: the network that came out, measured.
        settings: of the run.
        epochs: what it did.
        best: number of the epoch whose network this is.
    Returns:
        The check: in a process of its own, as the file's receiver will load it.
    """
    file = save_checkpoint(
        folder / checkpoint_name(loaded.name), outcome.module, outcome.plan, outcome.recipe, form=outcome.form
    )
    check = self_check(file, outcome.module, task.test, limit=CHECKED_IMAGES, fresh_process=True)
    spec = TASKS[loaded.task]
    card = model_card(
        architecture=loaded.name,
        recipe=outcome.recipe,
        plan=outcome.plan,
        dense=Side(outcome.dense_cost, outcome.dense_bytes, outcome.dense_test),
        pruned=Side(outcome.cost, file.stat().st_size, outcome.test),
        timing=outcome.timing,
        check=check,
        graph=is_graph(outcome.module),
        file_name=file.name,
        provenance=loaded.provenance,
        data=f"Data: {spec.label} ({spec.source}).",
    )
    texts = {
        RECIPE: outcome.recipe.to_json() + "\n",
        CODE: loading_code(loaded.name, file.name),
        CARD: card + "\n" + training_text(settings, epochs, best),
    }
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    return check


def training_text(settings: Recovery, epochs: Sequence[Epoch], best: int) -> str:
    """How the network was trained, as the end of its card."""
    step = -(-len(epochs) // _EPOCH_ROWS)
    shown = [epoch for epoch in epochs if epoch.number % step == 0 or epoch.number == best]
    rows = [
        f"| {epoch.number}{' (kept)' if epoch.number == best else ''} | {epoch.phase} "
        f"| {100 * epoch.reached:.1f} % | {100 * epoch.sparsity:.2f} % "
        f"| {100 * epoch.accuracy:.2f} % ({100 * epoch.low:.2f} to {100 * epoch.high:.2f}) |"
        for epoch in shown
    ]
    return "\n".join(
        (
            "## How it was trained",
            "",
            "Validation images chose the epoch; test images chose nothing."
            + (f" Every {step} epochs are shown." if step > 1 else ""),
            "",
            "| epoch | phase | ratios reached | sparsity | validation accuracy (95 % interval) |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            "The settings, which `python -m pruning finetune --settings` reads:",
            "",
            f"~~~~json\n{settings.to_json()}\n~~~~",
            "",
        )
    )
