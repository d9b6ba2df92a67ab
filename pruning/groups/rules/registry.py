"""Where rules are registered, by the name of the operation."""

from __future__ import annotations

from collections.abc import Callable

from pruning.groups.tracer import Rule
from pruning.registry import Registry

RULES: Registry[Rule] = Registry("rule")


def rule(*operations: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of these ATen operations."""

    def register(function: Rule) -> Rule:
        for name in operations:
            RULES.add(name, function)
        return function

    return register
