"""Products that sum over a dimension: matrix products, plain and batched."""

from __future__ import annotations

from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value

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


def contract(tracer: Tracer, left: Value, left_dim: int, right: Value, right_dim: int) -> None:
    """Unite the summed dimension of both sides; a parameter's side reads it.

    A removed entry adds nothing where one side is zero. Where none is (think of a sigmoid before the product)
    the dimension is fixed; so it is between two activations, the queries and keys of attention, unless heads
    are to be pruned inside.
    """
    a, b = left.dims[left_dim], right.dims[right_dim]
    if len(a) != len(b):
        raise Unsupported("sizes differ")
    activations = not left.static and not right.static
    inside = tracer.choices.heads == "inside"
    if not (left.quiet or right.quiet) or (activations and not inside):
        tracer.fix(a, SUMMED)
        tracer.fix(b, SUMMED)
    elif activations and tracer.free(a):
        tracer.note("inside", a)
    if activations and not inside:
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
    contract(tracer, left, len(left.dims) - 1, right, len(right.dims) - 2)
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
