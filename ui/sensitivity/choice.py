"""What is scanned: granularity, criterion, ratios, images. The Prune page's choices stay as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import streamlit as st

import pruning
from pruning import MODELS, store
from pruning.groups.choices import DEFAULT, Choices
from pruning.recipe import Granularity
from pruning.sensitivity import FEW, Precise, usual_precision
from ui import cache, uploads, ways
from ui import granularity as kinds
from ui.state import Session

GRIDS = {
    "10 to 90 %, by 10": "10-90/10",
    "5 to 95 %, by 5": "5-95/5",
    "25, 50, 75 %": "25, 50, 75",
    "Own list": "",
}
MOST_RATIOS = 40
IMAGES = (500, 1000, 2000)  # offered where there are more; an exact scan of thousands takes long
USUAL = "By number of images"
PRECISIONS: dict[str, Precise | None] = {  # besides the usual one
    "Adaptive, ±1 point": Precise(),
    "Adaptive, ±0.5 points": Precise(0.5),
    "Adaptive, ±2 points": Precise(2.0),
    "Adaptive, ±1 everywhere": Precise(strict=True),
    "Exact, all images": None,
}
ENOUGH = 800  # images that a point takes on average for ±1 point if there are very many; for a first guess
PRECISION_HELP = f"""**{USUAL}**: exact up to {FEW} images, where an adaptive scan is no quicker, and for
whole layers; beyond, adaptive to ±1 point.

**Adaptive**: each point is measured on as many images as it takes until the accuracy on
all of them is known to ±1 point at 95 %. The dense network's answers are known, so only the changes are
estimated. What lies between two points that are nearly the same, or beyond a collapse, is inferred. Where
more than 10 points are lost, a tenth of the loss is enough, unless ±1 is asked for throughout. Each one stops
by a fixed width: Chow and Robbins 1965, Annals of Mathematical Statistics 36.

**Exact**: all images for each point, and the loss as well."""
T = TypeVar("T", bound=str)
# For a first guess only: what scans of the built-in networks came to on two cores (benchmarks/scan.py),
# counted as if each point were a whole evaluation, and the time before the first point.
MACS_PER_S, BEGIN_S = 1e11, 1.0


@dataclass(frozen=True)
class Choice:
    """Everything that decides the result of a scan.

    Args:
        model_id: as in `ui.cache`.
        granularity, criterion, seed: how keys are pruned.
        ratios: ascending, in [0, 1].
        n: validation images that the accuracies are about.
        choices: how groups are found.
        precise: how precisely they are to be known; None for exactly.
    """

    model_id: str
    granularity: Granularity
    criterion: str
    seed: int
    ratios: tuple[float, ...]
    n: int
    choices: Choices = DEFAULT
    precise: Precise | None = None

    @cached_property
    def digest(self) -> str:
        """Name of this scan's result on disk."""
        return store.scan_digest(
            cache.weights_digest(self.model_id),
            task=cache.task(self.model_id).name,
            split="validation",
            granularity=self.granularity,
            criterion=self.criterion,
            ratios=self.ratios,
            seed=self.seed,
            n=self.n,
            choices=self.choices,
            precise=self.precise,
        )

    @property
    def label(self) -> str:
        """For the screen: network, criterion, granularity."""
        name = MODELS[uploads.split_id(self.model_id)[0]].label
        return f"{name}, {kinds.label_within(self.granularity)} by {pruning.CRITERIA[self.criterion].label}"

    def guess_s(self, known: int = 0) -> float:
        """Seconds that the scan may take, a guess from the network's MACs, less `known` points."""
        points = len(cache.keys(self.model_id, self.granularity, self.choices)) * len(self.ratios) - known
        macs = cache.cost_model(self.model_id).dense.macs * self.images * max(0, points)
        return BEGIN_S + macs / MACS_PER_S

    @property
    def images(self) -> float:
        """How many a point may take on average, a guess."""
        if self.precise is None:
            return self.n
        most = ENOUGH / self.precise.points
        return self.n * most / (self.n + most)


def parse_grid(text: str) -> tuple[float, ...]:
    """Ratios from text such as "10, 25.5, 50" (percent) or "10-90/10" (from, to, step).

    Raises:
        ValueError: one sentence, if it is anything else.
    """
    span = re.fullmatch(r"\s*([\d.]+)\s*-\s*([\d.]+)\s*/\s*([\d.]+)\s*%?\s*", text)
    try:
        if span:
            first, last, step = map(float, span.groups())
            count = int((last - first) / step + 1e-9) + 1 if step > 0 else 0
            numbers = [first + i * step for i in range(min(count, MOST_RATIOS + 1))]
        else:
            numbers = [float(part) for part in re.split(r"[,;\s]+", text.replace("%", " ").strip())]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number <= 100 for number in numbers) or len(numbers) > MOST_RATIOS:
        raise ValueError(
            f"Give up to {MOST_RATIOS} ratios above 0 and up to 100 %, such as 10, 25, 50 or 10-90/10."
        )
    return tuple(sorted({round(number / 100, 6) for number in numbers}))


