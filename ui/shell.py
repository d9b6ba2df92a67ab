"""The frame around every page: navigation, look, the choice of a model, and what all pages start with."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import streamlit as st

import pruning
from pruning import MODELS
from pruning import device as hardware
from ui import cache, state, uploads

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "static"
PAGES = {  # file in pages/ -> title; no icons: Streamlit fetches a page's icon from an outside host
    "model": "Model",
    "groups": "Groups",
    "weights": "Weights",
    "sensitivity": "Sensitivity",
    "prune": "Prune",
    "compress": "Compress",
    "finetune": "Fine-tune",
    "compare": "Compare",
    "export": "Export",
    "explain": "Explain",
}
UPLOAD_TYPES = ["safetensors", "prz", "pt", "pth", "bin"]
UPLOAD_MEGABYTES = 256


def boot() -> st.Page:
    """Everything that comes before a page: look, session, navigation. The page to run."""
    page = navigation()
    cache.use_data_dir(data_dir_argument(sys.argv[1:]))
    st.set_page_config(
        f"{page.title} · Pruning Explorer",
        page_icon=STATIC / "icon.png",
        layout="wide",
        initial_sidebar_state="collapsed",  # the device in it is seldom changed, and pages are wide
    )
    state.session()
    state.mark_booted()
    dark = st.context.theme.type == "dark"
    st.logo(STATIC / f"logo-{'dark' if dark else 'light'}.svg", size="large")
    st.html(STATIC / "style.css")
    return page


def data_dir_argument(arguments: Sequence[str]) -> str | None:
    """FOLDER of `streamlit run app.py -- --data-dir FOLDER`; None leaves it to PRUNING_DATA_DIR."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--data-dir")
    try:
        return parser.parse_known_args(arguments)[0].data_dir
    except argparse.ArgumentError:
        return None


def navigation() -> st.Page:
    """Declare the pages; the one that the address asks for."""
    first, *others = PAGES
    # Streamlit serves the first page at the root only; a hidden twin answers at its name, like its siblings.
    pages = [
        _page(first, url_path="home", default=True),
        *map(_page, others),
        _page(first, url_path=first, visibility="hidden"),
    ]
    return st.navigation(pages, position="top")


def _page(name: str, **options: Any) -> st.Page:
    return st.Page(ROOT / "pages" / f"{name}.py", title=PAGES[name], **options)


def guard() -> None:
    """First line of every page. On a deep link right after the server's start Streamlit runs the page's file
    without app.py; declaring the navigation and starting over puts that right."""
    if not state.booted():
        navigation()
        st.rerun()


def settle() -> None:
    """Last line of app.py: write the session into the address, from which the menu drops it."""
    state.session().save_address()
    cache.freeze_imports()


def model_bar() -> None:
    """One row above every page: which network, which weights, which data; beside it the device."""
    session = state.session()
    _choose_device(session)
    with st.container(horizontal=True, vertical_alignment="center", key="model-bar", gap="small"):
        _choose_model(session)
        _choose_weights(session)
        st.markdown(_data_line(session), width="content")
    if session.note:
        st.info(literal(session.note), icon=":material/info:")


def header(title: str, lead: str) -> None:
    """A page's title and one or two sentences on what it answers."""
    st.title(title, anchor=False)
    st.markdown(lead)


def section(title: str, help: str | None = None) -> None:
    """A part of a page; `help` is shown in a tooltip and may cite the source of the method."""
    st.subheader(title, anchor=False, help=help)


def turn_to(page: str) -> NoReturn:
    """Go on with another page, a file in pages/, with the session's decisions.

    The parameters are empty: Streamlit refuses to clear those that widgets write, and app.py fills in ours.
    """
    st.switch_page(f"pages/{page}.py", query_params={})


@contextmanager
def errors_here() -> Iterator[None]:
    """Show an engine error as its one sentence at this place, and go on with the page."""
    try:
        yield
    except pruning.MissingData as error:
        st.info(literal(str(error)), icon=":material/folder_off:")
    except ValueError as error:
        st.error(literal(str(error)), icon=":material/error:")


def literal(text: str) -> str:
    """Text that may quote names out of a file, for places that take Markdown: shown as it is, never a link,
    an image or a formula."""
    return re.sub(r"([\\`*\[\]<$~])", r"\\\1", text)


def count(number: float) -> str:
    """A count for reading: 1,797 or 274.7 K or 1.2 M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "K")):
        if abs(number) >= limit:
            scaled = number / (1e3 if unit == "K" else limit)
            return f"{scaled:.3g} {unit}" if scaled < 1000 else f"{scaled:,.0f} {unit}"
    return f"{number:,.0f}"


def size(number: float) -> str:
    """Bytes for reading, in decimal units: 1.1 MB."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(number) >= limit:
            return (
                f"{number / limit:.3g} {unit}" if number / limit < 1000 else f"{number / limit:,.0f} {unit}"
            )
    return f"{number:.0f} B"


def _choose_model(session: state.Session) -> None:
    counts = cache.parameter_counts()

    def choose() -> None:
        session.choose_model(state.value("model-choice"))

    st.selectbox(
        "Model",
        list(MODELS),
        format_func=lambda name: f"{MODELS[name].label} · {count(counts[name])} parameters",
        label_visibility="collapsed",
        width=360,
        filter_mode=None,
        **state.tie("model-choice", session.model, choose),
    )


def _choose_device(session: state.Session) -> None:
    """In the sidebar, where there is a choice."""
    labels = {one.name: one.label for one in hardware.devices()}
    if len(labels) < 2:
        return
    with st.sidebar:
        st.selectbox(
            "Device",
            list(labels),
            format_func=labels.__getitem__,
            filter_mode=None,
            help="Where networks run: accuracies, scans, statistics and times are those of this device, and "
            "kept apart from those of the others. Files are written for every machine.",
            **state.tie("device", session.device, lambda: session.choose_device(state.value("device"))),
        )


def _choose_weights(session: state.Session) -> None:
    title = f"Own weights {session.weights[:6]}" if session.weights else "Built-in weights"
    with st.popover(title, icon=":material/upload_file:", width="content"):
        st.markdown(
            f"Weights of your own for **{MODELS[session.model].label}**: a `.safetensors` or `.prz` file, "
            "or a state dict saved with `torch.save`. Pickled code is never run."
        )
        st.file_uploader(
            "Weights file",
            UPLOAD_TYPES,
            key="weights-file",
            on_change=lambda: _take_upload(session),
            max_upload_size=UPLOAD_MEGABYTES,
            label_visibility="collapsed",
        )
        if session.problem:
            st.error(literal(session.problem), icon=":material/error:")
        if session.weights:
            st.button(
                "Back to the built-in weights",
                key="built-in-weights",
                on_click=session.choose_model,
                args=(session.model,),
            )


def _take_upload(session: state.Session) -> None:
    """Try the uploaded file on the chosen architecture; only a good one is kept."""
    file = state.value("weights-file")
    if file is None:
        return
    data = file.getvalue()
    try:
        pruning.load_model(session.model, weights=data)
    except ValueError as error:
        session.problem = str(error)
    else:
        session.choose_model(session.model, uploads.keep(session.model, data))


def _data_line(session: state.Session) -> str:
    """Which data the figures are measured on, or what is missing."""
    try:
        with st.spinner("Reading the data"):
            task = cache.task(session.model_id)
    except pruning.MissingData as error:
        return f":orange[:material/folder_off:] {error}"
    return (
        f":material/database: **{task.label}** · {len(task.validation):,} validation and "
        f"{len(task.test):,} test images"
    )
