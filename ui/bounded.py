"""Stores of results that forget: by the bytes of all of them, or by their number."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from torch import Tensor, nn

from pruning.held import blocks_of

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def remember(known: dict[K, T], key: K, result: T, most: int) -> None:
    """Put a result where the first beyond so many are forgotten; pages and a worker may do so at once."""
    known[key] = result
    for first in list(known)[:-most]:
        known.pop(first, None)


class Bounded:
    """Results by key, made once, shared by all threads.

    Args:
        limit: bytes of all results together. The newest is kept even if it alone takes more: it is what
            somebody looks at now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._found: dict[tuple[str, Hashable], tuple[Any, int]] = {}  # the least recently used first
        self._making: dict[tuple[str, Hashable], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, kind: str, key: Hashable, make: Callable[[], T], entries: int) -> T:
        """The result, made now if it is not there; what `make` raises is raised and nothing is kept.

        Args:
            kind: of result.
            key: among those of its kind.
            make: called by one thread at a time for a key; the others wait for its result.
            entries: how many of this kind are kept at most.
        """
        place = (kind, key)
        with self._lock:
            if place in self._found:
                return self._again(place)
            making = self._making.setdefault(place, threading.Lock())
        with making:
            with self._lock:
                if place in self._found:  # another thread was faster
                    return self._again(place)
            try:
                result = make()
                self._put(place, result, entries)
            finally:
                with self._lock:
                    self._making.pop(place, None)
        return result

    def keep(self, entries: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Decorate a function so that its results are kept, by its arguments.

        Arguments whose names begin with an underscore are no part of the key, as in `st.cache_resource`.

        Args:
            entries: results of this function that are kept at most.
        """

        def decorate(function: Callable[P, T]) -> Callable[P, T]:
            signature, kind = inspect.signature(function), f"{function.__module__}.{function.__qualname__}"

            @wraps(function)
            def found(*args: P.args, **options: P.kwargs) -> T:
                bound = signature.bind(*args, **options)
                bound.apply_defaults()
                key = tuple(value for arg, value in bound.arguments.items() if not arg.startswith("_"))
                return self.get(kind, key, lambda: function(*args, **options), entries)

            return found

        return decorate

    @property
    def nbytes(self) -> int:
        """Bytes of all results."""
        return sum(size for _, size in self._found.values())

    def _put(self, place: tuple[str, Hashable], result: Any, entries: int) -> None:
        size = bytes_of(result)
        with self._lock:
            self._found[place] = result, size
            self._forget([other for other in self._found if other[0] == place[0]][:-entries])
            while self.nbytes > self.limit and len(self._found) > 1:
                self._forget([next(iter(self._found))])

    def _again(self, place: tuple[str, Hashable]) -> Any:
        self._found[place] = self._found.pop(place)  # now the most recently used
        return self._found[place][0]

    def _forget(self, places: Iterable[tuple[str, Hashable]]) -> None:
        for place in places:
            del self._found[place]


def bytes_of(value: Any) -> int:
    """Bytes of the tensors, arrays and byte strings within a result, each memory counted once.

    It looks into networks, mappings, sequences and dataclasses; everything else is small and counts nothing,
    unless it has `nbytes`.
    """
    return sum(_blocks(value, {}).values())


def _blocks(value: Any, seen: dict[int, int]) -> dict[int, int]:
    """Address of a block of memory (or of an object) -> its bytes."""
    if isinstance(value, Tensor):
        seen.update(blocks_of([value]))
    elif id(value) not in seen:
        seen[id(value)] = _own(value)
        for part in _parts(value):
            _blocks(part, seen)
    return seen


def _own(value: Any) -> int:
    size = len(value) if isinstance(value, bytes) else getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, nn.Module):
        return [*value.parameters(), *value.buffers()]
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if is_dataclass(value):
        return [getattr(value, one.name) for one in fields(value)]
    return ()
