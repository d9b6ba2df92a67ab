"""Remove channels physically: a copy of the user's own class with smaller tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from pruning.blocks import without_blocks
from pruning.evaluate import evaluating
from pruning.groups import Structure, find_structure
from pruning.groups.emit import NoGraph, emit_graph
from pruning.groups.repair import repair_layers, repair_sizes
from pruning.layers import duplicate
from pruning.masks import apply_masks, cut, named_tensors, survivors
from pruning.reference import masked_outputs
from pruning.scalars import Scalars, agree

if TYPE_CHECKING:
    from pruning.plan import Plan

# How far outputs may lie apart, as a share of the largest: rounding alone differs, sums are of other lengths.
_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
_COARSE = 5e-2  # half precision, and float32 on accelerators that round the factors of products
_INPUTS = "The {} does not run on the example inputs, or on noise of their shapes"
_BAKED = "The pruned {} does not run, probably because its forward has a size written into it"
_OTHERWISE = (
    "The smaller {} does not answer like the masked one, so it is not handed out; its forward probably "
    "computes with a size that the recording could not see."
)


def shrink(module: nn.Module, plan: Plan, example_inputs: Sequence[Any]) -> nn.Module:
    """A smaller copy without the units and blocks that the plan removes; its masks are carried along.

    The result is checked before it is handed out: on the example inputs, and on random ones of their shapes,
    its outputs equal those of `apply_masks`. A network that a rule misread therefore cannot come out wrong.

    Args:
        module: the network, never changed.
        plan: made for this network.
        example_inputs: positional arguments of its forward.
    Returns:
        A new module of the same class; where the class has sizes written into its code, a graph module
        (`torch.fx.GraphModule`) that computes what the network does in eval mode. `is_graph` tells which.
    Raises:
        ValueError: if the plan is for another network, or the smaller copy fails or answers differently.
    """
    masked = apply_masks(module, plan)
    return shrink_masked(masked, without_blocks(plan.structure, plan.blocks), plan.channels, example_inputs)


def shrink_masked(
    masked: nn.Module, structure: Structure, keep: Mapping[str, Tensor], example_inputs: Sequence[Any]
) -> nn.Module:
    """The last step of `shrink`: cut out what is already zero, and check the result.

    Args:
        masked: the network with zeros where units go, never changed.
        structure: its groups.
        keep: group id -> (size,) bool, True = keep; groups that are not named stay whole.
        example_inputs: positional arguments of its forward.
    Raises:
        ValueError: as `shrink`.
    """
    known = tuple(example_inputs)

    def reference(*given: Any) -> Any:
        return masked_outputs(masked, given, structure, keep)

    numbers = any(isinstance(x, Tensor) and x.is_floating_point() for x in tree_leaves(known))
    tried = (known, _random_like(known)) if numbers else (known,)  # no noise for token ids
    trials = [(given, _run(masked, given, _INPUTS, reference)) for given in tried]

    def check(small: nn.Module) -> None:
        for given, (expected, numbers) in trials:
            got, used = _run(small, given, _BAKED)
            _compare(expected, got, masked, structure.precision)
            if not agree(numbers, used):
                raise ValueError(_OTHERWISE.format(type(masked).__name__))

    return _first_right(_candidates(masked, structure, keep, known), check)


def shrink_by_keep(
    module: nn.Module,
    keep: Mapping[str, Tensor],
    example_inputs: Sequence[Any],
    structure: Structure | None = None,
) -> nn.Module:
    """A smaller copy with only the units to keep, whatever its weights; it is run once to see that it runs.

    Args:
        module: the network, never changed.
        keep: group id -> (size,) bool, True = keep; groups that are not named stay whole.
        example_inputs: positional arguments of its forward.
        structure: of this network, if already found.
    Raises:
        ValueError: if a mask does not fit its group or the smaller copy does not run.
    """
    structure = structure or find_structure(module, example_inputs)

    def check(small: nn.Module) -> None:
        _run(small, tuple(example_inputs), _BAKED)

    return _first_right(_candidates(module, structure, keep, tuple(example_inputs)), check)


def is_graph(module: nn.Module) -> bool:
    """Whether a pruned network is a graph of recorded operations, not its own class."""
    return isinstance(module, fx.GraphModule)


def slice_module(module: nn.Module, structure: Structure, keep: Mapping[str, Tensor]) -> nn.Module:
    """A copy with every parameter and buffer cut to the units to keep, and attributes that fit; not run.

    Args:
        module: the network that `structure` describes, never changed.
        structure: its groups.
        keep: group id -> (size,) bool, True = keep; groups that are not named stay whole.
    Raises:
        ValueError: if a mask does not fit its group.
    """
    return next(_candidates(module, structure, keep))


def _candidates(
    module: nn.Module,
    structure: Structure,
    keep: Mapping[str, Tensor],
    example_inputs: tuple[Any, ...] | None = None,
) -> Iterator[nn.Module]:
    """One smaller copy, at each step with another guess at what the attributes of its modules count.

    Last, where inputs are given, comes a graph module: it does not need the network's own Python.
    """
    small = _cut(module, structure, structure.checked(keep))
    repair_layers(small)
    for _ in repair_sizes(small, structure, keep):
        yield small
    if example_inputs is not None:
        try:
            yield emit_graph(module, small, structure, keep, example_inputs)
        except (NoGraph, ValueError):
            return


def _first_right(candidates: Iterator[nn.Module], check: Callable[[nn.Module], object]) -> nn.Module:
    """The first candidate that passes the check; the first one's error if none does."""
    failure: ValueError | None = None
    for small in candidates:
        try:
            check(small)
        except ValueError as error:
            failure = failure or error
        else:
            return small
    assert failure is not None  # there is always one candidate
    raise failure


