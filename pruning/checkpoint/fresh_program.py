"""`python -m pruning.checkpoint.fresh_program FOLDER THREADS`: a checkpoint as a `.pt2` program.

Loads FOLDER/exported, which must be of a built-in architecture, and writes FOLDER/network.pt2.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from pruning.checkpoint.load import load_checkpoint
from pruning.checkpoint.process import REFUSED
from pruning.checkpoint.program import save_program
from pruning.models import MODELS
from pruning.models.loading import example_inputs


def main(folder: Path, threads: int) -> None:
    """Write the program, or say in one sentence why there is none."""
    torch.set_num_threads(threads)
    try:
        loaded = load_checkpoint(folder / "exported")
        save_program(folder / "network.pt2", loaded.module, example_inputs(MODELS[loaded.architecture]))
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
