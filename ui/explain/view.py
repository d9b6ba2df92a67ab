"""What the Explain page shows: maps of both networks, how alike they are, and conductance as a criterion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch

import pruning
from pruning import Report, Task
from pruning.evaluate import NO_CLASS, flipped
from pruning.explain import EXPLAINERS, Comparison, explainable_layers
from pruning.layers import inside
from ui import cache, charts
from ui.figures import explain as figures
from ui.figures.weights import text
from ui.state import Session

LOOKED_AT = 48  # images whose maps are compared
SHOWN = 8  # of them, drawn
STEP = 16  # images between two updates of the progress bar
WAYS = ("Disagree most", "Prediction flipped", "First images")


@dataclass(frozen=True)
class Question:
    """What is asked: a method, perhaps a layer, and which images to draw."""

    method: str
    layer: str | None
    way: str


def offer_recipe(session: Session) -> None:
    """Nothing is pruned: say so, and offer something to look at."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(
            "Nothing is pruned yet, so both rows show the same network. Set ratios on the Prune page.",
            icon=":material/info:",
        )
        if session.granularity != "layer":  # which is kept or dropped, and nothing between
            st.button(
                "Or prune every part by 20 %",
                on_click=lambda: session.set_ratios(dict.fromkeys(session.free, 0.2)),
                help="Sets a uniform ratio of 20 % by the current criterion; undo it on the Prune page.",
            )


def ask(session: Session) -> Question:
    """The controls: method, layer, images."""
    loaded = cache.model(session.model_id)
    x = loaded.example_inputs[0]
    fitting = [name for name, entry in EXPLAINERS.items() if not entry.misfit(loaded.module, x)]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.selectbox(
            "Method",
            fitting,
            format_func=lambda name: EXPLAINERS[name].label,
            key="method",
            bind="query-params",
            width=260,
            help="\n\n".join(
                f"**{EXPLAINERS[name].label}.** {EXPLAINERS[name].description} "
                f"*Source: {EXPLAINERS[name].source}.*"
                for name in fitting
            ),
        )
        dropped = [block.id for block in cache.plan(session.model_id, session.recipe).blocks]
        places = explainable_layers(loaded.module, x, str(method))
        places = [place for place in places if not inside(place, dropped)]
        layer = None
        if places:
            layer = st.selectbox(
                "Layer",
                places,
                index=EXPLAINERS[str(method)].default % len(places),
                key=f"place-{session.model}-{method}",
                persist_state="session",
                width=260,
                help="The layer whose activations are explained; deeper layers give coarser maps.",
            )
        way = st.segmented_control(
            "Images",
            WAYS,
            default=WAYS[0],
            required=True,
            key="explain-images",
            persist_state="session",
            help=f"Which of the {LOOKED_AT} compared validation images to draw. Flipped ones are always "
            "among those compared.",
        )
    return Question(str(method), layer, str(way))


