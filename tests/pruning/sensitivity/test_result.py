import json

import pytest

from pruning.sensitivity.result import Measured, Scan, ScanPoint


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
        ({"version": 2}, "valid at version: "),
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
