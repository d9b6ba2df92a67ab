"""A compression as the page shows it: how far it is, its stages, its centroids, its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from pruning.compress.stages import Bytes
from pruning.runs.compress import compressed_files, prz_name, read_centroids, read_stages, tensors_name
from pruning.runs.leave import CODE
from ui import charts, runs, shell
from ui.figures import compress as figures
from ui.figures import compress_curves as curves
from ui.finetune.result import archive
from ui.runs import POLL_S
from ui.sensitivity.status import duration
from ui.state import Session

if TYPE_CHECKING:
    from pruning.history import Run

PHASES = {
    "loading": "Loading the network and its data",
    "training": "Pruning and training",
    "sharing": "Sharing values and encoding",
    "tuning": "Training shared values",
    "measuring": "Measuring and checking the file",
    "paused": "Paused",
    "waiting": "Waiting for another run on this machine",
}


def draw(session: Session, run: Run) -> None:
    """Everything about one run; what changes while it works polls by itself."""
    folder = runs.history().folder(run.id)
    if run.state == "done":
        _headline(run, folder)
    every = POLL_S if run.busy else None
    st.fragment(_status, key="compress-status", run_every=every)(session, run.id, run.state)
    if run.state == "done":
        _result(run, folder)
        _centroids(run, folder)


def _status(session: Session, run_id: str, drawn: str) -> None:
    run = runs.find(run_id)
    if run is None or run.state != drawn:
        st.rerun()
        return
    if run.busy:
        progress = runs.dispatcher().progress(run.id)
        phase = progress.phase if progress else "waiting"
        said = PHASES.get(phase, phase)
        if progress is not None and progress.left is not None:
            said += f", about {duration(progress.left)} left of this stage"
        st.progress(progress.fraction if progress else 0.0, text=said)
    elif run.state in ("failed", "interrupted"):
        st.error(shell.literal(run.error), icon=":material/error:")
    elif run.state == "cancelled":
        st.info("This run was cancelled and its files are gone.", icon=":material/info:")
    _buttons(session, run)
    _stages(run)


def _buttons(session: Session, run: Run) -> None:
    if not runs.is_mine(session, run):
        return
    owner = session.owner if run.owner else None
    dispatcher = runs.dispatcher()
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.state == "running":
            st.button(
                "Stop training and go on",
                key="compress-finish",
                icon=":material/stop:",
                on_click=_tell,
                args=(session, dispatcher.finish, run.id, owner),
                help="Trainings end at their next step with the best that they have; the stages after them "
                "are still done.",
            )
        if run.state in ("interrupted", "failed"):
            st.button(
                "Resume",
                key="compress-resume",
                icon=":material/play_arrow:",
                on_click=_tell,
                args=(session, dispatcher.resume, run.id, owner),
            )
        if run.busy or run.state == "interrupted":
            st.button(
                "Cancel",
                key="compress-cancel",
                icon=":material/close:",
                on_click=_tell,
                args=(session, dispatcher.cancel, run.id, owner),
                help="Stops this run and throws its files away.",
            )
            st.caption("It goes on while you look elsewhere or close the tab; this page's address finds it.")


def _tell(
    session: Session, command: Callable[[str, str | None], bool], run_id: str, owner: str | None
) -> None:
    try:
        command(run_id, owner)
    except ValueError as error:
        session.note = str(error)


def _stages(run: Run) -> None:
    """Accuracy and bytes after each stage that is done."""
    rows = read_stages(runs.history().folder(run.id))
    if not rows:
        if run.busy:
            st.skeleton(height=220)
        return
    dense = rows[0]["bytes"]
    table = pd.DataFrame(
        [
            {
                "stage": row["label"],
                "validation accuracy, %": 100 * row["accuracy"],
                "95 % interval": f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
                "bytes of the file": row["bytes"],
                "times smaller": dense / row["bytes"],
                "images": row["n"],
            }
            for row in rows
        ]
    )
    column = st.column_config
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "validation accuracy, %": column.NumberColumn(format="%.2f"),
            "bytes of the file": column.NumberColumn(format="localized"),
            "times smaller": column.NumberColumn(format="%.1f×"),
        },
    )
    st.caption(
        "Measured on validation images, which also chose the epochs; sizes are those of files really "
        "encoded (the dense one as .safetensors)."
    )


def _result(run: Run, folder: Path) -> None:
    rows = read_stages(folder)
    if rows:
        kinds = ("weights", "indices", "codebooks", "overhead")
        stages: list[tuple[str, Bytes]] = [
            (row["label"], Bytes(**{kind: row[kind] for kind in kinds})) for row in rows
        ]
        figure, data = figures.where_bytes_are(
            stages, charts.colours(), title="Where the bytes are after each stage"
        )
        charts.show(figure, data, key="run-bytes", name=f"{run.model} run {run.id} bytes")
    _files(run, folder)


def _headline(run: Run, folder: Path) -> None:
    """What came out, in two figures."""
    rows = read_stages(folder)
    if not rows:
        return
    dense, coded = rows[0]["bytes"], rows[-1]["bytes"]
    file, accuracy = st.columns(2, gap="small")
    file.metric(
        "File .prz",
        shell.size(coded),
        f"{dense / coded:.1f}× smaller than {shell.size(dense)}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=f"{coded:,} bytes on disk; the dense network's .safetensors has {dense:,}.",
    )
    test, whole = run.figures.test, run.figures.dense_test
    if test and whole:
        accuracy.metric(
            "Test accuracy",
            f"{100 * test.accuracy:.2f} %",
            f"{100 * (test.accuracy - whole.accuracy):+.2f} points against dense",
            delta_color="off",
            delta_arrow="off",
            border=True,
        )
        st.caption(
            f"Measured on {test.n:,} test images, which chose nothing: 95 % interval {100 * test.low:.2f} to "
            f"{100 * test.high:.2f} %, dense {100 * whole.accuracy:.2f} % ({100 * whole.low:.2f} to "
            f"{100 * whole.high:.2f}). The file was written and its bytes counted."
        )


def _files(run: Run, folder: Path) -> None:
    shell.section("Take it home", "The .prz is the small file; reader.py decodes it with numpy alone.")
    files = compressed_files(folder, run.model)
    if not any(file.name == prz_name(run.model) for file in files):
        st.info(
            "The files of this run have been removed to make room; its figures stay.",
            icon=":material/folder_off:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        for name, kind, key in (
            (prz_name(run.model), "prz", "compress-prz"),
            (tensors_name(run.model), "safetensors", "compress-tensors"),
        ):
            file = folder / name
            if file.is_file():
                st.download_button(
                    f"Network .{kind} · {shell.size(file.stat().st_size)}",
                    file.read_bytes,
                    f"{run.model}-run-{run.id}.{kind}",
                    icon=":material/download:",
                    key=key,
                    type="primary" if kind == "prz" else "secondary",
                    on_click="ignore",
                    help=f"{file.stat().st_size:,} bytes on disk.",
                )
        st.download_button(
            "All as .zip",
            lambda: archive(files),
            f"{run.model}-run-{run.id}.zip",
            "application/zip",
            icon=":material/folder_zip:",
            key="compress-zip",
            on_click="ignore",
            help="Both files, settings, recipe, stages, the reader, and a few lines that load the network.",
        )
    if run.figures.check:
        st.caption(shell.literal(run.figures.check))
    code = next((file for file in files if file.name == CODE), None)
    if code is not None:
        with st.expander("How to load it"):
            st.code(code.read_text(encoding="utf-8"), "python")


def _centroids(run: Run, folder: Path) -> None:
    found = read_centroids(folder)
    if not found:
        return
    shell.section("Centroids in training", "Gradients are summed by cluster, and centroids follow them.")
    layer: Any = st.selectbox(
        "Layer",
        list(found),
        format_func=shell.literal,
        key=f"compress-moved-{run.id}",
        filter_mode=None,
        width=300,
    )
    figure, data = curves.movement(layer, found[layer], charts.colours())
    charts.show(figure, data, key="movement", name=f"{run.model} run {run.id} {layer} centroids")
