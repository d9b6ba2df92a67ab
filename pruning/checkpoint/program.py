"""A pruned network as a program that needs no class at all: PyTorch's `.pt2`."""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from pruning.checkpoint.process import run_fresh
from pruning.checkpoint.write import write_atomically
from pruning.device import CPU, inputs_on, moved
from pruning.evaluate import evaluating


def save_program(path: Path | str, module: nn.Module, example_inputs: Sequence[Any]) -> Path:
    """Write a network as a `.pt2` file, whole or not at all; `torch.export.load(path).module()` runs it.

    Args:
        path: of the file; its folder must exist. An existing file is replaced.
        module: any network, pruned or not, never changed.
        example_inputs: positional arguments of its forward, batch first.
    Returns:
        The path.
    Raises:
        ValueError: if torch.export cannot read the network, or the file cannot be written.
    """
    return write_atomically(Path(path), program_bytes(module, example_inputs))


@torch.no_grad()
def program_bytes(module: nn.Module, example_inputs: Sequence[Any]) -> bytes:
    """The file that `save_program` writes, loaded again and compared: the same outputs, bit for bit.

    The size of the batch stays open where torch.export can prove that any will do; else it is that of the
    example inputs.

    Raises:
        ValueError: in one sentence, if the network cannot be exported or answers otherwise afterwards.
    Source: torch.export, https://docs.pytorch.org/docs/stable/export.html
    """
    module, inputs = moved(module, CPU), inputs_on(example_inputs, CPU)  # a file is for any machine
    failure: Exception | None = None
    for shapes in (_open_batch(inputs), None):
        try:
            with evaluating(module):
                data = _written(module, inputs, shapes)
                _check(module, inputs, data)
        except Exception as error:  # torch.export raises many kinds
            failure = error
        else:
            return data
    cause = (str(failure).strip() or type(failure).__name__).splitlines()[0][:300]
    raise ValueError(f"This {type(module).__name__} cannot be written as a .pt2 program: {cause}")


def program_of(checkpoint: bytes, stop: threading.Event | None = None) -> bytes:
    """`program_bytes` of the network in a checkpoint file, made by a Python process of its own.

    While torch.export traces a network it holds the interpreter and replaces builtins, which a server with
    other threads had better not meet.

    Args:
        checkpoint: of a built-in architecture, as `save_checkpoint` writes it.
        stop: ends the work when set.
    Raises:
        ValueError: as `program_bytes` and `load_checkpoint`; and if it was stopped.
    """
    with tempfile.TemporaryDirectory(prefix="pruning-program-") as folder:
        (Path(folder) / "exported").write_bytes(checkpoint)
        run_fresh("pruning.checkpoint.fresh_program", folder, str(torch.get_num_threads()), stop=stop)
        return (Path(folder) / "network.pt2").read_bytes()


def _written(module: nn.Module, inputs: tuple[Any, ...], shapes: Any) -> bytes:
    buffer = io.BytesIO()
    # Inputs of two samples: torch.export takes sizes of one for constants.
    program = torch.export.export(module, _twice(inputs) if shapes else inputs, dynamic_shapes=shapes)
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _open_batch(inputs: tuple[Any, ...]) -> Any:
    batch = torch.export.Dim("batch")
    return tree_map(lambda x: {0: batch} if isinstance(x, Tensor) and x.ndim else None, inputs)


def _twice(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tree_map(lambda x: torch.cat([x, x]) if isinstance(x, Tensor) and x.ndim else x, inputs)


def _check(module: nn.Module, inputs: tuple[Any, ...], data: bytes) -> None:
    loaded = torch.export.load(io.BytesIO(data)).module()
    for expected, got in zip(tree_leaves(module(*inputs)), tree_leaves(loaded(*inputs)), strict=True):
        if isinstance(expected, Tensor) and not torch.equal(expected, got):
            raise ValueError("it answers otherwise when loaded again.")
