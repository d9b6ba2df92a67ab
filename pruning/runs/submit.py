"""Ask for a run: its row, and the files that it begins with."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

from pruning.checkpoint.write import write_atomically
from pruning.history import About, History
from pruning.history.files import bound
from pruning.models import LoadedModel, load_model
from pruning.recipe import Recipe
from pruning.recover.settings import Recovery
from pruning.store import weights_digest

DENSE, SETTINGS = "dense.safetensors", "settings.json"
MOST_WAITING = 50  # runs in the queue
MIXED = "mixed"
Settings = Recovery


def submit(
    history: History,
    loaded: LoadedModel,
    settings: Settings,
    *,
    owner: str = "",
    title: str = "",
    device: str = "cpu",
) -> str:
    """Put a run into the queue; see `Dispatcher.submit`."""
    if history.count(state="queued") >= MOST_WAITING:
        raise ValueError(f"{MOST_WAITING} runs are waiting already; cancel one, or wait.")
    used, room = history.trim(), bound()
    if used > room:
        raise ValueError(
            f"The files of runs take {used / 1e6:,.0f} MB of {room / 1e6:,.0f}; delete runs, take stars "
            "away, or raise PRUNING_RUNS_MB."
        )
    about = about_fine_tuning(loaded, settings, owner=owner, title=title, device=device)
    run_id = history.add(about, settings=settings.to_json(), state="interrupted")  # until its files are there
    folder = history.folder(run_id)
    try:
        folder.mkdir(parents=True)
        write_dense(folder, loaded)
        write_atomically(folder / SETTINGS, settings.to_json().encode())
    except (OSError, ValueError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        history.delete(run_id)
        raise ValueError(f"The files of the run cannot be written to {folder}: {error}.") from None
    history.set_state(run_id, "queued")
    return run_id


def about_fine_tuning(
    loaded: LoadedModel, settings: Recovery, *, owner: str = "", title: str = "", device: str = "cpu"
) -> About:
    """What a row says of a fine-tuning before it begins."""
    rules = list(settings.recipe.rules.values())
    schedule = settings.pruning.schedule if rules else ""
    return About(
        kind="fine-tuning",
        title=title or title_of(settings),
        owner=owner,
        model=loaded.name,
        weights=weights_digest(loaded.module),
        device=device,
        task=loaded.task,
        digest=settings.digest,
        criterion=one_of([rule.criterion for rule in rules]),
        granularity=one_of([rule.granularity for rule in rules]),
        schedule=schedule,
        ratio=recipe_ratio(settings.recipe),
        seed=settings.fit.seed,
    )


def title_of(settings: Recovery) -> str:
    """A fine-tuning in a few words."""
    rules = list(settings.recipe.rules.values())
    if not rules:
        return f"Training only, {settings.epochs} epochs"
    ratios = sorted(rule.ratio for rule in rules)
    low, high = f"{ratios[0]:.0%}", f"{ratios[-1]:.0%}"
    ratio = low if low == high else f"{low} to {high}"
    criterion = one_of([rule.criterion for rule in rules])
    granularity = one_of([rule.granularity for rule in rules])
    return f"{criterion} {granularity} {ratio}, {settings.pruning.schedule}, {settings.epochs} epochs"


def one_of(names: list[str]) -> str:
    """The one name that all have; MIXED if there are several, "" if there is none."""
    different = set(names)
    return different.pop() if len(different) == 1 else MIXED if different else ""


def recipe_ratio(recipe: Recipe) -> float | None:
    """The ratio of all rules, if they have one."""
    ratios = {rule.ratio for rule in recipe.rules.values()}
    return ratios.pop() if len(ratios) == 1 else None


def write_dense(folder: Path, loaded: LoadedModel) -> None:
    """Copy a network's weights, with a word on where they come from, into a run's folder."""
    state = {name: value.detach().cpu().contiguous() for name, value in loaded.module.state_dict().items()}
    write_atomically(folder / DENSE, save(state, {"provenance": loaded.provenance}))


def read_dense(folder: Path, model: str) -> tuple[LoadedModel, str]:
    """The network that a run begins with, and where its weights come from.

    Raises:
        ValueError: if the file is not there or damaged.
    """
    path = folder / DENSE
    loaded = load_model(model, path)
    with safe_open(path, framework="pt") as file:
        provenance = (file.metadata() or {}).get("provenance", "")
    return loaded, provenance
