"""The few lines of Python that load an exported network; a test runs them in a fresh process."""

from __future__ import annotations

from pathlib import Path
from string import Template

_CODE = Template('''"""Load the pruned $architecture.

Needs torch and the package `pruning` of Pruning Explorer; keep this file beside the checkpoint.
"""

from pathlib import Path

import torch

import pruning

checkpoint = pruning.load_checkpoint(Path(__file__).with_name($file_name))
network = checkpoint.module  # a torch.nn.Module in eval mode; train it further or call it

if __name__ == "__main__":
    images = torch.zeros(1, $shape)  # yours: float32, normalised as in pruning.load_task($task)
    with torch.no_grad():
        print("predicted class:", network(images).argmax(dim=1).tolist())
    print("parameters:", sum(parameter.numel() for parameter in network.parameters()))
''')


_PROGRAM = Template("""import torch

network = torch.export.load($file_name).module()
""")


def reader_code() -> str:
    """The Python that decodes a .prz with numpy alone, to be handed out beside one."""
    from pruning.coding import reader

    return Path(str(reader.__file__)).read_text(encoding="utf-8")


def program_code(file_name: str) -> str:
    """The Python that loads a `.pt2` program; it needs torch, and no class of the network.

    Args:
        file_name: of the program.
    """
    return _PROGRAM.substitute(file_name=repr(file_name))


def loading_code(architecture: str, file_name: str) -> str:
    """A Python file that loads an exported checkpoint lying beside it.

    Args:
        architecture: name in `MODELS`.
        file_name: of the checkpoint, without a folder.
    Returns:
        The file's text; importing it gives `network`, running it prints a prediction.
    Raises:
        ValueError: if the architecture is not built in, or the name is not one of a file.
    """
    from pruning.models import MODELS

    spec = MODELS[architecture]
    if not file_name or set(file_name) & set("/\\\0") or not file_name.isprintable():
        raise ValueError(f"{file_name!r} is not the name of a file; give it without a folder.")
    return _CODE.substitute(
        architecture=spec.name,
        file_name=repr(file_name),
        shape=", ".join(str(size) for size in spec.input_shape),
        task=repr(spec.task),
    )
