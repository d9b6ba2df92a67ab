"""The model card that goes with an exported network: what was measured, on what, and how to use the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import TYPE_CHECKING

from pruning.checkpoint.code import program_code
from pruning.checkpoint.text import GRADES, RESULTS, size_text

if TYPE_CHECKING:
    from pruning.checkpoint.check import SelfCheck
    from pruning.cost import Cost
    from pruning.evaluate import Report
    from pruning.latency import Timing
    from pruning.plan import Plan
    from pruning.recipe import Recipe

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Side:
    """One of the two networks that a card compares.

    Args:
        cost: counted exactly.
        file_bytes: size of its file.
        report: accuracy, measured on test images; None if there was no data.
    """

    cost: Cost
    file_bytes: int
    report: Report | None = None


def model_card(
    *,
    architecture: str,
    recipe: Recipe,
    plan: Plan,
    dense: Side,
    pruned: Side,
    timing: Timing | None = None,
    check: SelfCheck | None = None,
    graph: bool = False,
    file_name: str,
    program_name: str = "",
    data: str = "",
    provenance: str = "",
    made: date | None = None,
) -> str:
    """A card in Markdown, every figure of it as it was measured; what was not measured says so.

    Args:
        architecture: name of the dense network.
        recipe: what was decided; the card ends with it.
        plan: what was removed.
        dense, pruned: the two networks' figures.
        timing: of the pruned network, measured in turns with the dense one; alone where nothing is pruned.
        check: of the exported file.
        graph: whether the pruned network is a graph of recorded operations, see `is_graph`.
        file_name: of the checkpoint.
        program_name: of its `.pt2` program, which was loaded again and compared; "" if there is none.
        data: what the accuracy was measured on and where it comes from, in one sentence.
        provenance: where the dense network's weights come from, in a few words.
        made: date of the export; today if not given.
    Returns:
        The text of a README.md with the front matter that model hubs read.
    """
    title = _code(architecture or "network")
    parts = [
        "---\nlicense: apache-2.0\nlibrary_name: pytorch\ntags:\n- pruning\n---",
        f"# {title}, pruned",
        f"Made on {(made or date.today()).isoformat()} with Pruning Explorer."
        + (f" Dense weights: {_plain(provenance)}." if provenance else ""),
        _table(("", "dense", "pruned", "pruned / dense"), _figures(dense, pruned)),
        *_sentences(dense, pruned, timing, check, data),
        "## What was pruned",
        _table(("layer or group", "granularity", "criterion", "asked", "kept", "note"), _entries(plan)),
        _grade(plan),
        f"Result: {RESULTS[graph]}.",
        f"Scope {recipe.scope}, counts rounded up to a multiple of {recipe.multiple_of}, seed {recipe.seed}.",
        "## How to load it",
        _how_to_load(file_name),
        *([_how_to_run(program_name)] if program_name else []),
        "## Licence",
        "Apache-2.0, as the network it was made from, unless its weights were somebody else's.",
        "## Recipe",
        f"~~~~json\n{recipe.to_json()}\n~~~~",
    ]
    return "\n\n".join(parts) + "\n"


def _figures(dense: Side, pruned: Side) -> Iterable[Sequence[str]]:
    if dense.report and pruned.report:
        accuracies = (_accuracy(dense.report), _accuracy(pruned.report), "")
    else:
        accuracies = (NOT_MEASURED, NOT_MEASURED, "")
    yield ("accuracy (95 % interval)", *accuracies)
    counts = (
        ("parameters", dense.cost.parameters, pruned.cost.parameters),
        ("parameters that are not zero", dense.cost.nonzero, pruned.cost.nonzero),
        ("MACs (multiply-accumulates, one image)", dense.cost.macs, pruned.cost.macs),
    )
    for name, before, after in counts:
        yield (name, f"{before:,}", f"{after:,}", _ratio(after, before))
    sizes = (size_text(dense.file_bytes), size_text(pruned.file_bytes))
    yield ("file", *sizes, _ratio(pruned.file_bytes, dense.file_bytes))


def _sentences(
    dense: Side, pruned: Side, timing: Timing | None, check: SelfCheck | None, data: str
) -> Iterable[str]:
    if dense.report and pruned.report:
        yield _comparison(dense.report, pruned.report, data)
    yield _latency(timing) if timing else f"Latency: {NOT_MEASURED}."
    yield f"Self-check: {check}" if check else f"Self-check of the file: {NOT_MEASURED}."


def _comparison(dense: Report, pruned: Report, data: str) -> str:
    from pruning.evaluate import paired_difference

    change = paired_difference(dense, pruned)
    low, high = change.interval
    images = f"{pruned.n:,} of {pruned.total:,} {pruned.split} images"
    return (
        f"Accuracy was measured on {images}, a split that scans and tuning do not use."
        f"{f' {data}' if data else ''} "
        f"Pruned minus dense: {100 * change.value:+.2f} points (95 % interval {100 * low:+.2f} to "
        f"{100 * high:+.2f}); {change.lost:,} images lost, {change.gained:,} gained."
    )


def _latency(timing: Timing) -> str:
    own, base = timing, timing.baseline
    text = (
        f"Latency on {own.device}, batch {own.batch_size}, {own.threads} thread{'s' * (own.threads > 1)}, "
        f"{own.n:,} forwards{' of each in turns' if base else ''}: median {1000 * own.median:.3f} ms "
        f"(quartiles {1000 * own.q1:.3f} to {1000 * own.q3:.3f})"
    )
    if base is not None:
        text += f", dense {1000 * base.median:.3f} ms ({1000 * base.q1:.3f} to {1000 * base.q3:.3f})"
    if own.ratio is not None:
        text += f"; {own.ratio:.2f} times as fast"
    if own.ratio_interval is not None:
        text += f" (95 % interval {own.ratio_interval[0]:.2f} to {own.ratio_interval[1]:.2f})"
    return f"{text}.{f' {own.warning}' if own.warning else ''}"


def _entries(plan: Plan) -> Iterable[Sequence[str]]:
    for entry in plan.entries:
        kept = f"{entry.kept:,} of {entry.size:,}"
        asked = f"{entry.asked:.1%} off"
        yield (_code(entry.key), entry.spelled, _code(entry.criterion), asked, kept, entry.note)


def _grade(plan: Plan) -> str:
    choices = plan.structure.choices
    found = f" Groups were found with heads {choices.heads} and norms {choices.norms}."
    masked = "the dense one with zeros where something was removed"
    if plan.grade == "statistics":
        masked += ", its norms averaging over the channels that stay"
    return f"Grade: {GRADES[plan.grade]}. The pruned network answers like {masked}.{found}"


def _how_to_run(file_name: str) -> str:
    name = PurePath(file_name).name
    return (
        "Without any class, with torch alone:\n\n"
        f"~~~~python\n{program_code(name)}~~~~\n\n"
        "The `.pt2` was loaded again when it was written, and gave the same outputs bit for bit on the "
        "example input."
    )


def _how_to_load(file_name: str) -> str:
    name = PurePath(file_name).name
    code = f"~~~~python\nimport pruning\n\nnetwork = pruning.load_checkpoint({name!r}).module\n~~~~\n\n"
    if name.endswith(".prz"):
        return code + (
            "The file is a .prz: its tensors are coded, without loss, in as few bytes as possible. The "
            "reader that goes with it needs Python and numpy alone, and describes the format: run with the "
            "file's name, it writes all tensors into a .npz."
        )
    return code + (
        "The file is a plain .safetensors: its tensors carry the names of the network's own state dict in "
        "the pruned shapes (masked tensors of the sparse form excepted), so other programs can read them too."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _accuracy(report: Report) -> str:
    low, high = report.interval
    return f"{100 * report.accuracy:.2f} % ({100 * low:.2f} to {100 * high:.2f})"


def _ratio(after: int, before: int) -> str:
    return f"{after / before:.3f}" if before else ""


def _code(name: str) -> str:
    """A name as code; it may come from somebody's file, so it can neither end the code nor the line."""
    return f"`{''.join(c if c.isprintable() and c not in '`|' else '?' for c in name)}`"


def _plain(text: str) -> str:
    """Words on one line, without what Markdown or HTML would act upon."""
    return "".join(c if c.isprintable() and c not in "`*_[]<>|#\\" else "?" for c in text)
