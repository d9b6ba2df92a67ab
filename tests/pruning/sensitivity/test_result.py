import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pruning.evaluate import wilson
from pruning.sensitivity import Estimate, Measured, Precise, Sample, Scan, ScanPoint


def point(key: str, ratio: float, accuracy: float, **changes: object) -> ScanPoint:
    fields = {"kept": 8 - int(8 * ratio), "size": 8, "loss": 0.5, "interval": (0.0, 1.0)} | changes
    return ScanPoint(key=key, ratio=ratio, accuracy=accuracy, **fields)  # type: ignore[arg-type]


def scan(*points: ScanPoint, **changes: object) -> Scan:
    fields: dict = {
        "model": "net",
        "task": "digits",
        "split": "validation",
        "granularity": "channel",
        "criterion": "l2",
        "seed": 0,
        "n": 100,
        "classes": 10,
        "keys": ("a", "b"),
        "ratios": (0.25, 0.5, 1.0),
        "dense": Measured(accuracy=0.9, interval=(0.8, 1.0), loss=0.1),
        "points": points,
    }
    return Scan(**fields | changes)


@pytest.fixture
def measured() -> Scan:
    return scan(
        point("a", 1.0, 0.1, loss=None),
        point("b", 1.0, 0.3),
        point("a", 0.25, 0.88),
        point("b", 0.25, 0.9),
        point("a", 0.5, 0.8),
        point("b", 0.5, 0.92),
    )


def test_json_round_trip(measured: Scan) -> None:
    assert Scan.from_json(measured.to_json()) == measured
    assert json.loads(measured.to_json())["points"][0]["loss"] is None


def test_curves_ascend(measured: Scan) -> None:
    assert [(p.ratio, p.accuracy) for p in measured.curve("a")] == [(0.25, 0.88), (0.5, 0.8), (1.0, 0.1)]
    assert scan().curve("b") == ()
    with pytest.raises(ValueError, match="'c' was not scanned"):
        measured.curve("c")


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ({}, 0.9),
        ({"a": 0.0, "unknown": 0.0}, 0.9),
        ({"a": 0.25}, 0.88),
        ({"a": 0.125}, 0.89),  # half way from the dense network to the first point
        ({"a": 0.375}, 0.84),
        ({"a": 0.25, "b": 0.5}, 0.9),  # -2 and +2 points
        ({"a": 0.5, "b": 0.75}, 0.9 - 0.1 - 0.29),
        ({"a": 1.0, "b": 1.0}, 0.1),  # not below chance
    ],
)
def test_predictions_add_the_losses(measured: Scan, ratios: dict, expected: float) -> None:
    assert measured.predict(ratios) == pytest.approx(expected)


def test_predictions_stay_in_bounds() -> None:
    found = scan(point("a", 0.5, 1.0), point("b", 0.5, 1.0))
    assert found.predict({"a": 0.5, "b": 0.5}) == 1.0
    assert found.predict({"a": 0.9}) == 1.0  # beyond the last measured ratio it stays
    bad = Measured(accuracy=0.05, interval=(0.0, 1.0), loss=3.0)
    assert scan(point("a", 0.5, 0.0), dense=bad).predict({"a": 0.5}) == 0.05


def test_no_prediction_without_a_curve() -> None:
    assert scan(point("a", 0.5, 0.8)).predict({"a": 0.5, "b": 0.1}) is None
    assert scan(point("a", 0.5, 0.8)).predict({"c": 0.1}) is None


def test_prunable_takes_the_last_ratio_before_the_loss_is_passed(measured: Scan) -> None:
    assert measured.prunable(0.0) == {"a": 0.0, "b": 0.5}
    assert measured.prunable(2.0) == {"a": 0.25, "b": 0.5}
    assert measured.prunable(9.9) == {"a": 0.25, "b": 0.5}
    assert measured.prunable(10.0) == {"a": 0.5, "b": 0.5}
    assert measured.prunable(100.0) == {"a": 1.0, "b": 1.0}
    dip = scan(point("a", 0.25, 0.5), point("a", 0.5, 0.9))
    assert dip.prunable(1.0) == {"a": 0.0, "b": 0.0}  # what lies behind a dip does not count


def test_complete_says_whether_all_was_measured(measured: Scan) -> None:
    assert measured.complete
    assert not scan(point("a", 0.5, 0.8)).complete


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": "many"}, "valid at n: "),
        ({"n": 0}, "valid at n: "),
        ({"dense": {"accuracy": 1.5, "interval": [0, 1], "loss": 0}}, "valid at dense > accuracy: "),
        ({"extra": 1}, "valid at extra: "),
        ({"version": 3}, "valid at version: "),
        ({"precise": {"points": 0}}, "valid at precise"),
        ({"keys": ["a"]}, "is not of this scan"),
        ({"ratios": [0.25]}, "is not of this scan"),
        ({"granularity": "hair"}, "valid at granularity: "),
    ],
)
def test_bad_json_gives_one_sentence(measured: Scan, change: dict, words: str) -> None:
    text = json.dumps(json.loads(measured.to_json()) | change)
    with pytest.raises(ValueError, match=words) as caught:
        Scan.from_json(text)
    assert "\n" not in str(caught.value)
    assert type(caught.value) is ValueError


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 5000, '{"n": 1e999}'])
def test_what_is_no_scan_gives_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="The scan is not valid at") as caught:
        Scan.from_json(text)
    assert "\n" not in str(caught.value)


