"""Peak memory of a forward: what the tensors that are alive at once take."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pruning.evaluate import evaluating
from pruning.held import held_bytes
from pruning.latency.turns import check_positive, to_batch


@dataclass(frozen=True)
class Memory:
    """What a forward needs at its most hungry moment, in bytes.

    Args:
        peak: parameters, buffers, inputs and intermediate results that are alive at once.
        held: of these, parameters, buffers and inputs, which are alive all the time.
        batch_size: images per forward.
        how: "counted" (the bytes of all live tensors, exact and the same every time; what an operation
            allocates for itself and drops before it returns is not seen) or "allocator" (what torch's
            allocator had handed out at most, on a GPU).
    """

    peak: int
    held: int
    batch_size: int
    how: str

    @property
    def activations(self) -> int:
        """Bytes of intermediate results alive at once."""
        return self.peak - self.held


def peak_memory(module: nn.Module, example_inputs: Sequence[Tensor], *, batch_size: int = 1) -> Memory:
    """Peak memory of an eager forward in eval mode without gradients.

    Args:
        module: left as it was.
        example_inputs: arguments of the forward, batch first; repeated or cut to `batch_size`.
        batch_size: images per forward.
    Raises:
        ValueError: if the batch size is not positive.
    """
    check_positive(batch_size, 1, None, 1.0)
    inputs = to_batch(example_inputs, batch_size)
    always = [*module.parameters(), *module.buffers(), *inputs]
    device = next((x.device for x in always if x.device.type == "cuda"), None)
    with evaluating(module), torch.no_grad():
        if device is not None:
            return _allocated(module, inputs, always, device)
        with _LiveBytes(always) as count:
            held = count.live
            module(*inputs)
    return Memory(count.peak, held, batch_size, "counted")


def _allocated(
    module: nn.Module, inputs: Sequence[Tensor], always: Sequence[Tensor], device: torch.device
) -> Memory:
    """As the GPU's allocator saw it; other networks on the same GPU are taken off."""
    module(*inputs)  # libraries take their workspace at the first call
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    module(*inputs)
    torch.cuda.synchronize(device)
    held = held_bytes(always)
    peak = held + torch.cuda.max_memory_allocated(device) - before
    return Memory(peak, held, len(inputs[0]), "allocator")


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of every tensor's memory from the operation that makes it until nobody holds it.

    Tensors that share memory (views, results written in place) are counted once.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: dict[int, Any] = {}
        for tensor in known:
            self._add(tensor)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = function(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, Tensor):
                self._add(result)
        return results

    def _add(self, tensor: Tensor) -> None:
        memory = tensor.untyped_storage()
        place, size = memory._cdata, memory.nbytes()
        if place in self._seen:
            return

        def gone(_: object) -> None:
            del self._seen[place]
            self.live -= size

        self._seen[place] = weakref.ref(memory, gone)
        self.live += size
        self.peak = max(self.peak, self.live)
