"""2:4 on the tensor cores of a CUDA device: masked linear layers as PyTorch's semi-structured tensors."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.sparse import (
    SparseSemiStructuredTensor,
    SparseSemiStructuredTensorCUSPARSELT,
    SparseSemiStructuredTensorCUTLASS,
    to_sparse_semi_structured,
)

from pruning.latency import Timing, measure_latency

HALF = (torch.float16, torch.bfloat16)
OLDEST = (8, 0)  # compute capability with sparse tensor cores: Ampere


def obstacle() -> str:
    """Why this machine cannot multiply 2:4 tensors, as one sentence; "" if it can."""
    if not torch.cuda.is_available():
        return "2:4 tensors need a CUDA device, and PyTorch finds none here."
    found = torch.cuda.get_device_capability()
    if found < OLDEST:
        return (
            f"2:4 tensors need compute capability {OLDEST[0]}.{OLDEST[1]} (Ampere) or newer; "
            f"{torch.cuda.get_device_name()} has {found[0]}.{found[1]}."
        )
    return ""


def is_two_four(weight: Tensor) -> bool:
    """Whether of every four consecutive entries of each row of (out, in) at most two are not zero."""
    if weight.dim() != 2 or weight.shape[1] % 4:
        return False
    return bool((weight.detach().unflatten(1, (-1, 4)) != 0).sum(2).le(2).all())


def eligible(module: nn.Module, dtype: torch.dtype = torch.float16) -> dict[str, str]:
    """Every linear layer -> why it cannot become a semi-structured tensor, "" if it can; looks at no device.

    A layer is eligible if its weight is 2:4 and has zeros at all, is its own, and has a size that the kernels
    take: both dimensions multiples of what PyTorch's backend asks for (for half precision 16 x 16 with
    cuSPARSELt, 32 x 64 with CUTLASS).

    Args:
        module: masked network.
        dtype: torch.float16 or torch.bfloat16.
    Raises:
        ValueError: for any other dtype.
    """
    if dtype not in HALF:
        raise ValueError(f"2:4 tensors are made in half precision here; choose one of {HALF}, not {dtype}.")
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    owners: dict[int, list[str]] = {}
    for name, layer in module.named_modules():
        for parameter in layer._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(name)
    return {name: _misfit(layer, dtype, owners[id(layer.weight)]) for name, layer in layers.items()}


def _misfit(layer: nn.Linear, dtype: torch.dtype, owners: Sequence[str]) -> str:
    rows, columns = _multiples(dtype)
    outputs, inputs = layer.weight.shape
    if type(layer) is not nn.Linear:
        return f"it is a {type(layer).__name__}, which may use its weight in its own way"
    if len(owners) > 1:
        return "its weight is shared with another layer"
    if outputs % rows or inputs % columns:
        return f"its weight is {outputs} x {inputs}, and the kernels take multiples of {rows} x {columns}"
    if not is_two_four(layer.weight):
        return "its weight is not 2:4"
    if bool((layer.weight != 0).all()):
        return "its weight has no zeros"
    return ""


def _multiples(dtype: torch.dtype) -> tuple[int, int]:
    """What rows and columns must be multiples of, as the backend that PyTorch would choose says."""
    cutlass = SparseSemiStructuredTensor._FORCE_CUTLASS
    backend = SparseSemiStructuredTensorCUTLASS if cutlass else SparseSemiStructuredTensorCUSPARSELT
    limits = backend._DTYPE_SHAPE_CONSTRAINTS[dtype]
    return limits.sparse_min_rows, limits.sparse_min_cols


def to_two_four(module: nn.Module, dtype: torch.dtype = torch.float16) -> nn.Module:
    """A copy on the CUDA device, in half precision, whose 2:4 linear layers are semi-structured tensors.

    It is for inference: the tensors take no gradient and no further pruning.

    Args:
        module: masked network, never changed; prune it with granularity "n:4" at ratio 0.5.
        dtype: torch.float16 or torch.bfloat16.
    Raises:
        ValueError: no such device, or no layer that can be converted, saying why the first one cannot.
    Source: Mishra et al. 2021, arXiv:2104.08378; documentation of `torch.sparse.to_sparse_semi_structured`.
    """
    reasons = eligible(module, dtype)
    if why := obstacle():
        raise ValueError(why)
    chosen = [name for name, reason in reasons.items() if not reason]
    if not chosen:
        raise ValueError(f"No linear layer can become a 2:4 tensor: {_first(reasons)}.")
    converted = half(module, dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The PyTorch API of SparseSemiStructuredTensor")
        for name in chosen:
            layer = converted.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            try:
                weight = to_sparse_semi_structured(layer.weight.detach().contiguous())
            except RuntimeError as error:  # a backend that was not built in, say
                first = str(error).strip().splitlines()[0]
                raise ValueError(f"PyTorch cannot make a 2:4 tensor of {name!r}: {first}") from error
            layer.weight = nn.Parameter(weight, requires_grad=False)
    return converted


def _first(reasons: dict[str, str]) -> str:
    return next((f"of {name!r}, {reason}" for name, reason in reasons.items()), "there is none")


def half(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy in eval mode on the CUDA device in half precision: what 2:4 is compared with."""
    return copy.deepcopy(module).eval().to("cuda", dtype)


def compare_two_four(
    module: nn.Module,
    example_inputs: Sequence[Any],
    *,
    dtype: torch.dtype = torch.float16,
    batch_size: int = 1,
    budget_s: float = 4.0,
) -> Timing:
    """Time the 2:4 network in turns with the same masked network as dense tensors, both in half precision.

    Args:
        module: masked network, never changed.
        example_inputs: tensors; those of floating point are moved to the device in `dtype`.
        dtype: torch.float16 or torch.bfloat16.
        batch_size: as `measure_latency` takes it.
        budget_s: seconds of measuring.
    Returns:
        Of the 2:4 network; `baseline` is the dense one, `ratio` how many times as fast 2:4 is.
    Raises:
        ValueError: as `to_two_four`.
    """
    sparse = to_two_four(module, dtype)
    moved = [
        given.to("cuda", dtype if given.is_floating_point() else given.dtype) for given in example_inputs
    ]
    return measure_latency(
        sparse, moved, baseline=half(module, dtype), batch_size=batch_size, budget_s=budget_s
    )
