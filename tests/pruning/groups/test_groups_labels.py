"""The union-find against a plain model of sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.groups.labels import Labels

SIZE = 12
pairs = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=20)


def merged(links: list[tuple[int, int]]) -> list[frozenset[int]]:
    """The set of each element after joining pairs, the slow and obvious way."""
    sets = [{i} for i in range(SIZE)]
    for a, b in links:
        joined = sets[a] | sets[b]
        for i in joined:
            sets[i] = joined
    return [frozenset(s) for s in sets]


@given(pairs, st.sets(st.integers(0, SIZE - 1), max_size=3))
def test_union_and_fix_agree_with_sets(links, held):
    labels = Labels()
    vector = labels.fresh(SIZE)
    if links:
        left, right = np.array(links).T
        labels.union(vector[left], vector[right], "never used")
    labels.fix(vector[sorted(held)], "held")
    sets = merged(links)
    roots = labels.find(vector)
    for i in range(SIZE):
        is_held = bool(sets[i] & held)
        assert bool(labels.is_fixed(vector[i : i + 1])[0]) == is_held
        assert labels.reason(vector[i]) == ("held" if is_held else "")
        for j in range(SIZE):
            if not is_held:
                assert (roots[i] == roots[j]) == (j in sets[i])


@given(pairs)
def test_order_of_fixing_and_uniting_does_not_matter(links):
    first, last = Labels(), Labels()
    a, b = first.fresh(SIZE), last.fresh(SIZE)
    first.fix(a[:1], "held")
    for i, j in links:
        first.union(a[i : i + 1], a[j : j + 1], "met")
        last.union(b[i : i + 1], b[j : j + 1], "met")
    last.fix(b[:1], "held")
    assert (first.is_fixed(a) == last.is_fixed(b)).all()


def test_the_reason_travels_with_a_union_and_the_first_one_stays():
    labels = Labels()
    a, b, c = labels.fresh(2), labels.fresh(2), labels.fresh(2)
    labels.fix(a[:1], "first")
    labels.union(a, b, "met")
    labels.union(c[1:], np.zeros(1, np.int64), "met nothing")
    labels.fix(b, "second")
    assert [labels.reason(label) for label in (*a, *b, *c)] == [
        "first", "second", "first", "second", "", "met nothing",
    ]  # fmt: skip


def test_a_dimension_of_one_is_fixed_and_many_labels_fit():
    labels = Labels()
    assert labels.all_fixed(labels.fresh(1))
    many = labels.fresh(10_000)
    assert len(np.unique(labels.find(many))) == 10_000


def test_broadcast_union():
    labels = Labels()
    rows, column = labels.fresh(6).reshape(2, 3), labels.fresh(3)
    labels.union(rows, column[None], "met")
    assert (labels.find(rows)[0] == labels.find(rows)[1]).all()
    with pytest.raises(ValueError, match="shape"):
        labels.union(rows, labels.fresh(4), "met")
