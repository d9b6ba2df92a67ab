"""How the answers changed: confusion matrices side by side as a difference, and the images that flipped."""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from typing import Literal

import numpy as np
import streamlit as st
from PIL import Image

from pruning import Report, Task
from pruning.evaluate import NO_CLASS, flipped
from ui import cache, charts
from ui.figures import prune as figures
from ui.prune.facts import Facts
from ui.state import Session

MOST = 48  # images drawn
Kind = Literal["lost", "gained", "other"]
KINDS: dict[str, str] = {"all": "All", "lost": "Lost", "gained": "Gained", "other": "Wrong both times"}


def draw(session: Session, now: Facts) -> None:
    """The confusion-matrix difference and the flipped images, once the measurement is complete."""
    evaluator, task = cache.live(session.model_id, session.choices), cache.task(session.model_id)
    dense = evaluator.known_dense
    pruned = dense if now.untouched else evaluator.known(now.recipe)
    if dense is None or pruned is None:
        st.caption("Still measuring; the changed answers follow.")
        return
    with st.container(key="prune-outcome"):
        st.html(f'<i class="px-for-{now.recipe.digest}"></i>')
        left, right = st.columns([9, 10], gap="large")
        with left:
            _confusion(session, task, dense, pruned)
        with right:
            _flips(task, dense, pruned)


def _confusion(session: Session, task: Task, dense: Report, pruned: Report) -> None:
    classes = len(task.classes)
    before, after = (report.confusion(classes).numpy() for report in (dense, pruned))
    images = f"{pruned.n:,} {pruned.split} images"
    charts.show(
        figures.confusion_difference(before, after, task.classes, charts.colours(), images),
        figures.confusion_table(before, after, task.classes),
        key="prune-confusion",
        name=f"{session.model} confusion difference",
    )


def _flips(task: Task, dense: Report, pruned: Report) -> None:
    flips = flipped(dense, pruned).tolist()
    kinds = {i: kind_of(dense, pruned, i) for i in flips}
    counts = {kind: sum(found == kind for found in kinds.values()) for kind in ("lost", "gained", "other")}
    st.markdown(f"**Flipped images** · {len(flips):,} of {pruned.n:,} {pruned.split} images")
    shown = st.segmented_control(
        "Which",
        list(KINDS),
        format_func=lambda kind: f"{KINDS[kind]} {len(flips) if kind == 'all' else counts[kind]}",
        default="all",
        required=True,
        label_visibility="collapsed",
        key="flips",
        help="Lost: only the dense network is right. Gained: only the pruned one.",
    )
    chosen = [i for i in flips if shown in ("all", kinds[i])]
    if not chosen:
        st.caption("None.")
        return
    st.html(gallery(task, dense, pruned, chosen[:MOST], kinds))
    if len(chosen) > MOST:
        st.caption(f"The first {MOST} of {len(chosen):,}.")


def kind_of(dense: Report, pruned: Report, image: int) -> Kind:
    """Whether a flip lost a right answer, gained one, or changed one mistake for another."""
    if bool(dense.right[image]):
        return "lost"
    return "gained" if bool(pruned.right[image]) else "other"


def gallery(task: Task, dense: Report, pruned: Report, images: list[int], kinds: dict[int, Kind]) -> str:
    """The images as HTML, each with its true class and both answers."""
    pictures = getattr(task, pruned.split).images(images)
    names = [escape(str(name)) for name in task.classes]
    cells = []
    for number, picture in zip(images, pictures, strict=True):
        true = names[int(pruned.targets[number])]
        said = (int(report.predictions[number]) for report in (dense, pruned))
        before, after = ("no answer" if answer == NO_CLASS else names[answer] for answer in said)
        cells.append(
            f'<figure class="{kinds[number]}"><img alt="image {number}, true class {true}" '
            f'src="data:image/png;base64,{_png(picture.numpy())}">'
            f"<figcaption><b>{before} → {after}</b><br>true {true}</figcaption></figure>"
        )
    return f'<div class="px-flips">{"".join(cells)}</div>'


def _png(picture: np.ndarray) -> str:
    """(C, H, W) in 0..1 as base64 text of a PNG."""
    pixels = (picture * 255).round().clip(0, 255).astype(np.uint8)
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    data = BytesIO()
    image.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()
