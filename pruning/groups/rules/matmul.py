"""Products that sum over a dimension: matrix products, plain and batched."""

from __future__ import annotations

from pruning.groups.labels import Vector
from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Dims, Tracer, Unsupported, Value

SUMMED = "{where} sums over it in a product of two computed tensors"
# Exact, but the code of an attention layer has one number for the widths of queries, keys and values.
WIDTH = "{where} multiplies two computed tensors of that width, and heads are kept or removed as a whole"


@rule("mm")
def mm(tracer: Tracer, call: Call) -> Value:
    """(m, k) x (k, n): k is read, m and n go on."""
    return _product(tracer, tracer.arg("self"), tracer.arg("mat2"))


@rule("addmm")
def addmm(tracer: Tracer, call: Call) -> Value:
    """bias + (m, k) x (k, n)."""
    return _biased(tracer, _product(tracer, tracer.arg("mat1"), tracer.arg("mat2")))


@rule("bmm")
def bmm(tracer: Tracer, call: Call) -> Value:
    """(b, m, k) x (b, k, n)."""
    return _product(tracer, tracer.arg("self"), tracer.arg("mat2"))


@rule("baddbmm")
def baddbmm(tracer: Tracer, call: Call) -> Value:
    """bias + (b, m, k) x (b, k, n)."""
    return _biased(tracer, _product(tracer, tracer.arg("batch1"), tracer.arg("batch2")))


@rule("mv", "dot", "vdot")
def vector(tracer: Tracer, call: Call) -> Value:
    """(m, k) x (k) and (k) x (k)."""
    left = tracer.arg("self")
    right = tracer.optional("vec") or tracer.optional("tensor") or tracer.arg("other")
    contract(tracer, left, len(left.dims) - 1, right, 0)
    tracer.role(left, 0, "producer", "neuron")
    return Value(left.dims[:-1], quiet=left.quiet)


@rule("linear")
def linear(tracer: Tracer, call: Call) -> Value:
    """(..., k) x (n, k) transposed + bias, where a backend keeps it whole."""
    x, weight, bias = tracer.arg("input"), tracer.arg("weight"), tracer.optional("bias")
    contract(tracer, x, len(x.dims) - 1, weight, 1)
    tracer.role(weight, 0, "producer", "neuron")
    tracer.work("linear", *x.dims, weight.dims[0])
    quiet = weight.quiet and (not tracer.free(*x.dims[:-1]) or (x.quiet and bias is None))
    if bias is not None:
        tracer.union(bias.dims[0], weight.dims[0])
        tracer.role(bias, 0, "producer")
    return Value((*x.dims[:-1], weight.dims[0]), quiet=quiet)


def contract(
    tracer: Tracer, left: Value, left_dim: int, right: Value, right_dim: int, batch: Dims = ()
) -> None:
    """Unite the summed dimension of both sides; a parameter's side reads it.

    A removed entry adds nothing where one side is zero. Where none is (think of a sigmoid before the product)
    the dimension is fixed; so it is between two activations with heads, the queries and keys of attention,
    unless heads are to be pruned inside.
    """
    a, b = left.dims[left_dim], right.dims[right_dim]
    if len(a) != len(b):
        raise Unsupported("sizes differ")
    activations = not left.static and not right.static
    heads = any(len(labels) > tracer.recording.batch for labels in batch)  # beside the samples
    whole = activations and heads and tracer.choices.heads == "whole"
    if whole or not (left.quiet or right.quiet):
        tracer.fix(a, SUMMED)
        tracer.fix(b, SUMMED)
    elif activations and tracer.free(a):
        tracer.note("inside", a)
    if whole:
        tracer.fix(right.dims[-1], WIDTH)
    tracer.union(a, b)
    tracer.role(left, left_dim, "consumer")
    tracer.role(right, right_dim, "consumer")


def _product(tracer: Tracer, left: Value, right: Value) -> Value:
    if len(left.dims) != len(right.dims) or len(left.dims) not in (2, 3):
        raise Unsupported("not a matrix product")
    batch = left.dims[:-2]
    for a, b in zip(batch, right.dims[:-2], strict=True):
        tracer.union(a, b)
        if not left.static and not right.static and tracer.free(a):
            tracer.note("head", a)
    contract(tracer, left, len(left.dims) - 1, right, len(right.dims) - 2, batch)
    tracer.role(right, len(right.dims) - 1, "producer", "neuron")
    tracer.role(left, len(left.dims) - 2, "producer", "neuron")
    m, k, n = left.dims[-2], left.dims[-1], right.dims[-1]
    tracer.work("linear" if left.static or right.static else "matmul", *batch, m, k, n)
    quiet = (
        (left.quiet or not tracer.free(m))
        and (right.quiet or not tracer.free(n))
        and (left.quiet or right.quiet or not tracer.free(*batch))
    )
    return Value((*batch, m, n), quiet=quiet)


@rule("_trilinear")
def trilinear(tracer: Tracer, call: Call) -> Value:
    """A product of three tensors summed over some dimensions, as `nn.Bilinear` makes it."""
    expands = [call.args[f"expand{n}"] for n in (1, 2, 3)]
    operands = [_expanded(tracer.arg(f"i{n}"), expand) for n, expand in zip((1, 2, 3), expands, strict=True)]
    rank = len(operands[0])
    out: list[Vector] = []
    for dim in range(rank):
        sides = [labels for dims in operands if (labels := dims[dim]) is not None]
        for labels in sides[1:]:
            tracer.union(sides[0], labels)
        if dim not in call.args["sumdim"]:
            out.append(sides[0])
        elif not any(tracer.arg(f"i{n}").quiet for n in (1, 2, 3) if operands[n - 1][dim] is not None):
            tracer.fix(sides[0], SUMMED)
    weight = tracer.arg("i2")
    tracer.role(weight, 0, "producer", "neuron")
    for dim in range(1, len(weight.dims)):
        tracer.role(weight, dim, "consumer")
    return Value(tuple(out), quiet=weight.quiet and not tracer.free(*out[:-1]))


def _expanded(value: Value, expand: list[int]) -> list[Vector | None]:
    """Labels by dimension of the whole product; None where the operand is repeated."""
    own = iter(value.dims)
    return [None if dim in expand else next(own) for dim in range(len(value.dims) + len(expand))]


@rule("_euclidean_dist", "_cdist_forward")
def distances(tracer: Tracer, call: Call) -> Value:
    """(..., n, d), (..., m, d) -> (..., n, m): what is zero on both sides adds nothing."""
    left, right = tracer.value(call.inputs[0]), tracer.value(call.inputs[1])
    if len(left.dims) != len(right.dims):
        raise Unsupported("sizes differ")
    for a, b in zip((*left.dims[:-2], left.dims[-1]), (*right.dims[:-2], right.dims[-1]), strict=True):
        tracer.union(a, b)
    if not (left.quiet and right.quiet):
        tracer.fix(left.dims[-1], SUMMED)
    return Value((*left.dims[:-1], right.dims[-2]))


def _biased(tracer: Tracer, product: Value) -> Value:
    bias = tracer.arg("self")
    quiet = product.quiet and bias.quiet
    for dim, labels in enumerate(product.dims):
        own = dim - (len(product.dims) - len(bias.dims))
        if own < 0 or len(bias.dims[own]) != len(labels):
            if own >= 0 and len(bias.dims[own]) != 1:
                raise Unsupported("the bias does not fit")
            quiet = quiet and not tracer.free(labels)  # it is added where entries were removed
            continue
        tracer.union(bias.dims[own], labels)
        tracer.role(bias, own, "producer")
    return Value(product.dims, quiet=quiet)
