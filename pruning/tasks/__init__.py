"""Data to train, calibrate, validate and test on."""

from pruning.tasks.archive import MissingData, data_dir, set_data_dir
from pruning.tasks.builtin import TASKS, Task, TaskSpec, load_task
from pruning.tasks.split import Split

__all__ = ["TASKS", "MissingData", "Split", "Task", "TaskSpec", "data_dir", "load_task", "set_data_dir"]
