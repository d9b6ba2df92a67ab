"""Draw a chart so that it can be taken home: as PNG, as SVG, and its numbers as CSV.

One call draws a figure in the colours of the page's theme, with a small row of downloads at its corner::

    charts.show(figure, data, key="ridgeline", name="digits-resnet weights")
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from ui import state
from ui.figures import theme
from ui.figures.spec import Ready, spec

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

HERE = Path(__file__).parent
_SCALE = 2  # of a PNG: twice the pixels of the screen
_pictures = st.components.v2.component(
    "chart_pictures",
    css=(HERE / "charts.css").read_text(encoding="utf-8"),
    js=(HERE / "charts.js").read_text(encoding="utf-8"),
)


def dark() -> bool:
    """Whether the page is shown in the dark theme."""
    return st.context.theme.type == "dark"


def colours() -> theme.Palette:
    """The palette of the page's theme, for figures that need single colours."""
    return theme.palette(dark())


def show(
    figure: go.Figure,
    data: pd.DataFrame | None = None,
    *,
    key: str,
    name: str | None = None,
    alt: str | None = None,
    highlight: bool = False,
    linked: bool = False,
    **options: Any,
) -> Any:
    """Draw a Plotly figure with its downloads.

    Args:
        figure: with title and units; the theme's look is filled in here, in a copy.
        data: the numbers that the figure shows, one row a point; None leaves the CSV out.
        key: unique on the page; the chart's container has the CSS class `st-key-chart-<key>`.
        name: of the files, in words; the key if not given.
        alt: what the chart shows, for screen readers; the figure's title if not given.
        highlight: fade all other lines while the pointer is on one, or on its name in the legend.
        linked: light up all bars with the same `customdata` as the one that the pointer is on.
        options: for `st.plotly_chart`, such as `on_select="rerun"`, which returns the selection.
    """
    title = figure.layout.title.text or name or key
    stem = file_stem(name or key)
    with st.container(key=f"chart-{key}", gap=None):
        with st.container(
            horizontal=True,
            horizontal_alignment="right",
            vertical_alignment="center",
            gap=None,
            key=f"tools-{key}",
        ):
            _pictures(
                key=f"pictures-{key}",
                data={
                    "name": stem,
                    "scale": _SCALE,
                    "title": plain(title),
                    "highlight": highlight,
                    "linked": colours().pruned if linked else "",
                },
                width="content",
            )
            if data is not None:
                st.download_button(
                    "CSV",
                    lambda: data.to_csv(index=False),
                    f"{stem}.csv",
                    "text/csv",
                    key=f"csv-{key}",
                    type="tertiary",
                    on_click="ignore",
                    help=f"Download the {len(data):,} rows that this chart shows",
                )
        return st.plotly_chart(
            Ready(spec(figure, dark())),
            theme=None,
            key=key,
            alt=alt or plain(title),
            config={"displaylogo": False, "modeBarButtons": [["toImage"]]},
            **options,
        )


def show_live(
    figure: go.Figure, data: pd.DataFrame | None, *, key: str, version: Hashable, name: str, **options: Any
) -> None:
    """`show` for a chart that gets other data while somebody looks at it, without a blink.

    Streamlit makes another element of a chart with other data, which is empty until Plotly has drawn it. So
    there are two slots in turns: the chart before stays in its slot until the new one is there.

    Args:
        version: names the data; as long as it is the same, nothing is drawn anew.
    """
    drawn = state.session().drawn.setdefault(key, [])
    if not drawn or drawn[-1][0] != version:
        drawn.append((version, 1 - drawn[-1][1] if drawn else 0, figure, data))
        del drawn[:-2]
    with st.container(key=f"live-{key}", gap=None):
        st.html(f'<i class="live-now-{drawn[-1][1]}"></i>')
        for _, slot, figure, data in sorted(drawn, key=lambda each: each[1]):
            with st.container(key=f"slot-{slot}-{key}"):
                show(figure, data, key=f"{key}-{slot}", name=name, **options)


def plain(text: str) -> str:
    """A Plotly title without its markup."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def file_stem(name: str) -> str:
    """Words as a file name without its ending: lower case, safe on every system, at most 80 characters."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "chart"
