"""What the rows of runs say before they begin."""

from __future__ import annotations

from pruning.history import About
from pruning.models import LoadedModel
from pruning.recipe import Recipe
from pruning.recover.settings import Recovery
from pruning.runs.study import StudySettings, cells
from pruning.store import weights_digest

MIXED = "mixed"
Settings = Recovery | StudySettings


def about_run(
    loaded: LoadedModel, settings: Settings, *, owner: str = "", title: str = "", device: str = "cpu"
) -> About:
    """A row's beginning.

    Args:
        loaded: the dense network.
        settings: of a fine-tuning or a study.
        owner, device: as of `About`.
        title: made from the settings if empty.
    """
    about = _study(settings) if isinstance(settings, StudySettings) else _fine_tuning(settings)
    known = {
        "owner": owner,
        "device": device,
        "model": loaded.name,
        "weights": weights_digest(loaded.module),
        "task": loaded.task,
        "digest": settings.digest,
    }
    return About.model_validate({**about.model_dump(), **known, "title": title or about.title})


def _fine_tuning(settings: Recovery) -> About:
    rules = list(settings.recipe.rules.values())
    return About(
        kind="fine-tuning",
        title=_title(settings),
        criterion=one_of([rule.criterion for rule in rules]),
        granularity=one_of([rule.granularity for rule in rules]),
        schedule=settings.pruning.schedule if rules else "",
        ratio=ratio_of(settings.recipe),
        seed=settings.fit.seed,
    )


def _study(settings: StudySettings) -> About:
    tuned = f", with {settings.recovery.pruning.schedule} fine-tuning" if settings.recovery else ""
    count = len(cells(settings))
    return About(
        kind="study",
        title=f"Study of {', '.join(settings.criteria)}{tuned}: {count} cells",
        criterion=one_of(list(settings.criteria)),
        granularity=one_of(list(settings.granularities)),
        schedule=settings.recovery.pruning.schedule if settings.recovery else "",
        ratio=settings.ratios[0] if len(settings.ratios) == 1 else None,
    )


def _title(settings: Recovery) -> str:
    """A fine-tuning in a few words."""
    rules = list(settings.recipe.rules.values())
    epochs = f"{settings.epochs} epoch{'s' * (settings.epochs != 1)}"
    if not rules:
        return f"training only, {epochs}"
    ratios = sorted(rule.ratio for rule in rules)
    low, high = f"{ratios[0]:.3g}", f"{ratios[-1]:.3g}"
    ratio = low if low == high else f"{low} to {high}"
    what = one_of([rule.criterion for rule in rules]), one_of([rule.granularity for rule in rules])
    taught = ", distilled" if settings.teach else ""
    return f"{', '.join(what)}, {ratio}, {settings.pruning.schedule}{taught}, {epochs}"


def one_of(names: list[str]) -> str:
    """The one name that all have; MIXED if there are several, "" if there is none."""
    different = set(names)
    return different.pop() if len(different) == 1 else MIXED if different else ""


def ratio_of(recipe: Recipe) -> float | None:
    """The ratio of all rules, if they have one."""
    ratios = {rule.ratio for rule in recipe.rules.values()}
    return ratios.pop() if len(ratios) == 1 else None
