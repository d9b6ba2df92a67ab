"""How many images a point needs: simulated on networks whose every answer is known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import Tensor

from pruning.sensitivity.adaptive import Adaptive, Estimate, Precise
from pruning.sensitivity.sampling import change, looks, proportion, shuffled, strata

LEVELS = tuple(i / 10 for i in range(1, 10))
Answers = dict[tuple[str, float], Tensor]
STEEPNESS = {"flat": 0.0, "mild": 0.4, "bent": 3.0, "steep": 9.0, "ruin": 60.0}


def population(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Answers]:
    """The dense network's right answers and margins, and the right answers at each point.

    Pruning adds noise to the lead of the right class over the others; more of it the more is pruned.
    """
    generator = torch.Generator().manual_seed(seed)
    lead = 1.4 + torch.randn(n, generator=generator)
    noise = {key: torch.randn(n, generator=generator) for key in STEEPNESS}
    answers = {
        (key, level): lead + steep * level**3 * noise[key] - steep * level**5 / 4 > 0
        for key, steep in STEEPNESS.items()
        for level in LEVELS
    }
    return lead > 0, lead.abs(), answers


def walk(scan: Adaptive, answers: Answers) -> Iterator[int]:
    """Measure all that is asked for; yields the images of each update."""
    while todo := scan.next():
        images = scan.order[todo.first : todo.last]
        for key, levels in todo.levels.items():
            for level in levels:
                scan.update(key, level, answers[key, level][images])
                yield len(images)


def known(scan: Adaptive, answers: Answers) -> dict[tuple[str, float], Estimate]:
    found = {place: scan.estimate(*place) for place in answers}
    return {place: estimate for place, estimate in found.items() if estimate is not None}


def adaptive(n: int, seed: int = 0, **settings: object) -> tuple[Adaptive, Answers]:
    right, margin, answers = population(n, seed)
    levels = dict.fromkeys(STEEPNESS, LEVELS)
    return Adaptive(levels, right, margin, 10, Precise(**settings), seed), answers  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "settings", "at_most"),
    [(4000, {}, 0.25), (4000, {"strict": True}, 0.5), (800, {}, 0.5), (1500, {"points": 3}, 0.25)],
)
def test_intervals_hold_and_images_are_saved(n: int, settings: dict, at_most: float) -> None:
    holds: dict[str, list[bool]] = {}
    images = points = 0
    for seed in range(25):
        scan, answers = adaptive(n, seed, **settings)
        images += sum(walk(scan, answers))
        for place, estimate in known(scan, answers).items():
            exact = answers[place].double().mean().item()
            low, high = estimate.interval
            assert estimate.settled
            assert low <= estimate.accuracy <= high
            if settings.get("strict"):
                assert high - low <= 0.02 + 1e-9
            holds.setdefault(estimate.how, []).append(low - 1e-9 <= exact <= high + 1e-9)
            points += 1
    assert points == 25 * len(STEEPNESS) * len(LEVELS)
    assert {"partly", "between"} <= set(holds)
    assert ("beyond" in holds) == (not settings.get("strict"))
    for how, held in holds.items():
        assert sum(held) / len(held) >= 0.95, how
    assert images / points / n < at_most


def test_one_point_alone_is_covered_wherever_its_accuracy_lies() -> None:
    """The share of images that change, from hardly any to most, each with 400 orders."""
    n = 2000
    right = torch.arange(n) < 0.9 * n
    margin = torch.ones(n)
    for lost, gained in ((2, 0), (12, 4), (40, 30), (110, 20), (300, 50), (900, 10)):
        pruned = right.clone()
        generator = torch.Generator().manual_seed(lost)
        pruned[torch.randperm(1800, generator=generator)[:lost]] = False
        pruned[1800 + torch.randperm(200, generator=generator)[:gained]] = True
        exact, held = (1800 - lost + gained) / n, 0
        for seed in range(400):
            scan = Adaptive({"a": [0.5]}, right, margin, 10, seed=seed)
            assert sum(walk(scan, {("a", 0.5): pruned})) <= n
            estimate = scan.estimate("a", 0.5)
            assert estimate is not None
            held += estimate.interval[0] - 1e-9 <= exact <= estimate.interval[1] + 1e-9
        assert held / 400 >= 0.95, (lost, gained, held)


def test_few_images_are_all_measured_and_exact() -> None:
    scan, answers = adaptive(90)
    list(walk(scan, answers))
    for place, estimate in known(scan, answers).items():
        if estimate.how == "measured":
            exact = int(answers[place].sum()) / 90
            assert (estimate.accuracy, estimate.interval, estimate.n) == (exact, (exact, exact), 90)
        else:
            assert estimate.how == "beyond"  # one image is more than a point: nothing else is inferred


def test_a_scan_taken_up_again_ends_as_one_never_stopped() -> None:
    whole, answers = adaptive(1200, 3)
    list(walk(whole, answers))
    part, _ = adaptive(1200, 3)
    steps = walk(part, answers)
    for _ in range(17):
        next(steps)
    again, _ = adaptive(1200, 3)
    half = known(part, answers)
    assert any(not estimate.settled for estimate in half.values())
    for place, estimate in half.items():
        if estimate.how == "measured":
            assert again.exact(*place, estimate.accuracy) == estimate
        elif estimate.n:
            assert again.restore(*place, estimate.n, estimate.changed) == estimate
    assert known(again, answers) == half
    list(walk(again, answers))
    assert known(again, answers) == known(whole, answers)


def test_beyond_a_collapse_and_between_likes_nothing_is_measured() -> None:
    scan, answers = adaptive(4000)
    list(walk(scan, answers))
    found = known(scan, answers)
    flat = [found["flat", level] for level in LEVELS]
    assert [e.how for e in flat] == ["between"] * 8 + ["partly"]
    assert {e.neighbours for e in flat[:8]} == {(0.0, 0.9)}
    beyond = [found["ruin", level] for level in LEVELS if found["ruin", level].how == "beyond"]
    assert beyond
    assert {(e.interval, e.n) for e in beyond} == {((0.0, scan.half), 0)}
    assert all(e.accuracy < scan.half for e in beyond)
    assert max(e.n for e in found.values()) < 4000


def test_what_was_not_asked_for_is_refused() -> None:
    scan, _ = adaptive(1000)
    with pytest.raises(ValueError, match="not what was asked for"):
        scan.update("flat", 0.9, torch.ones(5, dtype=torch.bool))
    with pytest.raises(ValueError, match="not what was asked for"):
        scan.update("flat", 0.2, torch.ones(96, dtype=torch.bool))
    for place, n, changed in (("none", 96, [0] * 3), ("flat", 95, [0] * 3), ("flat", 96, [0] * 2)):
        with pytest.raises(ValueError, match="is not of this scan"):
            scan.restore(place, 0.9, n, changed)
    with pytest.raises(ValueError, match="is not of this scan"):
        scan.exact("flat", 0.15, 0.5)
    with pytest.raises(ValueError, match="more changes than images"):
        scan.restore("flat", 0.9, 96, [96, 1, 0])
    for wrong in ({"points": 0}, {"points": float("nan")}, {"confidence": 1.0}):
        with pytest.raises(ValueError, match="makes no sense"):
            Precise(**wrong)  # type: ignore[arg-type]


@given(some.data())
def test_a_proportion_is_never_surer_than_it_can_be(data: some.DataObject) -> None:
    total = data.draw(some.integers(1, 5000))
    n = data.draw(some.integers(0, total))
    hits = data.draw(some.integers(0, n))
    share, low, high = proportion(hits, n, total, 2.24)
    assert hits / total - 1e-12 <= low <= share <= high <= 1 - (n - hits) / total + 1e-12
    assert (high - low > 0) == (n < total)


def test_intervals_join_by_square_and_add() -> None:
    value, low, high = change([10, 0, 5], [100, 100, 50], [200, 700, 100], 1.96)
    assert value == pytest.approx(-0.2 * 0.1 + 0.1 * 0.1)
    a, b, c = proportion(10, 100, 200, 1.96), proportion(0, 100, 700, 1.96), proportion(5, 50, 100, 1.96)
    below = (0.2 * (a[2] - a[0])) ** 2 + (0.7 * b[2]) ** 2 + (0.1 * (c[0] - c[1])) ** 2
    assert (value - low) ** 2 == pytest.approx(below)
    assert high - value < value - low  # nothing was lost among those that could be lost only
    assert change([3, 2, 5], [200, 700, 100], [200, 700, 100], 9.0) == pytest.approx((0.0, 0.0, 0.0))


def test_close_and_wrong_images_come_sooner() -> None:
    right = torch.arange(1000) % 10 > 0
    margin = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    margin[11] = torch.nan
    kinds = strata(right, margin)
    assert torch.bincount(kinds).tolist() == [135, 765, 100]
    assert kinds[11] == 0  # undecided
    assert margin[(kinds == 0) & ~margin.isnan()].max() < margin[kinds == 1].min()
    first, again, other = (shuffled(kinds, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert sorted(first.tolist()) == list(range(1000))
    counts = [torch.bincount(kinds[order[:96]], minlength=3).tolist() for order in (first, other)]
    assert counts[0] == counts[1]  # fixed in advance, whatever the order
    assert counts[0][0] / 135 == pytest.approx(3 * counts[0][1] / 765, rel=0.1)


def test_looks_grow_and_end_with_all() -> None:
    assert looks(40) == (40,)
    assert looks(360) == (96, 144, 216, 324, 360)
    assert looks(5000)[-2:] == (3691, 5000)
