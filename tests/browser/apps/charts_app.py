"""A page with two charts, for the browser tests of their downloads."""

import sys
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from ui import charts  # noqa: E402

st.set_page_config(layout="wide")
st.html(ROOT / "static" / "style.css")
st.title("Charts")
data = pd.DataFrame({"layer": ["conv1", "conv,2", 'fc"3"'], "parameters": [10, 2000, 30]})
bars = go.Figure(go.Bar(x=data["layer"], y=data["parameters"]))
bars.update_layout(title="Parameters <b>per layer</b>", xaxis_title="layer", yaxis_title="parameters")
first, second = st.columns(2)
with first:
    charts.show(bars, data, key="bars", name="Digits CNN / parameters")
with second:
    heat = go.Figure(go.Heatmap(z=[[1, 2], [3, 4]])).update_layout(title="No data here")
    charts.show(heat, key="heat")
