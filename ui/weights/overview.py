"""The left side of the Weights page: all layers, all scales, and the chosen layer's weights as a picture."""

from __future__ import annotations

import streamlit as st

import pruning
from pruning import weights
from ui import cache, charts
from ui.figures import weights as figures
from ui.state import Session
from ui.weights import known
from ui.weights.choice import Networks

BINS = 100
MOST_RIDGES = 80
MOST_SCALES = 200  # BatchNorms
KERNELS = 128
CELLS = 8192  # weights in the picture of all kernels


def ridgeline(networks: Networks, layers: tuple[pruning.Layer, ...], chosen: str, name: str) -> None:
    """The distributions of all layers, or of those around the chosen one where there are too many."""
    names = [layer.name for layer in layers]
    part = figures.around(names, chosen, MOST_RIDGES)
    bins = BINS if len(part) <= figures.MANY else BINS // 2  # lower ridges show less
    keys = tuple(network.key for network in networks.shown)
    found = iter(known.ridges(keys, tuple(part), bins, networks.shown))
    dense, pruned = (dict(next(found)) if one else {} for one in (networks.dense, networks.pruned))
    figure, data = figures.ridgeline(dense, pruned, chosen, charts.colours(), every=len(part) == len(names))
    charts.show(figure, data, key="ridgeline", name=f"{name} weights of all layers")
    _say_how_many(len(part), len(names), "layers")


def scales(networks: Networks, layer: pruning.Layer, session: Session) -> None:
    """BatchNorm scales of the network, the one behind the chosen layer emphasised."""
    found = weights.batch_norm_scales(networks.first.module)
    if not found:
        st.caption("This network has no BatchNorm, so it has no scales to show.")
        return
    behind = {
        member.layer
        for group in cache.structure(session.model_id, session.choices).groups
        if layer.name in group.producers
        for member in group.members
        if member.role == "norm"
    }
    # A group may hold several norms; the one that runs right after the layer is its own.
    order = [other.name for other in cache.layers(session.model_id)]
    after = order[order.index(layer.name) :]
    chosen = next((name for name in after if name in behind), None)
    part = figures.around(list(found), chosen, MOST_SCALES)
    figure, data = figures.batch_norm({name: found[name] for name in part}, chosen, charts.colours())
    charts.show(figure, data, key="bn-scales", name=f"{session.model} BatchNorm scales")
    st.caption(
        f"Emphasised: `{chosen}`, which follows this layer."
        if chosen
        else "No BatchNorm follows this layer.",
        help="Network slimming ranks channels by these scales: Liu et al. 2017, arXiv:1708.06519.",
    )
    _say_how_many(len(part), len(found), "BatchNorms")


def picture(networks: Networks, layer: pruning.Layer, model: str) -> None:
    """The weights themselves: kernels of a convolution as images, anything else as a heat map."""
    network = networks.first
    value = network.weight(layer.name)
    if value.dim() == 4 and 1 < value[0, 0].numel() <= CELLS:
        found = weights.kernels(value, limit=KERNELS, cells=CELLS)
        figure, data = figures.kernels(layer.name, found, charts.colours())
    else:
        import pandas as pd

        small = known.matrix(network.key, layer.name, value)
        figure = figures.matrix(layer.name, small, tuple(value.shape), charts.colours())
        data = pd.DataFrame(small)
    charts.show(figure, data, key="weight-picture", name=f"{model} {layer.name} weights")


def _say_how_many(shown: int, total: int, what: str) -> None:
    if shown < total:
        st.caption(f"{shown:,} of {total:,} {what} are shown: those around the chosen layer.")
