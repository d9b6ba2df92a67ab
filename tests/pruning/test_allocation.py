from itertools import pairwise
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import EXAMPLE, tiny

from pruning.allocation import (
    ALLOCATIONS,
    Evidence,
    allocate,
    erdos_renyi_kernel,
    from_sensitivity,
    global_threshold,
    reach,
    share_removed,
    uniform,
)
from pruning.cost import CostModel
from pruning.criteria import score_groups
from pruning.groups import find_structure
from pruning.plan import kept_count
from pruning.sensitivity import Scan, ScanPoint

SIZES = {"a": 4, "b": 6, "c": 10}


def make_scan(curves: dict[str, dict[float, float]], dense: float = 0.9) -> Scan:
    """A scan with these accuracies: key -> ratio -> accuracy."""
    measured = {"interval": (0.0, 1.0), "loss": 1.0}
    points = tuple(
        ScanPoint(key=key, ratio=ratio, kept=1, size=SIZES[key], accuracy=accuracy, **measured)
        for key, curve in curves.items()
        for ratio, accuracy in curve.items()
    )
    return Scan(
        model=None,
        task="fake",
        split="validation",
        granularity="channel",
        criterion="l2",
        seed=0,
        n=100,
        classes=3,
        keys=tuple(curves),
        ratios=tuple(sorted({ratio for curve in curves.values() for ratio in curve})),
        dense={"accuracy": dense, **measured},
        points=points,
    )


@pytest.fixture
def evidence() -> Evidence:
    generator = torch.Generator().manual_seed(0)
    return Evidence(
        sizes=SIZES,
        scores={key: torch.rand(size, generator=generator) for key, size in SIZES.items()},
        scan=make_scan(
            {
                "a": {0.25: 0.9, 0.5: 0.8, 0.75: 0.4},
                "b": {0.25: 0.91, 0.5: 0.7, 0.75: 0.85},
                "c": {0.25: 0.89, 0.5: 0.88, 0.75: 0.87},
            }
        ),
        shapes={"a": (2, 2), "b": (2, 3), "c": (5, 2)},
    )


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_every_allocation_keeps_the_contract(name: str, evidence: Evidence) -> None:
    entry = ALLOCATIONS[name]
    assert (entry.name, bool(entry.label), "arXiv:" in entry.source) == (name, True, True)
    assert len(entry.description) > 80
    before = {key: scores.clone() for key, scores in evidence.scores.items()}
    family = entry.family(evidence)
    steps = [family(level / 200) for level in range(201)]
    for lower, higher in pairwise(steps):
        assert list(higher) == list(SIZES)
        assert all(0 <= lower[key] <= higher[key] + 1e-12 <= 1 + 1e-9 for key in SIZES)
    assert [entry.family(evidence)(level / 200) for level in range(201)] == steps
    assert all(torch.equal(before[key], scores) for key, scores in evidence.scores.items())
    assert all(ratio == pytest.approx(0, abs=0.26) for ratio in steps[0].values())
    found = allocate(name, 0.4, evidence)
    assert 0.4 - 1e-9 <= found.removed <= 0.46
    assert sum(SIZES[k] * r for k, r in found.ratios.items()) / 20 == pytest.approx(found.removed)


def test_uniform_reaches_a_share_of_units_exactly(evidence: Evidence) -> None:
    assert allocate("uniform", 0.3, evidence).ratios == {"a": 0.3, "b": 0.3, "c": 0.3}
    assert allocate("uniform", 0.0, evidence).ratios == {"a": 0, "b": 0, "c": 0}
    assert allocate("uniform", 1.0, evidence).ratios == {"a": 1, "b": 1, "c": 1}


def test_global_threshold_takes_the_lowest_scores_wherever_they_are() -> None:
    scores = {"a": torch.tensor([5.0, 1, 9, 2]), "b": torch.tensor([[3.0, 8], [7, 6]])}
    family = global_threshold(Evidence(sizes={"a": 4, "b": 4}, scores=scores))
    assert family(3 / 8) == {"a": 2 / 4, "b": 1 / 4}
    assert family(5 / 8) == {"a": 3 / 4, "b": 2 / 4}
    assert family(1.0) == {"a": 3 / 4, "b": 3 / 4}  # one of each always stays


def test_global_threshold_counts_exactly_among_ties() -> None:
    scores = {"a": torch.zeros(4), "b": torch.zeros(6), "c": torch.ones(10)}
    family = global_threshold(Evidence(sizes=SIZES, scores=scores, minimum={"b": 3, "c": 0}))
    removed = [{k: round(r * SIZES[k]) for k, r in family(n / 20).items()} for n in range(21)]
    assert [sum(counts.values()) for counts in removed] == [*range(17), 16, 16, 16, 16]
    assert removed[5] == {"a": 3, "b": 2, "c": 0}
    assert removed[20] == {"a": 3, "b": 3, "c": 10}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=9), min_size=1, max_size=4),
    st.floats(0, 1),
)
def test_global_threshold_never_prefers_a_higher_score(numbers: list[list[float]], level: float) -> None:
    scores = {str(i): torch.tensor(part) for i, part in enumerate(numbers)}
    sizes = {key: len(part) for key, part in scores.items()}
    ratios = global_threshold(Evidence(sizes, scores))(level)
    gone, stays = [], []
    for key, part in scores.items():
        count = round(ratios[key] * sizes[key])
        ordered = part.sort().values.tolist()
        gone += ordered[:count]
        stays += ordered[count : sizes[key] - 1]  # the last one may not go
        assert count == sizes[key] - kept_count(sizes[key], ratios[key])  # the plan counts the same
    assert not gone or not stays or max(gone) <= min(stays)


