"""Operations that treat every entry on its own: operands are aligned from the last dimension and united."""

from __future__ import annotations

from pruning.groups.labels import Vector, fixed
from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.rules.zeros import stays_zero
from pruning.groups.tracer import Origin, Tracer, Value

_VERBS = {"add": "add", "sub": "add", "mul": "multiply"}
_ZEROS = ("zeros", "new_zeros")
_PLACES = "{where} draws a number for each of its places"


# Pointwise operations that PyTorch does not tag as such; all that carry the tag come here without a line.
@rule("hardswish", "native_dropout", "copy", "fill", "zero", "_prelu_kernel")
@rule("zeros_like", "ones_like", "full_like", "empty_like", "masked_fill", "bernoulli", "rrelu_with_noise")
def elementwise(tracer: Tracer, call: Call) -> Value | list[Value | None]:
    """Operands that are as long as the result along a dimension share its labels; length 1 is broadcast."""
    operands = [tracer.value(ref) for ref in call.inputs]
    shape = tracer.shape()
    dims = []
    for dim, size in enumerate(shape):
        dims.append(_united(tracer, [_aligned(operand, len(shape), dim) for operand in operands], size))
    _explain(tracer, call, operands, shape)
    for operand in operands:
        _scale_role(tracer, operand)
    free = [dim for dim, labels in enumerate(dims) if not tracer.labels.all_fixed(labels)]
    quiet = stays_zero(tracer, call, free, len(shape))
    return [Value(tuple(dims), _scaled_weight(operands, shape), quiet)] * len(call.outputs)


@rule("detach", "alias", "lift_fresh", "clone", "_to_copy")
def same(tracer: Tracer, call: Call) -> Value:
    """The tensor itself."""
    return tracer.value(call.inputs[0])


@rule("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty")
def filled(tracer: Tracer, call: Call) -> Value:
    """A tensor of equal entries: any of them may vanish, together with what it is combined with."""
    dims = tuple(tracer.labels.fresh(size) for size in tracer.shape())
    for labels in dims:
        tracer.size(labels)
    return Value(dims, quiet=call.op in _ZEROS)


@rule("arange", "linspace", "logspace", "eye", "tril_indices", "triu_indices", "scalar_tensor")
@rule("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like")
def drawn(tracer: Tracer, call: Call) -> list[Value | None]:
    """Numbers that are counted or drawn: each has its place."""
    for ref in call.inputs:
        for labels in tracer.value(ref).dims:
            tracer.fix(labels, _PLACES)
    return [None]


def _aligned(operand: Value, rank: int, dim: int) -> Vector | None:
    own = dim - (rank - len(operand.dims))
    return operand.dims[own] if own >= 0 else None


def _united(tracer: Tracer, candidates: list[Vector | None], size: int) -> Vector:
    full = [labels for labels in candidates if labels is not None and len(labels) == size]
    for labels in full[1:]:
        tracer.union(full[0], labels)
    return full[0] if full else fixed(size)


def _explain(tracer: Tracer, call: Call, operands: list[Value], shape: tuple[int, ...]) -> None:
    """Several computed operands make a coupling worth naming; a parameter only scales or shifts."""
    computed = [operand for operand in operands if operand.origin is None]
    if len(computed) < 2:
        return
    kind = _VERBS.get(call.op.removesuffix("_"), "combine")
    for dim in range(len(shape)):
        aligned = [_aligned(operand, len(shape), dim) for operand in computed]
        sides = [labels for labels in aligned if labels is not None and len(labels) > 1]
        if len(sides) > 1 and not tracer.labels.all_fixed(sides[0]):
            tracer.note(kind, sides[0])


def _scaled_weight(operands: list[Value], shape: tuple[int, ...]) -> Origin | None:
    """A weight that is scaled or masked by other parameters and constants is still that weight."""
    if not all(operand.static for operand in operands):
        return None
    whole = [operand for operand in operands if operand.origin and operand.shape == shape]
    return whole[0].origin if len(whole) == 1 and len(shape) > 1 else None


def _scale_role(tracer: Tracer, operand: Value) -> None:
    """A parameter that is added or multiplied entry by entry."""
    for dim, labels in enumerate(operand.dims):
        if len(labels) > 1:
            tracer.role(operand, dim, "norm")
