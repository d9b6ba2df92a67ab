"""The store behind `ui.cache`: made once, forgotten by bytes, the newest never."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from pruning.weights import SortedScores
from ui.bounded import Bounded, bytes_of, remember


def maker(calls: list[int], size: int, key: int) -> Callable[[], torch.Tensor]:
    def make() -> torch.Tensor:
        calls.append(key)
        return torch.zeros(size, dtype=torch.uint8)

    return make


def test_the_least_recently_used_goes_first() -> None:
    store, calls = Bounded(limit=250), list[int]()
    for key in (1, 2, 1, 3, 1, 2):  # 3 pushes out 2, which comes back and pushes out 3
        store.get("kind", key, maker(calls, 100, key), 9)
        assert store.nbytes <= 250
    assert calls == [1, 2, 3, 2]


def test_what_is_larger_than_the_limit_is_kept_as_long_as_it_is_the_newest() -> None:
    store, calls = Bounded(limit=250), list[int]()
    for key, size in ((1, 100), (2, 1000), (2, 1000), (1, 100)):
        store.get("kind", key, maker(calls, size, key), 9)
    assert calls == [1, 2, 1]
    assert store.nbytes == 100


def test_each_kind_has_its_own_number_of_entries() -> None:
    store, calls = Bounded(limit=10**6), list[int]()
    for kind, key in (("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 1), ("a", 1)):
        store.get(kind, key, maker(calls, 1, key), 2)
    assert calls == [1, 1, 2, 3, 1]  # a: 1 went for 3; b kept its own 1


def test_a_failure_is_not_kept() -> None:
    store = Bounded(limit=100)

    def fail() -> int:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            store.get("kind", 1, fail, 1)
    assert store.get("kind", 1, lambda: 7, 1) == 7


def test_threads_make_a_result_once() -> None:
    store, calls, go = Bounded(limit=100), list[int](), threading.Event()

    def slow() -> int:
        go.wait(5)
        calls.append(1)
        return 7

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(store.get("kind", 1, slow, 1))) for _ in range(4)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert (found, calls) == ([7] * 4, [1])


def test_arguments_with_an_underscore_are_no_part_of_the_key() -> None:
    calls = []

    @Bounded(limit=100).keep(4)
    def add(a: int, b: int = 2, _by_the_way: str = "") -> int:
        """Sum."""
        calls.append((a, b))
        return a + b

    assert [add(1), add(1, 2), add(b=2, a=1, _by_the_way="x"), add(1, 3)] == [3, 3, 3, 4]
    assert calls == [(1, 2), (1, 3)]
    assert add.__doc__ == "Sum."


def test_bytes_are_those_of_tensors_and_arrays_each_once() -> None:
    @dataclass
    class Result:
        mask: torch.Tensor
        name: str

    whole = torch.zeros(10)
    assert bytes_of(whole[:2]) == 40  # what a view keeps alive
    assert bytes_of([whole, whole[3:], {"a": whole}]) == 40
    assert bytes_of({"a": np.zeros(3), "b": (b"12345", "text", 7)}) == 29
    assert bytes_of(Result(torch.zeros(4, dtype=torch.bool), "x")) == 4
    assert bytes_of(nn.BatchNorm1d(5)) == 4 * 5 * 4 + 8
    assert bytes_of(SortedScores(torch.rand(50))) == 200


def test_the_first_beyond_a_number_is_forgotten() -> None:
    known: dict[str, int | None] = {}
    for number, key in enumerate("abcbd"):
        remember(known, key, number, 3)
    assert known == {"b": 3, "c": 2, "d": 4}
    remember(known, "b", None, 3)
    assert known == {"b": None, "c": 2, "d": 4}
