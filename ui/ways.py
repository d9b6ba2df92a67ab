"""Where channels can be cut in several ways: which choices matter, and what is said of the result."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pruning import Recipe, is_graph
from pruning.checkpoint.text import GRADES, RESULTS
from pruning.groups.choices import DEFAULT, Choices, Heads, Norms
from pruning.groups.types import Structure
from ui import cache

HEADS: dict[Heads, str] = {"whole": "Whole", "inside": "Inside each"}
NORMS: dict[Norms, str] = {"exact": "Stays whole", "statistics": "May be pruned"}

HEADS_HELP = (
    "**Whole**: a unit is an attention head, and a head that goes is gone. **Inside each head**: a unit is "
    "the same channel of every head; all heads stay and become narrower."
)
NORMS_HELP = (
    "The residual stream is what all layers of a transformer add to, and LayerNorm averages over all of its "
    "channels. **Stays whole**: the smaller network answers exactly like this one with zeros where channels "
    "go. **May be pruned**: the averages are then taken over the channels that stay, so its answers differ "
    "from those of the network with zeros; every accuracy here is measured on the really smaller one."
)
ANEW = "Changing this starts without ratios, because the rows are others; Undo takes it back."

GRADE_HELP = {
    "exact": "The pruned network answers like the whole one with zeros where something was removed. This "
    "is checked on the example input and on noise, up to the rounding of sums, before it is handed out.",
    "statistics": "Norms of this network average over channels of which some are gone. The pruned network "
    "answers like the whole one with zeros whose norms average over the channels that stay; this is checked "
    "on the example input and on noise. Averages over fewer channels are other numbers: the answers are not "
    "those of the network with mere zeros, and the accuracy shown is of the really smaller one.",
}
RESULT_HELP = {
    False: "The pruned network is an object of the same Python class with smaller tensors: its code runs as "
    "before, it trains, and it can be pruned again.",
    True: "The class of this network cannot hold the smaller tensors, because sizes are written into its "
    "code. What comes out is a torch.fx.GraphModule: the operations of one forward pass in eval mode, with "
    "the smaller sizes. It trains and can be pruned again, but its Python is generated.",
}


def heads_matter(model_id: str, choices: Choices) -> bool:
    """Whether this network has attention heads that can go; True too where a choice was made already."""
    kinds = {group.kind for group in cache.structure(model_id, choices).groups}
    return bool(kinds & {"head", "inside-head"}) or choices.heads != DEFAULT.heads


def norms_matter(model_id: str, choices: Choices) -> bool:
    """Whether other channels may go under the other choice; True too where a choice was made already."""
    if choices.norms != DEFAULT.norms:
        return True
    other = cache.structure(model_id, replace(choices, norms="statistics"))
    return _rows(other) != _rows(cache.structure(model_id, choices))


def say_result(model_id: str, recipe: Recipe) -> None:
    """One line: how the pruned network relates to the masked one, and what it is.

    Raises:
        ValueError: if the network cannot be pruned so.
    """
    grade, graph = cache.plan(model_id, recipe).grade, is_graph(cache.pruned(model_id, recipe))
    with st.container(horizontal=True, gap="medium", key="result"):
        st.markdown(f"**Result:** {GRADES[grade]}", help=GRADE_HELP[grade], width="content")
        st.markdown(f"**What it is:** {RESULTS[graph]}", help=RESULT_HELP[graph], width="content")


def _rows(structure: Structure) -> list[tuple[str, int]]:
    return [(group.id, group.size) for group in structure.groups]
