"""The whole pipeline as one recipe, each stage on or off, started as a run."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pruning import MissingData
from pruning.compress.settings import Compression
from pruning.lowrank import METHODS
from ui import cache, runs, shell, state
from ui.compress import base as bases
from ui.compress import low_rank
from ui.compress.base import Base
from ui.compress.deciding import decide
from ui.state import Session

EPOCHS = 4  # of a training that is switched on


def draw(session: Session, base: Base) -> None:
    """The stages, and Start."""
    shell.section(
        "The whole pipeline",
        "Prune, train, share, train what is shared, code. Source: Han et al. 2015, arXiv:1510.00149.",
    )
    _stages(session)
    wanted = settings(session, base)
    why = refused(session, wanted)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Start",
            key="compress-start",
            type="primary",
            icon=":material/play_arrow:",
            disabled=bool(why),
            help="Runs in a process of its own at low priority: leave, come back, stop it.",
        ):
            with shell.errors_here():
                _start(session, wanted)
                st.rerun()
        st.download_button(
            "Settings .json",
            lambda: wanted.to_json(),
            f"{session.model}-{wanted.digest[:8]}-compression.json",
            "application/json",
            icon=":material/download:",
            key="compress-settings",
            on_click="ignore",
            help="`python -m pruning compress --settings FILE` does the same.",
        )
        st.caption(shell.literal(why or said(wanted, base)))


def _stages(session: Session) -> None:
    """A card for each stage, in the order in which they run."""
    decided, packing = session.decided, session.decided.packing
    low, prune, share, code = st.columns(4, gap="small", border=True)
    with low:
        _low_rank(session)
    with prune:
        _prune(session)
    with share:
        other = {"share": not decided.share}
        _toggle(session, "share", "Share values", decided.share, other, "By the bits of the board.")
        if decided.share:
            _training(session, "tune", "Fine-tune shared values", decided.tune)
            if decided.tune is not None:
                _rate(session)
    with code:
        coded = {"packing": packing.model_copy(update={"huffman": not packing.huffman})}
        _toggle(session, "code", "Huffman codes", packing.huffman, coded, "Off: fixed numbers of bits.")


def _low_rank(session: Session) -> None:
    settings = session.decided.low_rank
    if session.decided.source:
        st.caption("Whatever the chosen run began with.")
        return
    st.toggle(
        "Low rank first",
        help="As decided at the top of this page.",
        **state.tie(_key(session, "low-rank"), settings is not None, lambda: low_rank.switch(session)),
    )
    if settings is not None:
        ranks = (
            "ranks by hand" if settings.ranks is not None else f"{100 * (settings.energy or 0):g} % energy"
        )
        st.caption(f"{METHODS[settings.method].label}, {ranks}")


def _prune(session: Session) -> None:
    decided, rules = session.decided, session.recipe.rules
    if decided.source:
        st.caption("Pruned and trained by the chosen run.")
        return
    _toggle(
        session,
        "prune",
        "Prune",
        decided.prune and bool(rules),
        {"prune": not decided.prune},
        "The recipe of the Prune page." if rules else "Nothing is pruned on the Prune page yet.",
        disabled=not rules,
    )
    if decided.prune and rules:
        _training(session, "recover", "Fine-tune", decided.recover)
    elif not rules:
        st.page_link("pages/prune.py", label="Choose what goes", icon=":material/arrow_forward:")


def _rate(session: Session) -> None:
    key = _key(session, "lr")

    def take() -> None:
        held = state.value(key)
        if held:
            decide(session, session.decided.model_copy(update={"lr": held}))

    st.number_input(
        "Learning rate",
        1e-6,
        1.0,
        step=1e-4,
        format="%g",
        help="Highest rate of the training of shared values; it falls along a cosine.",
        **state.tie(key, session.decided.lr, take),
    )


def _training(session: Session, name: str, label: str, epochs: int | None) -> None:
    """A switch and its epochs."""
    other = None if epochs is not None else EPOCHS
    _toggle(session, name, label, epochs is not None, {name: other}, "Trains on training images.")
    if epochs is None:
        return
    key = _key(session, f"{name}-epochs")

    def take() -> None:
        held = state.value(key)
        if held:
            decide(session, session.decided.model_copy(update={name: int(held)}))

    st.number_input("Epochs", 1, 1000, **state.tie(key, epochs, take))


def _toggle(
    session: Session,
    name: str,
    label: str,
    on: bool,
    other: dict[str, Any],
    help: str,
    *,
    disabled: bool = False,
) -> None:
    def take() -> None:
        decide(session, session.decided.model_copy(update=other))

    st.toggle(label, help=help, disabled=disabled, **state.tie(_key(session, name), on, take))


def _key(session: Session, name: str) -> str:
    return f"pipeline-{name}-{session.version}"


def settings(session: Session, base: Base) -> Compression:
    """What a run would do."""
    recipe = base.recipe if session.decided.low_rank else session.recipe
    return session.decided.compression(recipe, base.layers, session.recovery)


def refused(session: Session, wanted: Compression) -> str:
    """Why this cannot be run here, in a sentence; "" if it can."""
    try:
        cache.task(session.model_id)
    except MissingData as error:
        return str(error)
    return ""


def said(wanted: Compression, base: Base) -> str:
    """What a run would do, in a sentence."""
    parts = ["dense"] if wanted.prune is None and wanted.low_rank is None else []
    if wanted.low_rank is not None:
        parts.append(f"factorise layers ({METHODS[wanted.low_rank.method].label})")
    if wanted.prune is not None:
        epochs = wanted.prune.epochs
        parts.append(f"prune{f' and train {epochs} epochs' if epochs else ' at once, without training'}")
    if base.plan.entries and wanted.prune is None and wanted.low_rank is None:
        parts = [base.label]
    if wanted.share is not None:
        parts.append(f"share values in {len(wanted.share.bits)} layers")
    if wanted.tune is not None:
        parts.append(f"train them {wanted.tune.epochs} epochs")
    parts.append("Huffman code" if wanted.packing.huffman else "code in fixed bits")
    return f"It will: {', '.join(parts)}; validation images choose epochs, test images measure the result."


def _start(session: Session, wanted: Compression) -> None:
    source = session.decided.source
    pruned = bases.file_of(source, session.model).read_bytes() if source else None
    run_id = runs.dispatcher().submit(
        cache.model(session.model_id), wanted, owner=session.claim(), device=session.device, pruned=pruned
    )
    session.look_at(run_id)
