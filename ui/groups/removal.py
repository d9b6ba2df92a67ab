"""What a ratio takes from every layer of a group: the coupled matrices, and the exact cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st
import torch
from torch import Tensor

import pruning
from pruning import Group
from pruning.groups.choices import Choices
from pruning.groups.panels import CELLS, Panel, matrices, vectors
from pruning.masks import keep_by_rank, named_tensors
from pruning.plan import kept_count, multiple_for
from ui import cache, charts, shell
from ui.figures import removal as figures
from ui.figures.words import percent
from ui.groups import words
from ui.state import Session

FALLBACK = "l2"
START = 25  # percent, where the Prune page has set no ratio
SIDE = 4  # matrices of a row on one page


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores of a group's units, and which criterion they are by, if need be with the reason.

    Args:
        note: why it is not the criterion of the Prune page; "" if it is.
    """

    criterion: str
    scores: Tensor
    note: str = ""


def ranking(session: Session, choices: Choices, group: Group) -> Ranking:
    """The scores by the Prune page's criterion, or by the L2 norm where that cannot be had."""
    name, seed = session.criterion, session.seed
    if not cache.criterion_fits(name, "channel"):
        note = f"{pruning.CRITERIA[name].label} ranks single weights"
    elif why := cache.unscorable(session.model_id, "channel", name, choices).get(group.id):
        note = why.removesuffix(".")
    else:
        try:
            return Ranking(name, cache.scores(session.model_id, "channel", name, seed, choices)[group.id])
        except pruning.MissingData:
            note = f"{pruning.CRITERIA[name].label} needs data that are not there"
    found = cache.scores(session.model_id, "channel", FALLBACK, seed, choices)
    return Ranking(FALLBACK, found[group.id], f"{note}, so the units are ranked by their L2 norm here.")


def weakest(session: Session, choices: Choices, group: Group) -> int:
    """The unit with the lowest score."""
    return int(ranking(session, choices, group).scores.argmin())


def section(session: Session, choices: Choices, group: Group) -> None:
    """The controls and, as they move, the picture and the line under them."""
    shell.section(
        "What goes",
        help="Rows of a weight are its outputs, columns its inputs; of a convolution each cell is the norm "
        "of a kernel. What a unit owns goes everywhere at once.",
    )
    st.fragment(_removal)(session, choices, group)


def _removal(session: Session, choices: Choices, group: Group) -> None:
    found = ranking(session, choices, group)
    tensors = named_tensors(cache.model(session.model_id).module)
    look = _controls(session, choices, group, found, _weights(group, tensors))
    gone = _gone(session, group, found, look)
    st.markdown(line(session.model_id, choices, group, group.size - int(gone.sum())))
    order = found.scores.argsort(stable=True) if look.by_score else torch.arange(group.size)
    rows = layout(group, tensors, order, look.page)
    criterion, one = pruning.CRITERIA[found.criterion], words.unit(group)
    units = figures.Units(one, found.scores.numpy(), gone.numpy(), look.lit, criterion.label)
    title = f"The coupled weights: what goes is dark, {one} {look.lit} is outlined"
    figure, data = figures.matrices(title, rows, units, charts.colours())
    charts.show(figure, data, key="coupled", name=f"{session.model} {group.id} removal", linked=True)
    st.caption(_notes(rows, found), help=f"{criterion.description} Source: {criterion.source}.")


@dataclass(frozen=True)
class Look:
    """What the controls say.

    Args:
        ratio: share of the units that would go.
        decided: whether that is the Prune page's own ratio of this group.
        lit: the unit to outline.
        by_score: whether the weakest units are drawn first.
        page: of the matrices.
    """

    ratio: float
    decided: bool
    lit: int
    by_score: bool
    page: int


