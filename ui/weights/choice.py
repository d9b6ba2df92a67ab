"""What is looked at on the Weights page: which networks, which layer, which ratio."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from torch import Tensor, nn

import pruning
from pruning.layers import inside
from pruning.plan import multiple_for
from pruning.sparsity import masks_weights
from ui import cache
from ui.figures.words import SPACE
from ui.state import Session


@dataclass(frozen=True)
class Network:
    """One of the networks that are compared.

    Args:
        module: the network.
        key: what names it and its weights in a cache: model id, and digest of the recipe or "".
    """

    module: nn.Module
    key: tuple[str, str]

    def weight(self, layer: str) -> Tensor:
        """The weight of one of its layers."""
        weight = self.module.get_submodule(layer).weight
        assert isinstance(weight, Tensor)
        return weight.detach()


@dataclass(frozen=True)
class Networks:
    """The networks that are compared; either may be left out, not both."""

    dense: Network | None
    pruned: Network | None

    @property
    def shown(self) -> tuple[Network, ...]:
        return tuple(network for network in (self.dense, self.pruned) if network is not None)

    @property
    def first(self) -> Network:
        return self.shown[0]


def choose(session: Session) -> tuple[Networks, tuple[pruning.Layer, ...], pruning.Layer]:
    """The controls on top: which network, which layer."""
    layers = tuple(layer for layer in cache.layers(session.model_id) if layer.prunable)
    names = [layer.name for layer in layers]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Layer in detail", names, key="layer", width=340, bind="query-params")
        nothing = not session.ratios
        side = st.segmented_control(
            "Network",
            ["Dense", "Pruned", "Both"],
            default="Dense",
            required=True,
            key="weights-side",
            disabled=nothing,
            persist_state="session",
            help="Nothing is pruned yet: set ratios on the Prune page, then compare here."
            if nothing
            else "The dense network, the network pruned by the ratios of the Prune page, or both at once.",
        )
    side = "Dense" if nothing else side
    dense = dense_network(session) if side != "Pruned" else None
    pruned = _pruned_network(session) if side != "Dense" else None
    if pruned is not None:  # what lies in a dropped layer is not there to be shown
        gone = [block.id for block in cache.plan(session.model_id, session.recipe).blocks]
        layers = tuple(layer for layer in layers if not inside(layer.name, gone))
    chosen = next((layer for layer in layers if layer.name == name), layers[0])
    if pruned is not None and chosen.name != name:
        st.caption("The chosen layer is dropped with all around it; another is shown.")
    return Networks(dense, pruned), layers, chosen


def dense_network(session: Session) -> Network:
    """The network as it is without pruning."""
    return Network(cache.model(session.model_id).module, (session.model_id, ""))


def _pruned_network(session: Session) -> Network:
    recipe = session.recipe
    return Network(cache.pruned(session.model_id, recipe), (session.model_id, recipe.digest))


def detail_controls(layer: pruning.Layer, session: Session) -> tuple[float, bool]:
    """A ratio to look at, which starts at the Prune page's, and the axis of counts."""
    own = current_ratio(layer, session)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        percent = st.slider(
            "Pruning ratio to look at",
            0,
            100,
            round(100 * own) if own else 50,
            format=f"%d{SPACE}%%",
            key=f"look-{session.model}-{session.granularity}-{layer.name}-{own:.4f}",
            help="Shows what a ratio would take away, by the criterion chosen on the Prune page. It starts "
            "at that page's ratio for this layer (or 50 %) and changes nothing there.",
            width=340,
        )
        log = st.toggle("Log counts", key="weights-log", persist_state="session")
    return percent / 100, log


def current_ratio(layer: pruning.Layer, session: Session) -> float:
    """The ratio that the Prune page has set for this layer, or for the group that its outputs belong to."""
    found = key_of(layer, session)
    return float(session.ratios.get(found, 0.0)) if found else 0.0


def key_of(layer: pruning.Layer, session: Session) -> str | None:
    """What a ratio for this layer is given for; None where that is nothing or a whole block."""
    if session.granularity == "layer":
        return None
    if masks_weights(session.granularity):
        return layer.name
    groups = cache.structure(session.model_id, session.choices).groups
    return next((group.id for group in groups if layer.name in group.producers), None)


def limits(session: Session, key: str) -> tuple[int, int]:
    """Multiple and minimum of the kept count."""
    if masks_weights(session.granularity):
        return 1, 0
    group = cache.structure(session.model_id, session.choices).group(key)
    return multiple_for(group, session.multiple_of), group.minimum
