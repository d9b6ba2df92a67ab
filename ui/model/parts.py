"""Where a network's parameters, MACs and time sit: the treemap and the layer table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pruning.cost import LayerCost
from pruning.layers import Layer
from ui import cache, charts, shell
from ui.figures import model as figures
from ui.figures.model import Part
from ui.figures.words import SPACE
from ui.model import measured
from ui.model.measured import Setting
from ui.state import Session

if TYPE_CHECKING:
    import pandas as pd

WAYS = ("Parameters", "MACs", "Time")
PRODUCTS = "attention products"  # the kind of a module that multiplies activations with each other


def choose_way() -> str:
    """By what the areas of the treemap are drawn."""
    return str(
        st.segmented_control(
            "Area by",
            WAYS,
            default=WAYS[0],
            required=True,
            key="model-area",
            bind="query-params",
            label_visibility="collapsed",
            help="Parameters and MACs are exact. Time is measured now, module by module, on this machine.",
        )
    )


def treemap(session: Session, label: str, way: str, setting: Setting) -> None:
    """The network as nested areas; time is measured in the background at its first show."""
    if way != "Time":
        parts, unit = _cost_parts(session.model_id, way), way.lower().replace("macs", "MACs")
        total = shell.count(sum(part.value for part in parts))
        _draw(session, f"{way} by module: {total} in all, exact", label, parts, unit)
        return
    waiting = measured.layer_times(session.model_id, setting) is None
    if waiting:
        measured.start_layers(session.model_id, setting)
    st.fragment(_times, run_every=measured.POLL_S if waiting else None)(session, label, setting, waiting)


def _times(session: Session, label: str, setting: Setting, waiting: bool) -> None:
    with shell.errors_here():
        times = measured.layer_times(session.model_id, setting)
        if times is None:
            st.caption("Measuring the time of every module ...")
            st.skeleton(height=400)
            return
        if waiting:
            st.rerun()
        kinds = {layer.name: layer.kind for layer in cache.layers(session.model_id)}
        parts = [
            Part(time.name, kinds.get(time.name, _words(time.kind)), 1000 * time.seconds) for time in times
        ]
        total = sum(part.value for part in parts)
        how = Setting(setting.batch_size, setting.threads, place=setting.place).words
        _draw(session, f"Time by module: {total:.2f} ms in all, measured, {how}", label, parts, "ms")
        st.caption(
            "Medians over repeated forwards; single modules scatter, more so on a busy machine.",
            help="Layers are timed by hooks on a copy; what containers do themselves (additions, attention "
            "products, calls) is the remainder to the time of the untouched network.",
        )


def _draw(session: Session, title: str, label: str, parts: list[Part], unit: str) -> None:
    layers = sorted(cache.layers(session.model_id), key=lambda layer: -layer.parameters)
    kinds = list(dict.fromkeys(layer.kind for layer in layers))
    figure, data = figures.treemap(title, label, parts, unit, kinds, charts.colours())
    charts.show(figure, data, key="treemap", name=f"{session.model} {unit} by module")


def _cost_parts(model_id: str, way: str) -> list[Part]:
    kinds = {layer.name: layer.kind for layer in cache.layers(model_id)}
    return [
        Part(row.name, kinds.get(row.name, PRODUCTS), row.parameters if way == "Parameters" else row.macs)
        for row in cache.cost_model(model_id).layer_table()
    ]


def _words(kind: str) -> str:
    """A class name for reading, for modules that are no layers."""
    return {"ReLU": "activation", "GELU": "activation", "Hardswish": "activation"}.get(kind, kind)


def table(session: Session) -> None:
    """Every layer; under it torchinfo's text."""
    data = layer_table(cache.layers(session.model_id), cache.cost_model(session.model_id).layer_table())
    share: dict[str, Any] = {"min_value": 0.0, "format": f"%.2f{SPACE}%%"}
    st.dataframe(
        data,
        hide_index=True,
        height=min(420, 38 + 35 * len(data)),
        key="layer-table",
        column_config={
            "layer": st.column_config.TextColumn(pinned=True, width="medium"),
            "weight shape": st.column_config.TextColumn(help="Outputs × inputs (× kernel)."),
            "parameters": st.column_config.NumberColumn(format="localized", help="Bias included. Exact."),
            "share of parameters": st.column_config.ProgressColumn(
                max_value=float(data["share of parameters"].max()) or 1.0, **share
            ),
            "MACs": st.column_config.NumberColumn(
                format="localized", help="Multiply-accumulates for one image. Exact."
            ),
            "share of MACs": st.column_config.ProgressColumn(
                max_value=float(data["share of MACs"].max()) or 1.0, **share
            ),
            "output shape": st.column_config.TextColumn(help="For one image."),
            "single weights": st.column_config.TextColumn(
                help="Whether single weights can be masked; why not, is said under the table. Which whole "
                "channels can go, the groups say.",
            ),
        },
    )
    for reason, number in why_not(cache.layers(session.model_id)).items():
        st.caption(f"({number}) {shell.literal(reason)}")
    with st.expander("The same by torchinfo", key="torchinfo", on_change="rerun") as text:
        if text.open:
            st.code(cache.summary(session.model_id), None)


def why_not(layers: tuple[Layer, ...]) -> dict[str, int]:
    """Why single weights of some layers cannot be masked: reason -> its number in the table."""
    found = dict.fromkeys(layer.reason for layer in layers if layer.reason)
    return {reason: number for number, reason in enumerate(found, start=1)}


def layer_table(layers: tuple[Layer, ...], costs: list[LayerCost]) -> pd.DataFrame:
    """One row a layer, and one for every module that multiplies without weights; columns add up to the
    network's cost."""
    import pandas as pd

    known = {layer.name: layer for layer in layers}
    reasons = why_not(layers)
    parameters = sum(row.parameters for row in costs) or 1
    macs = sum(row.macs for row in costs) or 1
    rows = []
    for cost in costs:
        layer = known.pop(cost.name, None)
        rows.append(
            {
                "layer": cost.name,
                "kind": layer.kind if layer else PRODUCTS,
                "weight shape": _shape(layer.weight_shape) if layer else "",
                "parameters": cost.parameters,
                "share of parameters": 100 * cost.parameters / parameters,
                "MACs": cost.macs,
                "share of MACs": 100 * cost.macs / macs,
                "output shape": _shape(layer.output_shape) if layer else "",
                "single weights": "no weights" if layer is None else _verdict(layer, reasons),
            }
        )
    return pd.DataFrame(rows)


def _verdict(layer: Layer, reasons: dict[str, int]) -> str:
    return f"no ({reasons[layer.reason]})" if layer.reason else "yes"


def _shape(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes))