def _controls(
    session: Session, choices: Choices, group: Group, found: Ranking, weights: tuple[int, int]
) -> Look:
    fits = session.granularity == "channel" and choices == session.choices
    own = session.ratios.get(group.id, 0.0) if fits else 0.0
    place = f"{session.model}-{group.id}-{choices.heads}-{choices.norms}"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        percent = st.slider(
            "Pruning ratio to look at",
            0,
            100,
            round(100 * own) if own else START,
            format="%d%%",
            key=f"group-ratio-{place}-{own:.4f}",
            width=340,
            help=f"It starts at the Prune page's ratio for this group (or {START} %) and changes nothing "
            "there. Units are ranked within the group.",
        )
        lit = st.number_input(
            f"Follow {words.unit(group)}",
            0,
            group.size - 1,
            int(found.scores.argmin()),
            key=f"group-unit-{place}-{found.criterion}",
            width=150,
            help="It is outlined in every matrix; it starts at the weakest. Pointing at a row or column "
            "lights up all that belongs to its unit.",
        )
        by_score = st.toggle(
            "Weakest first",
            key="group-sorted",
            persist_state="session",
            help="Draw rows and columns in the order of their scores instead of as they are stored.",
        )
        page = _page(weights, place)
    decided = bool(own) and percent == round(100 * own)
    return Look(own if decided else percent / 100, decided, int(lit), by_score, page)


def _gone(session: Session, group: Group, found: Ranking, look: Look) -> Tensor:
    """(size,) bool: the units that go, those switched off by hand if it is their ratio."""
    by_hand = session.draft.removed.get(group.id) if look.decided else None
    if by_hand:
        return torch.zeros(group.size, dtype=torch.bool).index_fill_(0, torch.tensor(by_hand), True)
    kept = kept_count(group.size, look.ratio, multiple_for(group, session.multiple_of), group.minimum)
    return ~keep_by_rank(found.scores, kept)


def _page(weights: tuple[int, int], place: str) -> int:
    """Which of the matrices to draw, where there are too many for one picture."""
    most = max(weights)
    if most <= SIDE:
        return 0
    ends = [(start + 1, min(start + SIDE, most)) for start in range(0, most, SIDE)]
    spans = [f"{first} to {last}" if last > first else f"{last}" for first, last in ends]
    shown = st.segmented_control(
        "Matrices",
        spans,
        default=spans[0],
        required=True,
        key=f"group-page-{place}",
        help=f"{weights[0]} weights make the units and {weights[1]} read them: {SIDE} of each are drawn.",
    )
    return spans.index(str(shown))


def line(model_id: str, choices: Choices, group: Group, kept: int) -> str:
    """What goes, exactly, in a sentence."""
    costs = cache.cost_model(model_id, choices)
    dense, small = costs.dense, costs.cost({group.id: kept})
    parameters, macs = dense.parameters - small.parameters, dense.macs - small.macs
    share = macs / dense.macs if dense.macs else 0.0
    gone = group.size - kept
    return (
        f"Removing **{gone:,} of {words.units(group)}** takes **{parameters:,} parameters** "
        f"({percent(parameters / dense.parameters)}) and **{shell.count(macs)} MACs** "
        f"({percent(share)}): exact."
    )


def layout(group: Group, tensors: Mapping[str, Tensor], order: Tensor, page: int) -> list[list[Panel]]:
    """The panels of a page in rows: what makes the units, with biases and norms, then what reads them."""
    panels = matrices(group, tensors, order)
    drawn = slice(page * SIDE, (page + 1) * SIDE)
    makers = [panel for panel in panels if panel.role != "consumer"][drawn]
    readers = [panel for panel in panels if panel.role == "consumer"][drawn]
    beside = vectors(group, tensors, order)
    narrow = [beside] if beside else []
    if len(makers) + len(readers) < SIDE:
        return [[*makers, *readers, *narrow]]
    return [row for row in ([*makers, *narrow], readers) if row]


def _weights(group: Group, tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """How many weights make the units, and how many read them."""
    readers = [m.role == "consumer" for m in group.members if tensors[m.parameter].dim() > 1 and m.dim < 2]
    return len(readers) - sum(readers), sum(readers)


def _notes(rows: list[list[Panel]], found: Ranking) -> str:
    pooled = any(panel.pooled for row in rows for panel in row)
    parts = [
        found.note or f"Ranked by {pruning.CRITERIA[found.criterion].label}, as on the Prune page.",
        "Each matrix has its own scale, from nothing to its strongest weights.",
        f"Larger ones are averaged to {CELLS} cells a side." if pooled else "",
    ]
    return shell.literal(" ".join(part for part in parts if part))
