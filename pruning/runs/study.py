"""A study: criteria compared at the same ratios on the same network and data, over several seeds.

Source: Blalock et al. 2020, "What is the state of neural network pruning?", arXiv:2003.03033: the same
network and data, several ratios, several seeds, random pruning as control, accuracy and cost both reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from pruning.compare.seeds import Spread, spread
from pruning.criteria import CRITERIA
from pruning.documents import FROZEN, read_json
from pruning.history import History, Run
from pruning.models import MODELS
from pruning.recipe import Granularity, Recipe, Scope
from pruning.recover.settings import Recovery
from pruning.sparsity import scored_as

CONTROL = "random"  # every study has it
DRAWN = frozenset({CONTROL})  # criteria that depend on the seed; all others always choose the same
MOST_CELLS = 400

_Name = Annotated[str, Field(min_length=1, max_length=64)]
_Ratio = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]
_Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


class StudySettings(BaseModel):
    """What a study compares: every criterion at every granularity, ratio and seed.

    Args:
        model: name of the network, which is the same for all cells, as are its weights and data.
        criteria: names of entries of `CRITERIA`; the control, "random", is added if it is missing.
        granularities: as in rules of a recipe.
        ratios: that are asked of every layer, group or all of them together, in (0, 1).
        seeds: of what is drawn: random scores, and in a fine-tuning the order and changes of images. Without
            fine-tuning other criteria always choose the same, as calibration images always come in the same
            order; they are measured once.
        scope: of the recipes.
        recovery: how each cell is fine-tuned, besides being measured without; its recipe and seed are
            replaced by the cell's. None = nothing is fine-tuned.
        version: of this file format.
    """

    model_config = FROZEN

    model: _Name
    criteria: Annotated[tuple[_Name, ...], Field(strict=False, min_length=1, max_length=32)]
    granularities: Annotated[tuple[Granularity, ...], Field(strict=False, min_length=1, max_length=16)]
    ratios: Annotated[tuple[_Ratio, ...], Field(strict=False, min_length=1, max_length=32)]
    seeds: Annotated[tuple[_Seed, ...], Field(strict=False, min_length=1, max_length=32)] = (0, 1, 2, 3, 4)
    scope: Scope = "layer"
    recovery: Recovery | None = None
    version: Literal[1] = 1

    @model_validator(mode="before")
    @classmethod
    def _with_control(cls, given: object) -> object:
        """The control comes last, and nothing twice."""
        if isinstance(given, dict):
            several = {
                name: _once(given[name]) for name in _SEVERAL if isinstance(given.get(name), list | tuple)
            }
            given = {**given, **several}
            if "criteria" in several:
                given["criteria"] = (*(name for name in several["criteria"] if name != CONTROL), CONTROL)
        return given

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _ = MODELS[self.model]
        for name in self.criteria:
            _ = CRITERIA[name]
        for granularity in self.granularities:
            if not any(fits(name, granularity) for name in self.criteria if name != CONTROL):
                raise ValueError(
                    f"None of the chosen criteria scores {granularity}; leave it out, or add one."
                )
        count = len(cells(self))
        if count > MOST_CELLS:
            raise ValueError(
                f"The study has {count:,} cells; at most {MOST_CELLS} are run. Choose fewer ratios or seeds."
            )
        return self

    def to_json(self) -> str:
        """These settings as indented JSON."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> StudySettings:
        """Read settings.

        Raises:
            ValueError: one sentence saying what is wrong and where.
        """
        return read_json(cls, text, "study", 4_000_000)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name these settings."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


_SEVERAL = ("criteria", "granularities", "ratios", "seeds")


@dataclass(frozen=True)
class Cell:
    """One measurement of a study.

    Args:
        criterion, granularity, ratio, seed: of its recipe.
        tuned: whether it is fine-tuned.
    """

    criterion: str
    granularity: str
    ratio: float
    seed: int
    tuned: bool

    @property
    def drawn(self) -> bool:
        """Whether another seed could give another result."""
        return self.tuned or self.criterion in DRAWN

    @property
    def title(self) -> str:
        """For the screen."""
        seed = f", seed {self.seed}" if self.drawn else ""
        tuned = ", fine-tuned" if self.tuned else ""
        return f"{self.criterion}, {self.granularity}, {self.ratio:.3g}{seed}{tuned}"

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name it within its study."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def recovery(self, settings: StudySettings, recipe: Recipe) -> Recovery:
        """How it is fine-tuned."""
        assert settings.recovery is not None
        fit = settings.recovery.fit.model_copy(update={"seed": self.seed})
        return settings.recovery.model_copy(update={"recipe": recipe, "fit": fit})


