"""Ask for a run: its row, and the files that it begins with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

from pruning.checkpoint.write import write_atomically
from pruning.history import History
from pruning.history.files import bound
from pruning.models import LoadedModel, load_model
from pruning.runs.about import Settings, about_run
from pruning.runs.study import StudySettings

DENSE, PRUNED, SETTINGS = "dense.safetensors", "pruned.safetensors", "settings.json"
MOST_WAITING, MOST_OF_ONE = 50, 10  # runs in the queue, in all and of one visitor


def submit(
    history: History,
    loaded: LoadedModel,
    settings: Settings,
    *,
    owner: str = "",
    title: str = "",
    device: str = "cpu",
    pruned: bytes | None = None,
) -> str:
    """Put a run into the queue; see `Dispatcher.submit`."""
    if isinstance(settings, StudySettings) and settings.model != loaded.name:
        raise ValueError(f"The study is of {settings.model}, not of {loaded.name}.")
    if history.count(state="queued") >= MOST_WAITING:
        raise ValueError(f"{MOST_WAITING} runs are waiting already; cancel one, or wait.")
    if owner and history.count(state="queued", owner=owner) >= MOST_OF_ONE:
        raise ValueError(f"{MOST_OF_ONE} of your runs are waiting already; cancel one, or wait.")
    _make_room(history)
    text = settings.to_json()
    about = about_run(loaded, settings, owner=owner, title=title, device=device)
    run_id = history.add(about, settings=text, state="interrupted")  # until its files are there
    folder = history.folder(run_id)
    try:
        folder.mkdir(parents=True)
        write_dense(folder, loaded)
        if pruned is not None:
            write_atomically(folder / PRUNED, pruned)
        write_atomically(folder / SETTINGS, text.encode())
    except (OSError, ValueError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        history.delete(run_id)
        raise ValueError(f"The files of the run cannot be written to {folder}: {error}") from None
    history.set_state(run_id, "queued")
    return run_id


def write_dense(folder: Path, loaded: LoadedModel) -> None:
    """Copy a network's weights, with a word on where they come from, into a run's folder."""
    state = {name: value.detach().cpu().contiguous() for name, value in loaded.module.state_dict().items()}
    write_atomically(folder / DENSE, save(state, {"provenance": loaded.provenance}))


def read_dense(folder: Path, model: str) -> LoadedModel:
    """The network that a run begins with.

    Raises:
        ValueError: if the file is not there or damaged.
    """
    loaded = load_model(model, folder / DENSE)
    with safe_open(folder / DENSE, framework="pt") as file:
        provenance = (file.metadata() or {}).get("provenance", "")
    return replace(loaded, provenance=provenance)


def _make_room(history: History) -> None:
    used, room = history.trim(), bound()
    if used > room:
        raise ValueError(
            f"The files of runs take {used / 1e6:,.0f} MB of {room / 1e6:,.0f}; delete runs, take stars "
            "away, or raise PRUNING_RUNS_MB."
        )
