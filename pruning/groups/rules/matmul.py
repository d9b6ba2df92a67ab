"""Products that sum over a dimension: matrix products, plain and batched."""

from __future__ import annotations

from pruning.groups.record import Call
from pruning.groups.rules.registry import rule
from pruning.groups.tracer import Tracer, Unsupported, Value

SUMMED = "{where} sums over it in a product of two computed tensors"
# Exact, but the code of an attention layer has one number for the widths of queries, keys and values.
WIDTH = "{where} multiplies two computed tensors of that width, and inside of heads nothing is removed yet"


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


@rule("linear")
def linear(tracer: Tracer, call: Call) -> Value:
    """(..., k) x (n, k) transposed + bias, where a backend keeps it whole."""
    x, weight, bias = tracer.arg("input"), tracer.arg("weight"), tracer.optional("bias")
    _contract(tracer, x, len(x.dims) - 1, weight, 1)
    tracer.role(weight, 0, "producer", "neuron")
    tracer.work("linear", *x.dims, weight.dims[0])
    if bias is not None:
        tracer.union(bias.dims[0], weight.dims[0])
        tracer.role(bias, 0, "producer")
    return Value((*x.dims[:-1], weight.dims[0]))


def _product(tracer: Tracer, left: Value, right: Value) -> Value:
    if len(left.dims) != len(right.dims) or len(left.dims) not in (2, 3):
        raise Unsupported("not a matrix product")
    batch = left.dims[:-2]
    for a, b in zip(batch, right.dims[:-2], strict=True):
        tracer.union(a, b)
        if left.origin is None and right.origin is None and not tracer.labels.all_fixed(a):
            tracer.note("head", a)
    _contract(tracer, left, len(left.dims) - 1, right, len(right.dims) - 2)
    tracer.role(right, len(right.dims) - 1, "producer", "neuron")
    tracer.role(left, len(left.dims) - 2, "producer", "neuron")
    m, k, n = left.dims[-2], left.dims[-1], right.dims[-1]
    weighted = left.origin is not None or right.origin is not None
    tracer.work("linear" if weighted else "matmul", *batch, m, k, n)
    return Value((*batch, m, n))


def _contract(tracer: Tracer, left: Value, left_dim: int, right: Value, right_dim: int) -> None:
    """Unite the summed dimension of both sides; a parameter's side reads it.

    Between two computed tensors nothing ensures that a removed entry adds zero (think of a sigmoid before
    the product), so the dimension is fixed.
    """
    a, b = left.dims[left_dim], right.dims[right_dim]
    if len(a) != len(b):
        raise Unsupported("sizes differ")
    if left.origin is None and right.origin is None:
        tracer.fix(a, SUMMED)
        tracer.fix(b, SUMMED)
        tracer.fix(right.dims[-1], WIDTH)
    tracer.union(a, b)
    tracer.role(left, left_dim, "consumer")
    tracer.role(right, right_dim, "consumer")


def _biased(tracer: Tracer, product: Value) -> Value:
    bias = tracer.arg("self")
    for dim, labels in enumerate(bias.dims):
        target = product.dims[dim - len(bias.dims)]
        if len(labels) == len(target):
            tracer.union(labels, target)
            tracer.role(bias, dim, "producer")
        elif len(labels) != 1:
            raise Unsupported("the bias does not fit")
    return product