def test_points_twice_or_too_large_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        scan(point("a", 0.5, 0.8), point("a", 0.5, 0.7))
    with pytest.raises(ValueError, match="more than there is"):
        scan(point("a", 0.5, 0.8, kept=9))


def partly(n: int = 40, **changes: object) -> Sample:
    fields = {"n": n, "bounds": (0.6, 0.9), "how": "partly", "settled": True, "changed": (3, 1, 2)} | changes
    return Sample(**fields)  # type: ignore[arg-type]


def test_files_of_version_1_are_exact_scans(measured: Scan) -> None:
    old = json.loads(measured.to_json())
    del old["precise"], old["dense"]["invalid"]
    old["version"] = 1
    for point in old["points"]:
        del point["sample"], point["invalid"]
    read = Scan.from_json(json.dumps(old))
    assert read == measured
    assert read.mode == "exact"
    assert {(p.how, p.bounds == (p.accuracy, p.accuracy), read.images_of(p)) for p in read.points} == {
        ("measured", True, 100)
    }
    assert json.loads(read.to_json())["version"] == 2


shares = some.floats(0, 1)
samples = some.builds(
    lambda n, ends, how, settled, changed: Sample(
        n=n, bounds=(min(ends), max(ends)), how=how, settled=settled, changed=changed
    ),
    some.integers(0, 100),
    some.tuples(shares, shares),
    some.sampled_from(["partly", "between", "beyond"]),
    some.booleans(),
    some.lists(some.integers(0, 30), max_size=3).map(tuple),
)


@given(
    some.none() | some.builds(Precise, some.floats(0.1, 50), some.floats(0.5, 0.999), some.booleans()),
    some.lists(some.tuples(some.none() | samples, shares, some.integers(0, 100)), max_size=3),
)
def test_any_scan_survives_json(precise: Precise | None, found: list) -> None:
    points = []
    for (sample, share, invalid), ratio in zip(found, (0.25, 0.5, 1.0), strict=False):
        sample = sample if precise else None
        low, high = sample.bounds if sample else (0.0, 1.0)
        accuracy = min(max(low + share * (high - low), low), high)
        points.append(point("a", ratio, accuracy, sample=sample, invalid=invalid))
    whole = scan(*points, precise=precise)
    assert Scan.from_json(whole.to_json()) == whole


def test_open_points_do_not_complete_a_scan(measured: Scan) -> None:
    *known, last = measured.points
    open_ = last.model_copy(update={"sample": partly(settled=False, bounds=(0.8, 1.0))})
    assert not scan(*known, open_, precise=Precise()).complete
    settled = last.model_copy(update={"sample": partly(bounds=(0.8, 1.0))})
    assert scan(*known, settled, precise=Precise()).complete


def test_effort_counts_each_network_once() -> None:
    points = (
        point("a", 0.25, 0.9, kept=8),  # nothing was removed: the dense network
        point("a", 0.5, 0.8, kept=4, sample=partly(40)),
        point("a", 1.0, 0.8, kept=4, sample=partly(40)),
        point("b", 0.5, 0.7, kept=3),
        point("b", 1.0, 0.7, kept=2, sample=partly(0, how="between")),
    )
    assert scan(*points, precise=Precise()).effort == (140, 300)
    assert scan().effort == (0, 0)


def test_estimates_become_points() -> None:
    about = {"key": "a", "ratio": 0.5, "kept": 4, "size": 8, "total": 1000}
    exact = Estimate(0.8, (0.8, 0.8), 1000, (), "measured", True)
    measured = ScanPoint.estimated(exact, **about, loss=0.5, invalid=2)  # type: ignore[arg-type]
    assert measured.interval == wilson(800, 1000)
    assert (measured.sample, measured.loss, measured.invalid) == (None, 0.5, 2)
    part = Estimate(0.8, (0.79, 0.81), 200, (1, 2, 3), "partly", True)
    found = ScanPoint.estimated(part, **about)  # type: ignore[arg-type]
    assert found.bounds == (0.79, 0.81)
    assert found.interval == (wilson(790, 1000)[0], wilson(810, 1000)[1])
    assert found.sample == Sample(n=200, bounds=(0.79, 0.81), how="partly", settled=True, changed=(1, 2, 3))
    assert (found.how, found.loss) == ("partly", None)


def test_samples_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="other images"):
        scan(point("a", 0.5, 0.8, sample=partly(101)), precise=Precise())
    with pytest.raises(ValueError, match="other images"):
        scan(point("a", 0.5, 0.8, sample=partly()))  # an exact scan has none
    with pytest.raises(ValueError, match="outside its own bounds"):
        scan(point("a", 0.5, 0.5, sample=partly()), precise=Precise())
