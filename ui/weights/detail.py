"""The right side of the Weights page: one layer's figures, its distribution, scores and norms."""

from __future__ import annotations

import numpy as np
import streamlit as st

import pruning
from pruning.layers import inside
from pruning.masks import keep_by_rank
from pruning.plan import kept_count
from pruning.sparsity import masks_weights
from pruning.weights import SortedScores
from ui import cache, charts, granularity, shell
from ui.figures import weights as figures
from ui.figures.words import percent
from ui.state import Session
from ui.weights import known
from ui.weights.choice import Network, Networks, dense_network, key_of, limits

BINS = 100
MAGNITUDES = ("l1", "l2")  # criteria by which the magnitude of a single weight alone decides


def numbers(network: Network, layer: pruning.Layer) -> None:
    """Figures of one layer's weights, in cards."""
    found = known.summary(network.key, layer.name, network.weight(layer.name))
    cards = (
        ("Weights", shell.count(found.count), "Number of weights in this layer's matrix or kernels."),
        ("Standard deviation", f"{found.std:.4f}", "Spread of the weights around their mean."),
        ("Mean", f"{found.mean:+.4f}", "Close to zero for most trained layers."),
        (
            "Kurtosis",
            f"{found.kurtosis:.1f}",
            "Fourth standardised moment: 3 for a normal distribution. More means heavy tails: a few large "
            "weights and many small ones, which often prunes well.",
        ),
        (
            "Near zero",
            percent(found.near_zero),
            f"Share of weights with a magnitude below {found.epsilon:.2g}, a thousandth of the largest.",
        ),
        ("Exactly zero", percent(found.zeros), "Sparsity: what masks have set to zero."),
    )
    with st.grid(3, min_column_width=120):
        for label, text, tip in cards:
            st.metric(label, text, help=tip, border=True)
    with st.expander("Quantiles of the weights"):
        st.dataframe(
            {
                "share of weights below": [percent(p, 0) for p in found.quantiles],
                "weight": [f"{q:+.5f}" for q in found.quantiles.values()],
            },
            hide_index=True,
        )


def distribution(networks: Networks, layer: pruning.Layer, session: Session, ratio: float, log: bool) -> None:
    """Histogram of one layer, with the magnitude below which weights would go."""
    ends = [
        known.summary(network.key, layer.name, network.weight(layer.name)).quantiles
        for network in networks.shown
    ]
    span = (min(found[0.0] for found in ends), max(found[1.0] for found in ends))
    dense, pruned = (
        None
        if network is None
        else known.histogram(network.key, layer.name, BINS, span, network.weight(layer.name))
        for network in (networks.dense, networks.pruned)
    )
    threshold = None
    if session.granularity == "weight" and session.criterion in MAGNITUDES and networks.dense and ratio:
        found = _scores(layer, session)  # magnitudes
        threshold = found[1].threshold_at(ratio) if found else None
    figure, data = figures.histogram(layer.name, dense, pruned, threshold, log, charts.colours())
    charts.show(figure, data, key="layer-histogram", name=f"{session.model} {layer.name} histogram")


def scores(layer: pruning.Layer, session: Session, ratio: float) -> None:
    """What the criterion says, and where the ratio cuts."""
    criterion = pruning.CRITERIA[session.criterion]
    if session.granularity == "layer":
        _of_block(layer, session)
        return
    found = _scores(layer, session)
    if reason := session.whole.get(key_of(layer, session) or ""):
        st.caption(reason)
        return
    if found is None:
        st.caption(
            "No channel of this layer's outputs can go on its own account; the Model page says why.",
            help="Single weights of it can still be masked: choose them on the Prune page.",
        )
        return
    key, order = found
    if masks_weights(session.granularity) and key not in session.keys:
        st.caption(f"{granularity.label(session.granularity)} do not fit this layer: choose another.")
        return
    stops = cache.stops(session.model_id, session.granularity, session.criterion, session.seed)
    removed = len(order) - kept_count(len(order), ratio, *limits(session, key))
    removed = len(order) - granularity.kept(stops, {key: ratio})[key] if key in stops else removed
    threshold = order.threshold(removed) if removed and key not in stops else None
    unit = "weights" if masks_weights(session.granularity) else f"units of {figures.text(key)}"
    figure, data = figures.scores(
        f"Scores of the {unit} by {criterion.label}",
        f"{criterion.label} score, lowest goes first",
        order.compact(60),
        threshold,
        charts.colours(),
    )
    charts.show(figure, data, key="layer-scores", name=f"{session.model} {layer.name} {criterion.name}")
    cut = f"threshold {threshold:.4g}" if threshold is not None else "no threshold"
    st.caption(
        f"At {percent(ratio, 0)}: {removed:,} of {len(order):,} go, {cut} (exact, from the scores).",
        help=f"{criterion.description} Source: {criterion.source}.",
    )


def _of_block(layer: pruning.Layer, session: Session) -> None:
    """Whole layers are pruned: say which one this layer goes with."""
    blocks = cache.blocks(session.model_id).blocks
    block = next((block for block in blocks if inside(layer.name, [block.id])), None)
    if block is None:
        st.caption("Whole layers are chosen on the Prune page; this one lies in none that can be dropped.")
        return
    state = "dropped" if session.ratios.get(block.id) else "kept"
    score = float(cache.scores(session.model_id, *session.how)[block.id])
    criterion = pruning.CRITERIA[session.criterion]
    st.caption(
        f"It goes with {figures.text(block.id)}, which is {state}: {block.parameters:,} parameters, "
        f"{criterion.label.lower()} {score:.4f} (measured on calibration images).",
        help=f"{criterion.description} Source: {criterion.source}.",
    )


def channel_norms(layer: pruning.Layer, session: Session, ratio: float) -> None:
    """Norms of the dense layer's outputs; what the ratio removes stands out."""
    network = dense_network(session)
    value = network.weight(layer.name)
    found = known.norms(network.key, layer.name, value)
    removed = _removed_outputs(layer, session, ratio, value.shape[0])[found.channels]
    figure, data = figures.norms(layer.name, found.norms, found.channels, removed, charts.colours())
    charts.show(figure, data, key="channel-norms", name=f"{session.model} {layer.name} channel norms")
    if len(found.norms) > figures.MOST_BARS:
        st.caption(
            f"{figures.MOST_BARS:,} of {len(found.norms):,} outputs are shown, evenly chosen by rank; "
            "the CSV file has all."
        )


def _scores(layer: pruning.Layer, session: Session) -> tuple[str, SortedScores] | None:
    """The key that the layer's outputs or weights are pruned by, and its scores in order."""
    key = key_of(layer, session)
    if key is None or key in session.whole:
        return None
    return key, cache.sorted_scores(session.model_id, *session.how, key)


def _removed_outputs(layer: pruning.Layer, session: Session, ratio: float, outputs: int) -> np.ndarray:
    """(outputs,) bool: which rows of the layer's weight the ratio removes."""
    gone = np.zeros(outputs, bool)
    key = key_of(layer, session) if session.granularity == "channel" else None
    value = cache.scores(session.model_id, *session.how).get(key) if key else None
    if key is None or value is None:
        return gone
    keep = keep_by_rank(value, kept_count(len(value), ratio, *limits(session, key)))
    for member in cache.structure(session.model_id, session.choices).group(key).members:
        if member.parameter == layer.weight and member.dim == 0:
            gone[member.index[~keep].flatten().numpy()] = True
    return gone
