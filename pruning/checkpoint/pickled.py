"""Read a `.pt` / `.pth` file of torch.save without running anything in it and without believing its sizes.

`torch.load(weights_only=True)` is what reads the file; it runs no code. Before it is called, the zip around
the pickle is measured (nothing may unpack to more than the file holds) and the pickle's instructions are
listed without executing them, so that a file that asks for anything but tensors is refused by the name of
what it asks for.
"""

from __future__ import annotations

import io
import pickletools
import re
import warnings
import zipfile
from typing import Any

import torch

from pruning.checkpoint.text import quoted

ZIP_MAGIC = b"PK\x03\x04"
MAX_MEMBERS = 100_000
MAX_PICKLE_BYTES = 32 * 2**20  # 100,000 tensors' names and shapes take under 30 MB
MAX_VALUES = 10_000_000  # 100,000 tensors take about 15 values each
MAX_DEPTH = 100
OBJECT_OPCODES = frozenset({"INST", "OBJ", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "NEWOBJ", "NEWOBJ_EX"})

_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
TENSOR_GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch Size",
        "torch device",
        *(f"torch {kind}Storage" for kind in _STORAGES),
        *(
            f"torch {str(dtype).removeprefix('torch.')}"
            for dtype in (torch.float16, torch.float32, torch.float64)
        ),
    }
)
"""The only things the pickle of a state dict has reason to name; torch itself allows a few more, some of
which allocate whatever size the file asks for (bytearray, tensor constructors)."""


def read_pickled(data: bytes | bytearray) -> Any:
    """What torch.save put into the file, loaded with weights_only=True onto the CPU.

    Args:
        data: the whole file.
    Raises:
        ValueError: one sentence, if the file is damaged, holds code, or would unpack to more than it holds.
    """
    try:
        _check_pickle(_measured_pickle(data))
    except Refused as error:
        raise ValueError(str(error)) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # whatever torch has to say about an odd file is no news to the user
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"The .pt file is damaged: torch says {quoted(reason)}.") from None


class Refused(Exception):
    """The file is not what a state dict is; its text is the sentence for the user.

    Not a ValueError, which zipfile and pickletools themselves raise for damaged files, with other texts.
    """


def _measured_pickle(data: bytes | bytearray) -> bytes:
    """The pickle inside the zip, once no member can unpack to more than the file itself holds."""
    if data.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise Refused(f"The .pt file lists more than {MAX_MEMBERS:,} parts, so it is no state dict.")
    if data[-22:-18] != b"PK\x05\x06":  # torch and zipfile could otherwise disagree about where the list is
        raise Refused("The .pt file is cut off: the list of its parts is missing at the end.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_members(members, len(data))
            return archive.read(_pickle_among(members))
    except Refused:
        raise
    except Exception:  # BadZipFile, struct.error, NotImplementedError, EOFError, ... all mean the same here
        raise Refused("The .pt file is damaged: its zip container cannot be read.") from None


def _pickle_among(members: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    found = [member for member in members if re.fullmatch(r"[^/]+/data\.pkl", member.filename)]
    if len(found) != 1:
        raise Refused("The zip file holds no torch.save state dict.")
    if found[0].file_size > MAX_PICKLE_BYTES:
        raise Refused("The .pt file's list of tensors is larger than any state dict's.")
    return found[0]


def _check_members(members: list[zipfile.ZipInfo], available: int) -> None:
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise Refused(
                f"The .pt file's part {quoted(member.filename)} is compressed, which torch.save never does; "
                "save the state dict again with torch.save."
            )
    claimed = sum(member.file_size for member in members)
    if claimed > available:
        raise Refused(f"The .pt file's parts claim {claimed:,} bytes; the file has {available:,}.")
    if len({member.filename for member in members}) < len(members):
        raise Refused("The .pt file lists one part twice.")
    if any("/code/" in member.filename or member.filename.endswith("constants.pkl") for member in members):
        raise Refused("The file is a TorchScript program; save the model's state_dict() instead.")


def _check_pickle(pickle: bytes) -> None:
    """List the pickle's instructions, running none; refuse whatever a state dict does not need."""
    sizes = _Sizes()
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name == "GLOBAL" and argument not in TENSOR_GLOBALS:
                raise Refused(_refusal(str(argument)))
            if opcode.name in OBJECT_OPCODES:
                raise Refused(_refusal(str(argument) if opcode.name == "INST" else "objects"))
            sizes.follow(opcode, argument)
    except Refused:
        raise
    except Exception:  # pickletools meets bad bytes with ValueError, KeyError, UnicodeDecodeError, ...
        raise Refused("The .pt file is damaged: its list of tensors cannot be read.") from None


class _Sizes:
    """How large and how deep the values on the pickle's stack are, without building them.

    A tuple that holds one tuple twice, which holds another twice, and so on, is short in the file, and
    hashing it as a dict's key takes for ever; one nested a million deep ends the process. Nothing in a
    state dict is like it.
    """

    def __init__(self) -> None:
        self.stack: list[tuple[int, int] | None] = []  # (values inside, levels); None is the pickle's mark
        self.memo: dict[int, tuple[int, int]] = {}

    def follow(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        if opcode.name == "MARK":
            self.stack.append(None)
        elif opcode.name in {"PUT", "BINPUT", "LONG_BINPUT"}:
            self.memo[argument] = self.stack[-1] or (1, 1)
        elif opcode.name in {"GET", "BINGET", "LONG_BINGET"}:
            self.stack.append(self.memo[argument])
        else:
            taken = self._take(opcode)
            value = (1 + sum(size for size, _ in taken), 1 + max((depth for _, depth in taken), default=0))
            if value[0] > MAX_VALUES or value[1] > MAX_DEPTH:
                raise Refused("The .pt file nests its values beyond what any state dict does.")
            self.stack.extend(value for _ in opcode.stack_after)

    def _take(self, opcode: pickletools.OpcodeInfo) -> list[tuple[int, int]]:
        taken = []
        below = len(opcode.stack_before)
        if pickletools.markobject in opcode.stack_before:
            below = opcode.stack_before.index(pickletools.markobject)
            while (value := self.stack.pop()) is not None:
                taken.append(value)
        taken += [self.stack.pop() or (1, 1) for _ in range(below)]
        return taken


def _refusal(name: str) -> str:
    return (
        f"The file asks for {quoted(name.replace(' ', '.'))} besides tensors, which can be code, so it was "
        "not opened; save model.state_dict() alone with torch.save or safetensors."
    )
