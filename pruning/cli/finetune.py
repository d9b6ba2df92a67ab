"""`finetune`: prune while training, train until it has recovered, and write the result to a folder."""

from __future__ import annotations

import shutil
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruning.checkpoint.write import write_atomically
from pruning.cli.console import Console, accuracy_text, choices_of, criterion_of, report_data, table
from pruning.cli.evaluate import measured
from pruning.cli.finetune_flags import changed, given_flags
from pruning.cli.recipe import given_recipe, uniform_recipe
from pruning.cli.record import record_finetune
from pruning.device import on_device
from pruning.groups import Structure, find_structure
from pruning.models import LoadedModel, load_model
from pruning.plan import make_plan
from pruning.recipe import Recipe
from pruning.recover import Epoch, Recovered, recover
from pruning.recover.settings import Recovery
from pruning.tasks import Task, load_task

if TYPE_CHECKING:
    from pruning.checkpoint import SelfCheck
    from pruning.runs.measure import Outcome

LATENCY_BUDGET_S = 4.0
SETTINGS, STATE = "settings.json", "state"
ENDED = {
    "done": "all epochs are done",
    "early": "no recovering epoch was better for as long as --patience says",
    "stopped": "it was stopped",
    "diverged": "the loss is no number any more; choose a smaller learning rate, or clip gradients",
}


def run_finetune(arguments: Namespace, console: Console) -> None:
    """Prune, train, measure, write, and say what came out."""
    arguments.criterion = criterion_of(arguments)
    loaded = on_device(load_model(arguments.model, arguments.weights), arguments.device)
    task = load_task(loaded.task, arguments.data_dir)
    folder: Path = arguments.out
    settings, structure = _settings(arguments, loaded, folder, console)
    folder.mkdir(parents=True, exist_ok=True)
    if not arguments.resume:
        shutil.rmtree(folder / STATE, ignore_errors=True)
    write_atomically(folder / SETTINGS, (settings.to_json() + "\n").encode())
    recovered = _recover(loaded, task, settings, structure, folder, console)
    outcome, check = _finish(loaded, task, settings, structure, recovered, folder, console)
    shutil.rmtree(folder / STATE, ignore_errors=True)
    found = outcome, check
    record_finetune(loaded, settings, recovered, found, len(task.classes), arguments, console)
    console.data(_document(loaded, settings, recovered, outcome, check, folder))
    console.text(*_lines(loaded, recovered, outcome, check, folder))


def _settings(
    arguments: Namespace, loaded: LoadedModel, folder: Path, console: Console
) -> tuple[Recovery, Structure]:
    """What is to be done, by flags or a file, and the network's groups."""
    path = folder / SETTINGS if arguments.resume else arguments.settings
    asked = arguments.recipe is not None or arguments.ratio is not None
    said = asked or arguments.settings or arguments.seed is not None or given_flags(arguments)
    if arguments.resume and said:
        raise ValueError("A run goes on with the settings it began with; leave them out beside --resume.")
    if not asked and path is None:
        raise ValueError("Say what to prune: give --recipe, --ratio, or --settings with a recipe in it.")
    settings = changed(_read(path) if path else Recovery(), arguments)
    if arguments.seed is not None:
        fit = settings.fit.model_copy(update={"seed": arguments.seed})
        settings = settings.model_copy(update={"fit": fit})
    arguments.seed = settings.fit.seed  # of the recipe, too
    given = given_recipe(arguments, loaded)
    recipe = given or (None if asked else settings.recipe)
    choices = recipe.choices if recipe else choices_of(arguments)
    with console.progress("finding coupled channels"):
        structure = find_structure(loaded.module, loaded.example_inputs, choices)
    recipe = recipe or uniform_recipe(arguments, loaded, structure)
    return settings.model_copy(update={"recipe": _of(recipe, loaded)}), structure


def _of(recipe: Recipe, loaded: LoadedModel) -> Recipe:
    if recipe.model not in (None, loaded.name):
        raise ValueError(f"The recipe was made for {recipe.model}, not for {loaded.name}.")
    return recipe.model_copy(update={"model": loaded.name})


def _read(path: Path) -> Recovery:
    try:
        return Recovery.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"The settings {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"The settings {path} are not a text file.") from None


def _recover(
    loaded: LoadedModel, task: Task, settings: Recovery, structure: Structure, folder: Path, console: Console
) -> Recovered:
    """The run itself, an epoch a line."""
    with console.progress("training") as bar:
        clock = _Clock(settings.epochs)

        def tell(epoch: Epoch) -> None:
            bar.clear()
            console.text(epoch_line(epoch, settings.epochs, clock.left(epoch)))

        try:
            return recover(
                loaded.module,
                task,
                settings,
                example_inputs=loaded.example_inputs,
                structure=structure,
                folder=folder / STATE,
                on_epoch=tell,
                on_step=bar.update,
            )
        except KeyboardInterrupt:
            bar.clear()
            console.warn("what is done is kept; --resume with the same model and --out goes on from there")
            raise