def cells(settings: StudySettings) -> tuple[Cell, ...]:
    """Everything that a study measures, in its order: a whole table for the first seed, then for the next.

    Criteria that cannot score a granularity are left out there. What does not depend on a seed is measured
    for the first one only.
    """
    return tuple(_cells(settings))


def _cells(settings: StudySettings) -> Iterator[Cell]:
    for seed in settings.seeds:
        for tuned in (False, True)[: 2 if settings.recovery else 1]:
            for granularity in settings.granularities:
                for criterion in settings.criteria:
                    for ratio in settings.ratios:
                        cell = Cell(criterion, granularity, ratio, seed, tuned)
                        if fits(criterion, granularity) and (cell.drawn or seed == settings.seeds[0]):
                            yield cell


def fits(criterion: str, granularity: str) -> bool:
    """Whether a criterion scores what a granularity removes."""
    return scored_as(granularity) in CRITERIA[criterion].granularities


@dataclass(frozen=True)
class Line:
    """What came of all seeds of one combination.

    Args:
        criterion, granularity, ratio, tuned: the combination.
        n: seeds that were measured.
        drawn: whether seeds make a difference; where not, one measurement is all, and its deviation is 0.
        validation, test: accuracy over the seeds; None if nothing was measured.
        change: test accuracy minus that of the dense network.
        nonzero, macs, file_bytes: of the networks that came out.
        ratio_of_times: dense latency / latency, above 1 = faster.
        failed: seeds that could not be measured.
        problem: why, of the first of them.
    """

    criterion: str
    granularity: str
    ratio: float
    tuned: bool
    n: int
    drawn: bool
    validation: Spread | None
    test: Spread | None
    change: Spread | None
    nonzero: Spread | None
    macs: Spread | None
    file_bytes: Spread | None
    ratio_of_times: Spread | None
    failed: int
    problem: str


def summary(history: History, study_id: str) -> list[Line]:
    """Mean and standard deviation over the seeds, for every combination of which something is known.

    Args:
        history: where the study's cells are.
        study_id: of its run.
    Returns:
        Ordered by granularity, whether fine-tuned, criterion (the control last) and ratio.
    """
    groups: dict[tuple[str, str, float, bool], list[Run]] = {}
    for run in history.runs(study=study_id, state=("done", "failed"), limit=MOST_CELLS):
        key = (run.criterion, run.granularity, run.ratio or 0.0, run.kind == "fine-tuning")
        groups.setdefault(key, []).append(run)
    ordered = sorted(groups, key=lambda key: (key[1], key[3], key[0] == CONTROL, key[0], key[2]))
    return [_line(*key, groups[key]) for key in ordered]


def _line(criterion: str, granularity: str, ratio: float, tuned: bool, runs: list[Run]) -> Line:
    done = [run.figures for run in runs if run.state == "done"]
    failed = [run for run in runs if run.state == "failed"]
    drawn = Cell(criterion, granularity, ratio, 0, tuned).drawn

    def over(values: list[float | None]) -> Spread | None:
        found = spread([value for value in values if value is not None])
        return found if found is None or drawn else Spread(found.mean, 0.0, found.n)

    return Line(
        criterion,
        granularity,
        ratio,
        tuned,
        n=len(done),
        drawn=drawn,
        validation=over([f.validation.accuracy if f.validation else None for f in done]),
        test=over([f.test.accuracy if f.test else None for f in done]),
        change=over(
            [f.test.accuracy - f.dense_test.accuracy if f.test and f.dense_test else None for f in done]
        ),
        nonzero=over([f.size.nonzero if f.size else None for f in done]),
        macs=over([f.size.macs if f.size else None for f in done]),
        file_bytes=over([f.size.file_bytes if f.size else None for f in done]),
        ratio_of_times=over([f.latency.ratio if f.latency else None for f in done]),
        failed=len(failed),
        problem=failed[0].error if failed else "",
    )


def _once(values: list[object] | tuple[object, ...]) -> tuple[object, ...]:
    """Each value once; what cannot be compared is left to the validation."""
    try:
        return tuple(dict.fromkeys(values))
    except TypeError:
        return tuple(values)
