"""One rule per family of ATen operations: which labels become one, and which become fixed.

A rule is a function (tracer, call) -> the value of the result, or a list of values for several results.
To cover another operation, write one function in the file of its family, name the operations in the
decorator, and add a line to the table in tests/pruning/groups/test_groups_rules.py. An operation without a
rule, or a rule that raises Unsupported, fixes all that the operation touches.
"""

from __future__ import annotations

from pruning.groups.record import Call
from pruning.groups.rules import (
    attention,
    blocks,
    convolution,
    elementwise,
    join,
    lookup,
    matmul,
    norm,
    reduce,
    shape,
    spatial,
)
from pruning.groups.rules.registry import RULES
from pruning.groups.tracer import Rule

_FAMILIES = (
    attention,
    blocks,
    convolution,
    elementwise,
    join,
    lookup,
    matmul,
    norm,
    reduce,
    shape,
    spatial,
)


def rule_for(call: Call) -> Rule | None:
    """The rule of an operation, in-place forms included; None if there is none."""
    if call.namespace != "aten" or call.overload == "out" or call.overload.endswith("_out"):
        return None
    for name in (call.op, call.op.removesuffix("_")):
        if name in RULES:
            return RULES[name]
    return elementwise.elementwise if call.pointwise else None


__all__ = ["RULES", "rule_for"]
