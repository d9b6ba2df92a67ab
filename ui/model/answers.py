"""Sample images and what the network says of them."""

from __future__ import annotations

import streamlit as st
import torch

import pruning
from pruning.device import device_of
from ui import cache, charts
from ui.figures import model as figures
from ui.figures.model import Sample
from ui.model import measured
from ui.state import Session

SHOWN = 16
WAYS = ("First images", "Wrong ones first")


def show(session: Session) -> None:
    """Images of the validation split with the true and the predicted class."""
    report = measured.accuracy(session.model_id)
    if report is None:
        st.skeleton(height=380)
        return
    way = st.segmented_control(
        "Images",
        WAYS,
        default=WAYS[0],
        required=True,
        key="model-images",
        bind="query-params",
        label_visibility="collapsed",
    )
    task = cache.task(session.model_id)
    wrong = report.n - int(report.right.sum())
    shown = _samples(session, report, task, way == WAYS[1])
    title = f"Predicted class and confidence on validation images ({wrong:,} of {report.n:,} are wrong)"
    figure, data = figures.samples(title, shown, charts.colours())
    charts.show(figure, data, key="samples", name=f"{session.model} sample predictions")
    st.caption(
        "Predicted class, then its confidence; a wrong prediction stands out, with the true class under it.",
        help="Confidence is the softmax probability of the predicted class. It is often too high: Guo et al. "
        "2017, arXiv:1706.04599.",
    )


def order(report: pruning.Report, wrong_first: bool) -> list[int]:
    """Images in the order to show them: as they come, or those predicted wrong first."""
    places = range(report.n)
    return sorted(places, key=report.right.tolist().__getitem__) if wrong_first else list(places)


def _samples(session: Session, report: pruning.Report, task: pruning.Task, wrong_first: bool) -> list[Sample]:
    chosen = order(report, wrong_first)[:SHOWN]
    x = torch.stack([task.validation[index][0] for index in chosen])
    module = cache.model(session.model_id).module
    with torch.inference_mode():
        likely, said = module(x.to(device_of(module))).cpu().softmax(1).max(1)
    images = task.validation.images(chosen).numpy()
    return [
        Sample(index, image, task.classes[int(report.targets[index])], task.classes[int(one)], float(sure))
        for index, image, one, sure in zip(chosen, images, said, likely, strict=True)
    ]