def test_from_sensitivity_follows_the_curves(evidence: Evidence) -> None:
    family = from_sensitivity(evidence)
    assert family(0.0) == {"a": 0.25, "b": pytest.approx(0.25), "c": 0}  # what costs nothing goes
    found = family(0.1)
    assert found["a"] == pytest.approx(0.5)
    assert found["b"] == pytest.approx(0.25 + 0.25 * 0.1 / 0.2)  # half way down to 0.7
    assert found["c"] == 0.75  # never beyond what was measured
    assert family(0.15)["b"] < 0.5  # the recovery at 0.75 does not count
    assert family(1.0) == {"a": 0.75, "b": 0.75, "c": 0.75}


def test_from_sensitivity_agrees_with_the_scan_at_measured_losses(evidence: Evidence) -> None:
    assert evidence.scan is not None
    for points in (0.5, 1, 2.5, 10, 25, 60):
        measured = evidence.scan.prunable(points)
        between = from_sensitivity(evidence)(points / 100)
        for key in SIZES:
            assert measured[key] <= between[key] + 1e-9
            assert between[key] < measured[key] + 0.25 + 1e-9  # within the next step of the grid


def test_a_target_beyond_the_plateau_is_met_between_the_measured_ratios() -> None:
    # Nothing is lost up to 0.5: a level of 0 alone removes half of everything.
    scan = make_scan({key: {0.5: 0.9, 1.0: 0.1} for key in SIZES})
    found = allocate("from_sensitivity", 0.2, Evidence(sizes=SIZES, scan=scan))
    assert found.level == 0
    assert found.removed == pytest.approx(0.2, abs=1e-3)
    assert found.removed >= 0.2


def test_erk_meets_the_level_exactly_and_never_exceeds_a_layer() -> None:
    shapes = {"stem": (16, 3, 3, 3), "wide": (256, 256, 3, 3), "head": (10, 256)}
    sizes = {key: prod(shape) for key, shape in shapes.items()}
    family = erdos_renyi_kernel(Evidence(sizes=sizes, shapes=shapes))
    for level in (0.1, 0.5, 0.9, 0.99):
        ratios = family(level)
        removed = sum(ratios[key] * size for key, size in sizes.items()) / sum(sizes.values())
        assert removed == pytest.approx(level)
    assert family(0.5)["stem"] == 0  # would need more than all of its weights
    ratios = family(0.995)
    density = {key: (1 - ratio) * sizes[key] / sum(shapes[key]) for key, ratio in ratios.items()}
    assert density["wide"] == pytest.approx(
        density["head"]
    )  # weights kept in proportion to n_in + n_out + ...


@pytest.mark.parametrize("multiple_of", [1, 4])
@pytest.mark.parametrize("name", ["uniform", "global_threshold"])
def test_a_share_of_parameters_is_really_reached(name: str, multiple_of: int) -> None:
    module = tiny("residual")
    structure = find_structure(module, EXAMPLE)
    cost = CostModel(module, EXAMPLE, structure)
    sizes = {group.id: group.size for group in structure.groups}

    def parameters(ratios: dict[str, float]) -> int:
        kept = {key: kept_count(sizes[key], ratio, multiple_of) for key, ratio in ratios.items()}
        return cost.cost(kept).parameters

    evidence = Evidence(sizes=sizes, scores=score_groups(module, structure.groups, "lamp"))
    dense = sum(p.numel() for p in module.parameters())
    for target in (0.1, 0.3, 0.5, 0.65):
        found = allocate(name, target, evidence, share_removed(parameters))
        assert found.removed == pytest.approx(1 - parameters(found.ratios) / dense)
        assert found.removed >= target
        milder = {key: max(ratio - 1e-3, 0) for key, ratio in found.ratios.items()}
        assert 1 - parameters(milder) / dense < target  # nothing lower would do


def test_what_cannot_be_reached_is_told_with_what_can() -> None:
    family = uniform(Evidence(sizes=SIZES))
    with pytest.raises(ValueError, match=r"At most 40.0 % can be removed from what is selected"):
        reach(family, 0.5, lambda ratios: 0.4 * ratios["a"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        reach(family, 1.5, lambda ratios: 0.0)


def test_missing_evidence_is_told_in_a_sentence(evidence: Evidence) -> None:
    with pytest.raises(ValueError, match="There is no allocation 'magic'"):
        allocate("magic", 0.5, evidence)
    with pytest.raises(ValueError, match="choose at least one layer"):
        allocate("uniform", 0.5, Evidence(sizes={}))
    for name, entry in ALLOCATIONS.items():
        for need in entry.needs:
            with pytest.raises(ValueError, match=f"needs {need}"):
                allocate(name, 0.5, Evidence(sizes=SIZES))
    more = {**SIZES, "d": 3}
    with pytest.raises(ValueError, match="no scores of 'd'"):
        global_threshold(Evidence(sizes=more, scores=evidence.scores))
    with pytest.raises(ValueError, match="no points of 'd'"):
        from_sensitivity(Evidence(sizes=more, scan=evidence.scan))
    with pytest.raises(ValueError, match="for layers only"):
        erdos_renyi_kernel(Evidence(sizes=more, shapes=evidence.shapes))
