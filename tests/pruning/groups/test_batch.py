"""What grows with the batch is told from two recordings."""

import pytest

from pruning.groups.batch import Grows, for_any_batch
from pruning.groups.record import Ref


def test_sizes_that_differ_grow_and_the_rest_stays() -> None:
    found = for_any_batch([(2, 7), Ref(3), 11, 0.5, None], [(3, 7), Ref(3), 16, 0.5, None], 2)
    assert found == [[Grows(1, 0), 7], Ref(3), Grows(5, 1), 0.5, None]
    assert [Grows(5, 1).at(images) for images in (2, 3, 10)] == [11, 16, 51]


@pytest.mark.parametrize(
    ("value", "other", "words"),
    [([1], [1, 2], "a list"), ([1], 1, "a list"), (0.5, 0.25, "a value"), (Ref(1), Ref(2), "a value")],
)
def test_what_differs_otherwise_is_refused(value: object, other: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        for_any_batch(value, other, 2)
