"""A device on machines without one: its tensors lie on the CPU, but say otherwise and refuse to meet others.

Like a GPU it runs no operation on tensors of two devices, but for scalars and indices, and gives no NumPy
array. What it cannot show: other rounding, other operations (cuDNN's), calls that return too early.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from pruning import device
from pruning.device import Device
from pruning.groups.record import Watch

NAME = "meta"  # the only device besides the CPU that every build of PyTorch lets us speak for
LABEL = "Pretended GPU, 1 GiB"
_INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")


class Elsewhere(Tensor):
    """A tensor that says that it lies on the device, around the one that has its values."""

    values: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=torch.device(NAME),
        )
        made.values = values
        return made

    def __repr__(self, **_: Any) -> str:
        return f"Elsewhere({self.values})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def data_ptr(self) -> int:
        return self.values.data_ptr()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.values.untyped_storage()


class _Factories(Watch):
    """Sees what is made on the device out of nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Have the device, in this thread; its name."""
    cpu = Device("cpu", "CPU, 1 thread")
    monkeypatch.setattr(device, "devices", lambda: (cpu, Device(NAME, LABEL)))
    # Views of tensors made in inference mode cannot be wrapped.
    monkeypatch.setattr(torch.inference_mode, "__enter__", _no_grad)
    monkeypatch.setattr(torch.inference_mode, "__exit__", _grad_again)
    with _Factories():
        yield NAME


def _no_grad(self: Any) -> None:
    self.before = torch.is_grad_enabled()
    torch.set_grad_enabled(self.before and not self.mode)


def _grad_again(self: Any, *_: object) -> None:
    torch.set_grad_enabled(self.before)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation on the values, if all are of one device; its results are of that device."""
    there, kwargs = _where(func, args, kwargs), dict(kwargs)
    if kwargs.get("device") is not None:
        kwargs["device"] = torch.device("cpu")
    inner: Any = tree_map(lambda x: x.values if isinstance(x, Elsewhere) else x, (args, kwargs))
    results = func(*inner[0], **inner[1])
    if not there:
        return results
    if func._opname.endswith("_") and isinstance(args[0], Elsewhere):
        return args[0]
    return tree_map(lambda x: Elsewhere(x) if isinstance(x, Tensor) else x, results)


def _where(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether an operation runs on the device.

    Raises:
        RuntimeError: if its tensors are on both.
    """
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"]).type == NAME
    name, tensors = func._opname, [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    there = [x for x in tensors if isinstance(x, Elsewhere)]
    if name == "copy_":
        return isinstance(args[0], Elsewhere)
    if name in _INDEXING and isinstance(args[0], Elsewhere):
        return True  # by indices that may lie on the CPU
    if there and any(x.dim() for x in tensors if not isinstance(x, Elsewhere)):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device")
    return bool(there)