@dataclass(frozen=True)
class Wanted:
    """What the controls say; all but the network and the seed of a `Choice`.

    Args:
        images: validation images to measure on; None if there are no data.
        others: as for `Choice`.
    """

    granularity: Granularity
    choices: Choices
    criterion: str
    ratios: tuple[float, ...]
    images: int | None
    precise: Precise | None


def draw(session: Session) -> Wanted:
    """The controls: granularity, how groups are found, criterion, ratios, images and precision.

    They start from what the Prune page has chosen, and follow it when it changes.

    Raises:
        ValueError: if the own list of ratios cannot be read.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", key="scan-controls"):
        granularity = _granularity(session)
        choices = _choices(session) if granularity == "channel" else DEFAULT
        criterion = _criterion(session, granularity)
        text = "100" if granularity == "layer" else _grid()  # a whole layer is dropped or not
        images = _images(session)
        precise = _precise(images or 0, granularity)
    return Wanted(granularity, choices, criterion, parse_grid(text), images, precise)


def _precise(images: int, granularity: Granularity) -> Precise | None:
    """How precisely each accuracy is to be known; unless chosen, the number of images decides."""
    name = st.selectbox(
        "Precision",
        [USUAL, *PRECISIONS],
        key="precision",
        bind="query-params",
        filter_mode=None,
        width=220,
        help=PRECISION_HELP,
    )
    return PRECISIONS[name] if name in PRECISIONS else usual_precision(images, granularity)


def _grid() -> str:
    """The ratios, as text for `parse_grid`."""
    grid = st.selectbox(
        "Ratios",
        list(GRIDS),
        key="grid",
        bind="query-params",
        filter_mode=None,
        width=190,
        help="Which fractions of each layer or group are pruned. Points that were measured with another "
        "grid are not measured again.",
    )
    return GRIDS.get(grid, "") or str(
        st.text_input("Own ratios, %", "10, 30, 50, 70, 90", key="own-grid", bind="query-params", width=220)
    )


def _granularity(session: Session) -> Granularity:
    offered = kinds.offered(session.model_id, session.granularity)
    chosen = st.selectbox(
        "What is pruned",
        offered,
        offered.index(session.granularity),
        format_func=kinds.label,
        # The Prune page's choice is part of the key: when it changes, this one starts from it again.
        key=f"look-{session.granularity}",
        bind="query-params",
        filter_mode=None,
        width=190,
        help=f"The Prune page's choice stays as it is. {kinds.help_text(session.granularity)}",
    )
    return chosen if chosen in offered else session.granularity


def _choices(session: Session) -> Choices:
    """How groups are found, where it makes a difference; starts from the Prune page's choice."""
    own = session.draft
    heads, norms = own.heads, own.norms
    if ways.heads_matter(session.model_id, Choices(own.heads, own.norms)):
        heads = _way("Heads", ways.HEADS, own.heads, f"heads-{own.heads}", ways.HEADS_HELP)
    if ways.norms_matter(session.model_id, Choices(own.heads, own.norms)):
        norms = _way("Residual stream", ways.NORMS, own.norms, f"norms-{own.norms}", ways.NORMS_HELP)
    return Choices(heads, norms)


def _way(label: str, words: Mapping[T, str], own: T, key: str, tip: str) -> T:
    names = list(words)
    chosen = st.selectbox(
        label,
        names,
        names.index(own),
        format_func=words.__getitem__,
        key=key,
        bind="query-params",
        filter_mode=None,
        width=160,
        help=f"The Prune page's choice stays as it is. {tip}",
    )
    return chosen if chosen in words else own


def _criterion(session: Session, granularity: Granularity) -> str:
    names = [name for name in pruning.CRITERIA if cache.criterion_fits(name, granularity)]
    key = f"by-{granularity}-{session.criterion}"
    start = cache.criterion_for(granularity, session.criterion)
    chosen = st.selectbox(
        "Criterion",
        names,
        names.index(start),
        format_func=lambda name: pruning.CRITERIA[name].label,
        key=key,
        bind="query-params",
        filter_mode=None,
        width=230,
        help="What goes first within a layer or group: the lowest scores. "
        + "\n\n".join(f"**{c.label}**: {c.source}" for n, c in pruning.CRITERIA.items() if n in names),
    )
    return chosen if chosen in names else start


def _images(session: Session) -> int | None:
    """Number of validation images; asked only where all of them would take long."""
    try:
        total = len(cache.task(session.model_id).validation)
    except pruning.MissingData:
        return None
    if total <= IMAGES[0]:
        return total
    offered = [*(n for n in IMAGES if n < total), total]
    chosen = st.selectbox(
        "Images",
        offered,
        len(offered) - 1,
        format_func=lambda n: f"all {n:,}" if n == total else f"first {n:,}",
        key="scan-images",
        persist_state="session",
        filter_mode=None,
        width=130,
        help="Validation images that the accuracies are about. An exact scan measures each point on all of "
        "them; an adaptive one takes hardly longer for more.",
    )
    return int(chosen)