def chosen_images(session: Session) -> tuple[int, ...]:
    """Validation images to compare: those whose prediction flipped first, then the first of the split."""
    dense = cache.dense_report(session.model_id)
    pruned = cache.pruned_report(session.model_id, session.recipe)
    first = flipped(dense, pruned).tolist()[: LOOKED_AT // 2]
    others = [i for i in range(dense.n) if i not in set(first)]
    return tuple((first + others)[:LOOKED_AT])


def compare(session: Session, question: Question, images: Sequence[int]) -> Comparison:
    """The maps of both networks, in steps under a progress bar; kept for the next time."""
    steps = [tuple(images[start : start + STEP]) for start in range(0, len(images), STEP)]
    bar = st.progress(0.0, f"Explaining {len(images)} images with both networks ...")
    parts = []
    for done, step in enumerate(steps, start=1):
        parts.append(cache.explained(session.model_id, session.recipe, question.method, question.layer, step))
        bar.progress(done / len(steps), f"Explained {sum(map(len, steps[:done]))} of {len(images)} images")
    bar.empty()
    names = ("targets", "dense", "pruned", "similarity")
    return Comparison(
        question.method, *(torch.cat([getattr(part, name) for part in parts]) for name in names)
    )


def answer(session: Session, question: Question, images: Sequence[int], found: Comparison) -> None:
    """Cards and gallery."""
    changed = _changed(session, images)
    defined = found.similarity[~found.similarity.isnan()].numpy()
    _cards(defined, changed, len(images))
    order = _order(question.way, found, changed)
    if not len(order):
        st.info("No prediction among the compared images flipped.", icon=":material/check:")
        return
    samples = [_sample(session, images, found, int(place)) for place in order]
    figure, data = figures.gallery(samples, EXPLAINERS[question.method].label, charts.colours())
    charts.show(figure, data, key="gallery", name=f"{session.model} {question.method} maps")


def similarity(session: Session, question: Question, images: Sequence[int], found: Comparison) -> None:
    """How alike the maps of all compared images are."""
    known = ~found.similarity.isnan().numpy()
    figure, data = figures.similarity(
        found.similarity.numpy()[known],
        _changed(session, images)[known],
        np.array(images)[known],
        charts.colours(),
    )
    charts.show(figure, data, key="similarity", name=f"{session.model} {question.method} similarity")


def _changed(session: Session, images: Sequence[int]) -> np.ndarray:
    """(images,) bool: whose prediction is another after pruning."""
    dense = cache.dense_report(session.model_id).predictions[list(images)]
    pruned = cache.pruned_report(session.model_id, session.recipe).predictions[list(images)]
    return (dense != pruned).numpy()


def _cards(similarity: np.ndarray, changed: np.ndarray, n: int) -> None:
    with st.grid(3, min_column_width=200):
        if len(similarity):
            low, middle, high = np.quantile(similarity, [0.25, 0.5, 0.75])
            st.metric(
                "Rank correlation, median",
                f"{middle:.2f}",
                f"measured, {len(similarity)} images",
                delta_color="off",
                delta_arrow="off",
                help="Spearman's ρ between the maps of the dense and the pruned network. 1: the same pixels "
                "in the same order; 0: unrelated. The images are not a fair sample: those whose prediction "
                "flipped come first.",
                border=True,
            )
            st.metric(
                "Middle half",
                f"{low:.2f} to {high:.2f}",
                help="Quartiles over the images.",
                border=True,
            )
        else:
            st.metric("Rank correlation, median", "undefined", help="All maps are constant.", border=True)
        st.metric(
            "Predictions flipped",
            f"{int(changed.sum())} of {n}",
            help="Among the images compared here, which take in the flipped ones first; the Prune page "
            "counts over all validation images.",
            border=True,
        )


def _order(way: str, found: Comparison, changed: np.ndarray) -> Sequence[int]:
    if way == WAYS[0]:
        return found.most_different(SHOWN).tolist()
    if way == WAYS[1]:
        return np.flatnonzero(changed)[:SHOWN].tolist()
    return range(min(SHOWN, len(changed)))


def _sample(session: Session, images: Sequence[int], found: Comparison, place: int) -> figures.Sample:
    task, index = cache.task(session.model_id), images[place]
    dense = cache.dense_report(session.model_id)
    pruned = cache.pruned_report(session.model_id, session.recipe)
    return figures.Sample(
        index=index,
        image=task.validation.images([index])[0].numpy(),
        dense=found.dense[place].numpy(),
        pruned=found.pruned[place].numpy(),
        similarity=float(found.similarity[place]),
        truth=task.classes[int(dense.targets[index])],
        said_dense=_said(task, dense, index),
        said_pruned=_said(task, pruned, index),
    )


def _said(task: Task, report: Report, index: int) -> str:
    answer = int(report.predictions[index])
    return "no answer" if answer == NO_CLASS else task.classes[answer]


def conductance(session: Session) -> None:
    """Conductance of one group's units, and the offer to prune by it."""
    criterion = pruning.CRITERIA["conductance"]
    scores = cache.scores(session.model_id, "channel", "conductance", choices=session.choices)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        group = st.selectbox("Group", list(scores), key="group", bind="query-params", width=320)
        st.button(
            "Prune by conductance",
            on_click=lambda: session.set(granularity="channel", criterion="conductance"),
            disabled=session.criterion == "conductance",
            help="Makes conductance the criterion of the Prune page.",
        )
    group = group if group in scores else next(iter(scores))
    removed = np.zeros(len(scores[group]), bool)
    if session.granularity == "channel" and session.recipe.rules:
        keep = cache.plan(session.model_id, session.recipe).channels.get(group)
        removed = removed if keep is None else ~keep.numpy()
    figure, data = figures.conductance(text(group), scores[group].numpy(), removed, charts.colours())
    charts.show(figure, data, key="conductance", name=f"{session.model} {group} conductance")
    st.caption(
        "Measured on calibration images. Removed units are those of the current recipe, by its criterion.",
        help=f"{criterion.description} Source: {criterion.source}.",
    )
