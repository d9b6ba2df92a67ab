"""What the rows of runs say of themselves, whoever keeps them: a page, a worker, the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pruning.compress.settings import Compression
from pruning.criteria import CRITERIA
from pruning.history import About, Figures, History, Kind, Measured
from pruning.history.figures import MOST_KEYS
from pruning.models import MODELS, LoadedModel
from pruning.plan import Plan
from pruning.recipe import Recipe
from pruning.recover.settings import Recovery
from pruning.runs.study import StudySettings, cells
from pruning.store import digest, weights_digest

if TYPE_CHECKING:
    from pruning.sensitivity import Scan

MIXED = "mixed"
Settings = Recovery | StudySettings | Compression


@dataclass(frozen=True)
class Subject:
    """The network that was measured.

    Args:
        model: architecture name in `MODELS`.
        weights: digest of its weights, dense.
        device: that it ran on.
    """

    model: str
    weights: str
    device: str = "cpu"


def about_recipe(kind: Kind, subject: Subject, recipe: Recipe, split: str) -> About:
    """The row of a network pruned at once by a recipe, and measured.

    Args:
        kind: "evaluation" or "export".
        subject: the dense network.
        recipe: what was decided.
        split: of the data that was measured on.
    """
    rules = list(recipe.rules.values())
    return About(
        kind=kind,
        title=title_of(recipe),
        model=subject.model,
        weights=subject.weights,
        device=subject.device,
        task=MODELS[subject.model].task,
        split=split,
        digest=recipe.digest,
        criterion=one_of([rule.criterion for rule in rules]),
        granularity=one_of([rule.granularity for rule in rules]),
        ratio=ratio_of(recipe),
        seed=recipe.seed,
    )


def keep_scan(history: History, subject: Subject, scan: Scan) -> str:
    """Keep a complete scan. The same scan is kept once.

    Returns:
        The row's id.
    """
    settings = {
        "granularity": scan.granularity,
        "criterion": scan.criterion,
        "ratios": list(scan.ratios),
        "seed": scan.seed,
        "images": scan.n,
        "heads": scan.choices.heads,
        "norms": scan.choices.norms,
    }
    name = digest(subject.weights, scan.task, scan.split, settings)
    about = About(
        kind="scan",
        title=f"Sensitivity by {_criterion(scan.criterion)}, {len(scan.keys):,} parts",
        model=subject.model,
        weights=subject.weights,
        device=subject.device,
        task=scan.task,
        split=scan.split,
        digest=name,
        criterion=scan.criterion,
        granularity=scan.granularity,
        seed=scan.seed,
    )
    low, high = scan.dense.interval
    dense = Measured(accuracy=scan.dense.accuracy, low=low, high=high, n=scan.n, loss=scan.dense.loss)
    figures = Figures(dense=dense, points=len(scan.points), total=len(scan.points))
    return history.add(about, settings=json.dumps(settings, indent=2), figures=figures, same=name)


def about_run(
    loaded: LoadedModel, settings: Settings, *, owner: str = "", title: str = "", device: str = "cpu"
) -> About:
    """A row's beginning.

    Args:
        loaded: the dense network.
        settings: of a fine-tuning, a study or a compression.
        owner, device: as of `About`.
        title: made from the settings if empty.
    """
    if isinstance(settings, StudySettings):
        about = _study(settings)
    else:
        about = _compression(settings) if isinstance(settings, Compression) else _fine_tuning(settings)
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


def _compression(settings: Compression) -> About:
    recipe = settings.prune.recipe if settings.prune else Recipe()
    rules = list(recipe.rules.values())
    said = ["pruned"] if rules else []
    if settings.share:
        bits = sorted(set(settings.share.bits.values()))
        width = f"{bits[0]}" if len(bits) == 1 else f"{bits[0]} to {bits[-1]}" if bits else "no"
        said.append(f"{settings.share.method}, {width} bit")
    said += ["trained"] if settings.tune else []
    said += ["Huffman coded"] if settings.packing.huffman else []
    return About(
        kind="compression",
        title=", ".join(said) or "coded",
        criterion=one_of([rule.criterion for rule in rules]),
        granularity=one_of([rule.granularity for rule in rules]),
        schedule=settings.prune.pruning.schedule if settings.prune and rules else "",
        ratio=ratio_of(recipe),
        seed=settings.share.seed if settings.share else None,
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


def title_of(recipe: Recipe) -> str:
    """A recipe in a few words: "L2 norm, channel, 20 to 50 %, 5 parts"."""
    rules = list(recipe.rules.values())
    low, high = (100 * end(rule.ratio for rule in rules) for end in (min, max))
    ratio = f"{low:.3g} %" if low == high else f"{low:.3g} to {high:.3g} %"
    how = one_of([_criterion(rule.criterion) for rule in rules]), one_of([rule.granularity for rule in rules])
    return f"{', '.join(how)}, {ratio}, {len(rules):,} part{'s' * (len(rules) != 1)}"


def removed_of(plan: Plan) -> dict[str, float]:
    """Key -> share of its units or weights that go, of as many keys as a row keeps."""
    return {entry.key: 1 - entry.kept / entry.size for entry in plan.entries[:MOST_KEYS]}


def _criterion(name: str) -> str:
    return CRITERIA[name].label if name in CRITERIA else name


def one_of(names: list[str]) -> str:
    """The one name that all have; MIXED if there are several, "" if there is none."""
    different = set(names)
    return different.pop() if len(different) == 1 else MIXED if different else ""


def ratio_of(recipe: Recipe) -> float | None:
    """The ratio of all rules, if they have one."""
    ratios = {rule.ratio for rule in recipe.rules.values()}
    return ratios.pop() if len(ratios) == 1 else None
