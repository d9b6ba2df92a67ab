"""The front is exactly what no other point beats."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from pruning.compare import front

small = st.integers(0, 5).map(float)


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(st.lists(st.tuples(small, small), max_size=30))
def test_it_is_what_no_other_point_beats(points: list[tuple[float, float]]) -> None:
    found = front(points)
    wanted = {i for i, point in enumerate(points) if not any(beats(other, point) for other in points)}
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert [points[i][0] for i in found] == sorted(points[i][0] for i in found)


def test_equal_points_stand_together_and_nan_is_no_point() -> None:
    nan = math.nan
    assert front([(2.0, 0.9), (1.0, 0.8), (1.0, 0.8), (1.0, 0.7), (nan, 1.0), (0.0, nan)]) == [1, 2, 0]
    assert front([]) == []
