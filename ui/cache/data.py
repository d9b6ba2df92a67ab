"""Where data are, and the data of a task."""

from __future__ import annotations

import pruning
from pruning import MODELS
from ui import uploads
from ui.cache.keeping import resource


@resource
def use_data_dir(path: str | None) -> None:
    """Read data sets from there, if a path is given; the first call decides for the whole server."""
    if path:
        pruning.set_data_dir(path)


@resource(max_entries=8)
def task_named(name: str) -> pruning.Task:
    """The data of this name.

    Raises:
        MissingData: if its files are not in the data directory.
    """
    return pruning.load_task(name)


def task(model_id: str) -> pruning.Task:
    """The data that this model is measured on; raises `MissingData` like `task_named`."""
    return task_named(MODELS[uploads.split_id(model_id)[0]].task)
