"""Versions of a network whose operations cannot be recorded, from the last finished module on.

Modules that were done before the first change are not run again: they hand out what they returned before.
That needs nothing but modules that are called in the same order, whatever Python stands between them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map


@dataclass
class _Visit:
    """One call of a module: when it began and ended, and what it returned."""

    name: str
    begin: int
    end: int = -1
    result: Any = None


class Modules:
    """What every module of a network returned on some images.

    Args:
        module: the whole network in eval mode; it gets hooks for one forward and is left as it was.
        x: (images, ...) its input.
    """

    @torch.inference_mode()
    def __init__(self, module: nn.Module, x: Tensor) -> None:
        self.visits: list[_Visit] = []
        open_visits: list[_Visit] = []
        clock = iter(range(2**62))

        def enter(name: str) -> Callable[..., None]:
            def hook(*_: object) -> None:
                visit = _Visit(name, next(clock))
                open_visits.append(visit)
                self.visits.append(visit)

            return hook

        def leave(_: nn.Module, __: object, result: Any) -> None:
            visit = open_visits.pop()
            visit.end, visit.result = next(clock), _copied(result)

        handles = []
        try:
            for name, child in module.named_modules():
                if name:
                    handles.append(child.register_forward_pre_hook(enter(name)))
                    handles.append(child.register_forward_hook(leave))
            self.outputs: Tensor = module(x)
        finally:
            for handle in handles:
                handle.remove()

    def finished_before(self, changed: Sequence[str]) -> list[_Visit]:
        """The calls that ended before a changed module was first called, without those inside of one another.

        Args:
            changed: paths of modules.
        """
        inside = set(changed)
        starts = [visit.begin for visit in self.visits if visit.name in inside]
        first = min(starts, default=2**62)
        done = [visit for visit in self.visits if visit.end < first]
        outer: list[_Visit] = []
        for visit in done:  # by their begin: an outer one comes first
            if not outer or visit.begin > outer[-1].end:
                outer.append(visit)
        return outer

    @contextmanager
    def skipping(self, working: nn.Module, changed: Sequence[str]) -> Iterator[None]:
        """Let a copy of the network hand out what is known, until the first changed module is called.

        Args:
            working: the copy, whose changed modules may have other parameters.
            changed: paths of these modules.
        """
        known: dict[str, deque[Any]] = defaultdict(deque)
        for visit in self.finished_before(changed):
            known[visit.name].append(visit.result)
        patched = []
        try:
            for name, results in known.items():
                child = working.get_submodule(name)
                patched.append((child, child.__dict__.get("forward")))
                child.forward = _handing_out(results, child.forward)
            yield
        finally:
            for child, own in patched:
                if own is None:
                    del child.forward
                else:
                    child.forward = own


def _handing_out(results: deque[Any], forward: Callable[..., Any]) -> Callable[..., Any]:
    """Known results in their order, then the forward itself."""

    def handed(*args: Any, **named: Any) -> Any:
        return _copied(results.popleft()) if results else forward(*args, **named)

    return handed


def _copied(value: Any) -> Any:
    """Tensors of their own: what follows may write into them."""
    return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, value)
