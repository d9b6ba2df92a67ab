"""What the Weights page draws: the distributions of all layers, and one layer in detail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from torch import Tensor, nn

import pruning
from pruning import weights
from pruning.layers import inside
from pruning.masks import keep_by_rank
from pruning.plan import kept_count, multiple_for
from pruning.sparsity import masks_weights
from ui import cache, charts, granularity, shell
from ui.figures import weights as figures
from ui.figures.words import SPACE, percent
from ui.state import Session

BINS = 100
KERNELS = 128
MAGNITUDES = ("l1", "l2")  # criteria by which the magnitude of a single weight alone decides


@dataclass(frozen=True)
class Networks:
    """The networks that are compared; either may be left out, not both."""

    dense: nn.Module | None
    pruned: nn.Module | None

    @property
    def first(self) -> nn.Module:
        found = self.dense if self.dense is not None else self.pruned
        assert found is not None
        return found


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
    dense = cache.model(session.model_id).module if side != "Pruned" else None
    pruned = cache.pruned(session.model_id, session.recipe) if side != "Dense" else None
    if pruned is not None:  # what lies in a dropped layer is not there to be shown
        gone = [block.id for block in cache.plan(session.model_id, session.recipe).blocks]
        layers = tuple(layer for layer in layers if not inside(layer.name, gone))
    chosen = next((layer for layer in layers if layer.name == name), layers[0])
    if pruned is not None and chosen.name != name:
        st.caption("The chosen layer is dropped with all around it; another is shown.")
    return Networks(dense, pruned), layers, chosen


def overview(networks: Networks, layers: tuple[pruning.Layer, ...], chosen: str, key: str) -> None:
    """The ridgeline of all layers."""
    names = [layer.name for layer in layers]
    # One scale for both networks: the pruned one's ridges must not be stretched.
    shapes = {
        (side, name): _weight(module, name)
        for side, module in (("dense", networks.dense), ("pruned", networks.pruned))
        if module is not None
        for name in names
    }
    found = weights.ridgeline({f"{side}\0{name}": value for (side, name), value in shapes.items()}, BINS)
    dense, pruned = (
        {name: found[f"{side}\0{name}"] for name in names if (side, name) in shapes}
        for side in ("dense", "pruned")
    )
    figure, data = figures.ridgeline(dense, pruned, chosen, charts.colours())
    charts.show(figure, data, key="ridgeline", name=f"{key} weights of all layers")


def figures_of_layer(value: Tensor) -> None:
    """Figures of one layer's weights, in cards."""
    found = weights.summarise(value)
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
    values = [_weight(m, layer.name) for m in (networks.dense, networks.pruned) if m is not None]
    span = (min(float(v.min()) for v in values), max(float(v.max()) for v in values))
    dense, pruned = (
        None if module is None else weights.histogram(_weight(module, layer.name), BINS, span)
        for module in (networks.dense, networks.pruned)
    )
    threshold = None
    if session.granularity == "weight" and session.criterion in MAGNITUDES and networks.dense and ratio:
        threshold = weights.SortedScores(values[0].abs()).threshold_at(ratio)
    figure, data = figures.histogram(layer.name, dense, pruned, threshold, log, charts.colours())
    charts.show(figure, data, key="layer-histogram", name=f"{session.model} {layer.name} histogram")


def scores(layer: pruning.Layer, session: Session, ratio: float) -> None:
    """What the criterion says, and where the ratio cuts."""
    criterion = pruning.CRITERIA[session.criterion]
    if session.granularity == "layer":
        _of_block(layer, session)
        return
    found = _scores(layer, session)
    if reason := session.whole.get(_key(layer, session) or ""):
        st.caption(reason)
        return
    if found is None:
        st.caption(
            "No channel of this layer's outputs can go on its own account; the Model page says why.",
            help="Single weights of it can still be masked: choose them on the Prune page.",
        )
        return
    key, value = found
    if masks_weights(session.granularity) and key not in session.keys:
        st.caption(f"{granularity.label(session.granularity)} do not fit this layer: choose another.")
        return
    order = weights.SortedScores(value)
    stops = cache.stops(session.model_id, session.granularity, session.criterion, session.seed)
    removed = len(order) - kept_count(len(order), ratio, *_limits(session, key))
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
    value = _weight(cache.model(session.model_id).module, layer.name)
    found = weights.channel_norms(value)
    removed = _removed_outputs(layer, session, ratio, value.shape[0])[found.channels]
    figure, data = figures.norms(layer.name, found.norms, found.channels, removed, charts.colours())
    charts.show(figure, data, key="channel-norms", name=f"{session.model} {layer.name} channel norms")