@torch.no_grad()
def _cut(module: nn.Module, structure: Structure, keep: Mapping[str, Tensor]) -> nn.Module:
    """A copy with every parameter and buffer cut to the units to keep."""
    tensors = named_tensors(module)
    # Copying finds the cut tensors in place of the whole ones; those of several names stay shared.
    memo: dict[int, Any] = {
        id(tensors[name]): _sliced(tensors[name], dims) for name, dims in survivors(structure, keep).items()
    }
    return duplicate(module, memo)


def _sliced(tensor: Tensor, dims: Mapping[int, Tensor]) -> Tensor:
    result = cut(tensor.detach(), dims)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(result.clone(), requires_grad=tensor.requires_grad)
    return result.clone()


@torch.no_grad()
def _run(
    module: nn.Module, inputs: tuple[Any, ...], trouble: str, call: Callable[..., Any] | None = None
) -> tuple[list[Tensor], list[float]]:
    """Its outputs in eval mode, by `call` if given, and the numbers used; `trouble` is said if it fails."""
    try:
        with evaluating(module), Scalars() as scalars:
            results = (call or module)(*inputs)
    except Exception as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{trouble.format(type(module).__name__)}: {cause}") from error
    return [leaf for leaf in tree_leaves(results) if isinstance(leaf, Tensor)], scalars.found


def _compare(masked: list[Tensor], small: list[Tensor], module: nn.Module, precision: torch.dtype) -> None:
    for expected, got in zip(masked, small, strict=True):
        if expected.shape != got.shape or not torch.allclose(
            got.double(), expected.double(), rtol=0, atol=_margin(expected, precision), equal_nan=True
        ):
            raise ValueError(_OTHERWISE.format(type(module).__name__))


def _margin(expected: Tensor, precision: torch.dtype) -> float:
    """How far outputs may lie apart; `precision` is the coarsest type on the way to them."""
    if not expected.is_floating_point() or not expected.numel():
        return 0.0
    exact = precision is torch.float64 or expected.device.type == "cpu"
    share = _TOLERANCE.get(precision, _COARSE) if exact else _COARSE
    return share * max(float(expected.double().nan_to_num().abs().max()), 1e-12)


def _random_like(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Normal noise for floating-point tensors; whole numbers, such as token ids, stay as they are."""
    source = torch.Generator().manual_seed(0)

    def noise(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            drawn = torch.randn(value.shape, generator=source, dtype=torch.float64)
            return drawn.to(value.dtype).to(value.device)
        return value

    return tree_map(noise, inputs)