class _Clock:
    """How long the epochs that are left will take, as those done in this process have taken."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.first: tuple[int, float] | None = None

    def left(self, epoch: Epoch) -> float | None:
        """Seconds; None before an epoch has been timed."""
        now = time.monotonic()
        if self.first is None:
            self.first = epoch.number, now
            return None
        number, then = self.first
        return (now - then) / (epoch.number - number) * (self.epochs - epoch.number)


def epoch_line(epoch: Epoch, epochs: int, left: float | None) -> str:
    """What an epoch brought, in a line."""
    trained = "" if epoch.train_accuracy is None else f", train {100 * epoch.train_accuracy:.2f} %"
    time_left = "" if left is None or epoch.number == epochs else f", {left:,.0f} s left"
    return (
        f"epoch {epoch.number:>{len(str(epochs))}}/{epochs} {epoch.phase:<9} validation "
        f"{100 * epoch.accuracy:.2f} % ({100 * epoch.low:.2f} to {100 * epoch.high:.2f} %){trained}, "
        f"{epoch.reached:.0%} of the ratios, sparsity {epoch.sparsity:.1%}{time_left}"
    )


def _finish(
    loaded: LoadedModel,
    task: Task,
    settings: Recovery,
    structure: Structure,
    recovered: Recovered,
    folder: Path,
    console: Console,
) -> tuple[Outcome, SelfCheck]:
    """Measure what came out, and write it."""
    from pruning.runs.leave import leave_result
    from pruning.runs.measure import Dense, outcome

    inputs = loaded.example_inputs
    plan = recovered.plan or make_plan(
        loaded.module, settings.recipe, example_inputs=inputs, structure=structure
    )
    dense = measured(loaded.module, task, "test", console, label="measuring the dense network on test images")
    with console.progress("measuring the recovered network"):
        found = outcome(
            Dense(loaded, task, recovered.dense, dense),
            recovered.module,
            plan,
            settings.recipe,
            latency_s=LATENCY_BUDGET_S,
            check=lambda: None,
        )
    with console.progress("writing, and loading the file in a fresh process"):
        return found, leave_result(folder, loaded, task, found, settings, recovered.epochs, recovered.best)


def _written(folder: Path, loaded: LoadedModel) -> list[str]:
    from pruning.runs.leave import result_files

    return [str(path) for path in result_files(folder, loaded.name)]


def _document(
    loaded: LoadedModel,
    settings: Recovery,
    recovered: Recovered,
    outcome: Outcome,
    check: SelfCheck,
    folder: Path,
) -> dict[str, Any]:
    timing = outcome.timing
    return {
        "model": loaded.name,
        "settings": settings.model_dump(mode="json"),
        "written": _written(folder, loaded),
        "ended": recovered.ended,
        "best": recovered.best,
        "epochs": [epoch.model_dump(exclude={"histograms"}) for epoch in recovered.epochs],
        "dense": {
            "parameters": outcome.dense_cost.parameters,
            "macs": outcome.dense_cost.macs,
            "file_bytes": outcome.dense_bytes,
            "validation": report_data(recovered.dense),
            "test": report_data(outcome.dense_test),
        },
        "pruned": {"validation": report_data(recovered.pruned)},
        "recovered": {
            "parameters": outcome.cost.parameters,
            "nonzero": outcome.cost.nonzero,
            "macs": outcome.cost.macs,
            "file_bytes": outcome.file_bytes,
            "validation": report_data(outcome.validation),
            "test": report_data(outcome.test),
        },
        "latency": {"seconds": timing.median, "ratio": timing.ratio} if timing else None,
        "self_check": {"same": check.same, "n": check.n, "identical": check.identical},
    }


def _lines(
    loaded: LoadedModel, recovered: Recovered, outcome: Outcome, check: SelfCheck, folder: Path
) -> list[str]:
    counts = [
        ("parameters", outcome.dense_cost.parameters, outcome.cost.parameters),
        ("not zero", outcome.dense_cost.nonzero, outcome.cost.nonzero),
        ("MACs", outcome.dense_cost.macs, outcome.cost.macs),
        ("file bytes", outcome.dense_bytes, outcome.file_bytes),
    ]
    rows = [(name, dense, left, f"{left / dense:.3f}" if dense else "") for name, dense, left in counts]
    timing = outcome.timing
    lines = [
        "",
        f"{ENDED[recovered.ended]}; kept is epoch {recovered.best}, the best on validation images",
        "",
        table(("", "dense", "recovered", "ratio"), rows),
        "",
        f"dense:     {accuracy_text(recovered.dense)}",
        f"pruned:    {accuracy_text(recovered.pruned)}, at once and without training",
        f"recovered: {accuracy_text(outcome.validation)}",
        f"dense:     {accuracy_text(outcome.dense_test)}",
        f"recovered: {accuracy_text(outcome.test)}",
    ]
    if timing and timing.ratio:
        lines.append(f"latency: {1000 * timing.median:.3f} ms, {timing.ratio:.2f} times as fast as the dense")
    return [*lines, str(check), "", *(f"wrote {path}" for path in _written(folder, loaded))]
