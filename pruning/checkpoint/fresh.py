"""`python -m pruning.checkpoint.fresh FOLDER BATCH THREADS`: the other process of a self-check.

Loads FOLDER/exported, runs it on FOLDER/inputs.safetensors, writes FOLDER/outputs.safetensors.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pruning.checkpoint.check import run
from pruning.checkpoint.load import load_checkpoint


def main(folder: Path, batch_size: int, threads: int) -> None:
    """Run the exported network as its receiver would."""
    torch.set_num_threads(threads)  # the order of sums, hence the last bit, may depend on it
    network = load_checkpoint(folder / "exported").module
    inputs = load_file(folder / "inputs.safetensors")["inputs"]
    save_file({"outputs": run(network, inputs, batch_size)}, folder / "outputs.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