def picture(networks: Networks, layer: pruning.Layer, model: str) -> None:
    """The weights themselves: kernels of a convolution as images, anything else as a heat map."""
    value = _weight(networks.first, layer.name)
    if value.dim() == 4 and value.shape[-1] > 1:
        figure, data = figures.kernels(layer.name, weights.kernels(value, limit=KERNELS), charts.colours())
    else:
        import pandas as pd

        small = weights.matrix(value)
        figure = figures.matrix(layer.name, small, tuple(value.shape), charts.colours())
        data = pd.DataFrame(small)
    charts.show(figure, data, key="weight-picture", name=f"{model} {layer.name} weights")


def scales(networks: Networks, layer: pruning.Layer, session: Session) -> None:
    """BatchNorm scales of the network, the one behind the chosen layer emphasised."""
    found = weights.batch_norm_scales(networks.first)
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
    figure, data = figures.batch_norm(found, chosen, charts.colours())
    charts.show(figure, data, key="bn-scales", name=f"{session.model} BatchNorm scales")
    st.caption(
        f"Emphasised: `{chosen}`, which follows this layer."
        if chosen
        else "No BatchNorm follows this layer.",
        help="Network slimming ranks channels by these scales: Liu et al. 2017, arXiv:1708.06519.",
    )


def current_ratio(layer: pruning.Layer, session: Session) -> float:
    """The ratio that the Prune page has set for this layer, or for the group that its outputs belong to."""
    found = _key(layer, session)
    return float(session.ratios.get(found, 0.0)) if found else 0.0


def _key(layer: pruning.Layer, session: Session) -> str | None:
    if session.granularity == "layer":
        return None
    if masks_weights(session.granularity):
        return layer.name
    groups = cache.structure(session.model_id, session.choices).groups
    return next((group.id for group in groups if layer.name in group.producers), None)


def _scores(layer: pruning.Layer, session: Session) -> tuple[str, Tensor] | None:
    key = _key(layer, session)
    if key is None:
        return None
    found = cache.scores(session.model_id, *session.how)
    value = found.get(key if session.granularity == "channel" else str(layer.weight))
    return None if value is None else (key, value)


def _limits(session: Session, key: str) -> tuple[int, int]:
    """Multiple and minimum of the kept count."""
    if masks_weights(session.granularity):
        return 1, 0
    group = cache.structure(session.model_id, session.choices).group(key)
    return multiple_for(group, session.multiple_of), group.minimum


def _removed_outputs(layer: pruning.Layer, session: Session, ratio: float, outputs: int) -> np.ndarray:
    """(outputs,) bool: which rows of the layer's weight the ratio removes."""
    gone = np.zeros(outputs, bool)
    found = _scores(layer, session) if session.granularity == "channel" else None
    if found is None:
        return gone
    key, value = found
    keep = keep_by_rank(value, kept_count(len(value), ratio, *_limits(session, key)))
    for member in cache.structure(session.model_id, session.choices).group(key).members:
        if member.parameter == layer.weight and member.dim == 0:
            gone[member.index[~keep].flatten().numpy()] = True
    return gone


def _weight(module: nn.Module, layer: str) -> Tensor:
    weight = module.get_submodule(layer).weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def weight_of(networks: Networks, layer: pruning.Layer) -> Tensor:
    """The layer's weight in the first network on show."""
    return _weight(networks.first, layer.name)


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
