"""The settings of a run: when what is pruned, how weights are trained, what else is in the loss."""

from __future__ import annotations

import streamlit as st

from pruning.recover.optimise import LR_SCHEDULES
from pruning.recover.regularise import REGULARISERS
from pruning.recover.schedules import SCHEDULES
from pruning.recover.settings import MOST_EPOCHS, Regularise, Teach
from ui import cache, state
from ui.finetune import choice, fields, files
from ui.state import Session

PHASES = {
    "stabilise": "Training before anything is pruned.",
    "prune": "Training while the ratios rise to those of the recipe.",
    "recover": "Training afterwards, with what stays fixed.",
}
OPTIMIZERS = {"sgd": "SGD, Nesterov momentum", "adamw": "AdamW"}
PRECISIONS = {"float32": "float32", "bfloat16": "bfloat16", "float16": "float16, scaled loss"}
NONE = "none"


def draw(session: Session) -> None:
    """All settings, in tabs of about the same height."""
    tabs = {
        "Pruning": _pruning,
        "Training": _training,
        "Images": _images,
        "Teacher": _teacher,
        "Penalty": _penalty,
        "More": _more,
    }
    for tab, content in zip(st.tabs(list(tabs)), tabs.values(), strict=True):
        with tab:
            content(session)


def _pruning(session: Session) -> None:
    steps = choice.settings(session).pruning
    labels = {name: entry.label for name, entry in SCHEDULES.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        fields.pick(
            session, "pruning.schedule", "Schedule", list(SCHEDULES), fields.described(SCHEDULES), labels
        )
        if steps.schedule in ("iterative", "layer-by-layer"):
            tip = "Prunings, each followed by an equal part of the pruning epochs."
            fields.whole(session, "pruning.rounds", "Rounds", 1, 100, tip, width=110)
        elif steps.schedule != "one-shot":
            tip = "How many times the ratios are raised in an epoch."
            fields.whole(session, "pruning.updates", "Updates an epoch", 1, 1000, tip, width=150)
    entry = SCHEDULES[steps.schedule]
    st.caption(f"{entry.description} Source: {entry.source}.")
    with st.grid(3, min_column_width=120):
        for phase, tip in PHASES.items():
            label = f"{phase.capitalize()}, epochs"
            fields.whole(session, f"pruning.{phase}", label, 0, MOST_EPOCHS, tip)
    with st.grid(2, min_column_width=150):
        _choosing(session)


def _choosing(session: Session) -> None:
    """What decides which entries stay, and where weights start."""
    single = session.granularity == "weight"
    only = "" if single else " Only for recipes that mask single weights."
    st.selectbox(
        "Chosen by",
        ["criterion", "movement"],
        format_func={"criterion": "Recipe's criterion", "movement": "Movement"}.__getitem__,
        filter_mode=None,
        help="The recipe's criterion, on the weights of the moment; or how far training moves weights away "
        "from zero (Sanh et al. 2020, arXiv:2005.07683).",
        **fields.bind(session, "pruning.choose"),
    )
    fields.number(
        session,
        "pruning.regrow",
        "Regrow, share",
        0.0,
        0.99,
        0.1,
        "Share of the kept weights that an update exchanges for those of the largest gradient; it falls to 0 "
        f"while pruning lasts (RigL, Evci et al. 2020, arXiv:1911.11134).{only}",
        disabled=not single,
    )
    st.selectbox(
        "Start at",
        ["trained", "initial"],
        format_func={"trained": "Trained weights", "initial": "Random weights"}.__getitem__,
        filter_mode=None,
        help="Random weights are drawn by the run's seed: lottery tickets, and training from scratch.",
        **fields.bind(session, "pruning.start"),
    )
    fields.optional(
        session,
        "pruning.rewind",
        "Rewind to epoch",
        0,
        MOST_EPOCHS,
        1,
        "After each pruning the weights that stay go back to what they were after this epoch of the run, at "
        "most the last stabilising one (Frankle and Carbin 2019, arXiv:1803.03635; 2020, arXiv:1912.05671).",
    )


def _training(session: Session) -> None:
    labels = {name: entry.label for name, entry in LR_SCHEDULES.items()}
    rising = "Share of all steps in which the rate rises from 0 (Goyal et al. 2017, arXiv:1706.02677)."
    clipped = "Largest norm of the whole gradient (Pascanu et al. 2012, arXiv:1211.5063)."
    precise = "What multiplications are done in; weights stay float32 (Micikevicius et al. 2017, "
    precise += "arXiv:1710.03740)."
    with st.grid(3, min_column_width=120):
        _optimizer(session)
        fields.number(session, "fit.lr", "Learning rate", 1e-8, 10.0, 1e-4, "The highest of the run.")
        described = fields.described(LR_SCHEDULES)
        fields.pick(session, "fit.lr_schedule", "Over the epochs", list(LR_SCHEDULES), described, labels)
        fields.number(session, "fit.warmup", "Warm-up, share", 0.0, 1.0, 0.05, rising)
        sgd = choice.settings(session).fit.optimizer == "sgd"
        fields.number(session, "fit.momentum", "Momentum", 0.0, 0.999, 0.05, "Of SGD.", disabled=not sgd)
        decayed = "Of weight matrices and kernels; biases and norms have none."
        fields.number(session, "fit.weight_decay", "Weight decay", 0.0, 10.0, 1e-4, decayed)
        fields.whole(session, "fit.batch_size", "Batch size", 1, 65_536, "Images a step.")
        fields.optional(session, "fit.clip", "Clip gradients at", 1e-6, 1e6, 0.5, clipped)
        fields.pick(session, "fit.precision", "Precision", _precisions(session), precise, PRECISIONS)


def _optimizer(session: Session) -> None:
    tip = "SGD with Nesterov's momentum, or AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101)."
    fields.pick(session, "fit.optimizer", "Optimizer", list(OPTIMIZERS), tip, OPTIMIZERS)


def _precisions(session: Session) -> list[str]:
    """float16 on CUDA only, unless it is chosen."""
    chosen = choice.settings(session).fit.precision
    return [name for name in PRECISIONS if name != "float16" or "cuda" in session.device or chosen == name]


def _images(session: Session) -> None:
    st.caption("Random changes of the training images, another at each step; none of validation and test.")
    with st.grid(3, min_column_width=120):
        fields.number(session, "fit.shift", "Shift, pixels", 0.0, 64.0, 0.5, "Each way, up to so many.")
        fields.number(session, "fit.rotate", "Rotate, degrees", 0.0, 180.0, 1.0, "Each way, up to so many.")
        fields.number(session, "fit.zoom", "Zoom, share", 0.0, 0.9, 0.05, "Up or down, up to this share.")
        fields.number(
            session,
            "fit.smoothing",
            "Label smoothing",
            0.0,
            0.9,
            0.01,
            "Share of the label that is spread over all classes (Szegedy et al. 2015, arXiv:1512.00567).",
        )
    st.checkbox("Mirror half of the images left to right", **fields.bind(session, "fit.flip"))


def _teacher(session: Session) -> None:
    teach = choice.settings(session).teach
    st.checkbox(
        "Learn from the dense network",
        help="The dense network's outputs, softened by the temperature, are a part of the loss: they say "
        "more than a label (Hinton et al. 2015, arXiv:1503.02531).",
        **fields.bind(
            session, "teach", shown=teach is not None, read=lambda on: Teach().model_dump() if on else None
        ),
    )
    if teach is None:
        return
    divided = "Both networks' outputs are divided by it before they are compared."
    matched = "Factor of the loss of hidden features, 0 = none (Romero et al. 2015, arXiv:1412.6550; after "
    matched += "channel pruning: Hu et al. 2018, arXiv:1805.11394)."
    with st.grid(3, min_column_width=120):
        shared = "The rest is the labels'."
        fields.number(session, "teach.weight", "Weight in the loss", 0.0, 1.0, 0.1, shared)
        fields.number(session, "teach.temperature", "Temperature", 0.1, 100.0, 1.0, divided)
        fields.number(session, "teach.hints", "Features, factor", 0.0, 1000.0, 0.1, matched)
    if teach.hints:
        _hinted(session, teach)


def _hinted(session: Session, teach: Teach) -> None:
    names = [layer.name for layer in cache.layers(session.model_id)]
    shown = [name for name in teach.layers if name in names]
    st.multiselect(
        "Layers whose outputs are matched",
        names,
        placeholder="one for each resolution, chosen by itself",
        help="Where widths differ, a small layer is trained along that brings them together; the result "
        "has none.",
        **fields.bind(session, "teach.layers", shown=shown, read=lambda held: tuple(held)),
    )


def _penalty(session: Session) -> None:
    chosen = choice.settings(session).regularise

    def read(name: str) -> dict[str, object] | None:
        return (
            None if name == NONE else Regularise(name=name, strength=REGULARISERS[name].strength).model_dump()
        )

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Penalty",
            [NONE, *REGULARISERS],
            format_func=lambda name: "None" if name == NONE else REGULARISERS[name].label,
            filter_mode=None,
            help=fields.described(REGULARISERS),
            **fields.bind(session, "regularise", shown=chosen.name if chosen else NONE, read=read),
        )
        if chosen:
            fields.number(
                session,
                "regularise.strength",
                "Strength",
                0.0,
                1e6,
                1e-5,
                "Its factor in the loss.",
                width=150,
            )
    if chosen is None:
        st.caption(
            "A penalty drives weights towards zero while stabilising and pruning last; none is chosen."
        )
        return
    entry = REGULARISERS[chosen.name]
    st.caption(f"{entry.description} Source: {entry.source}.")
    if (
        chosen.name == "bn-l1"
        and session.criterion != "bn-scale"
        and cache.criterion_fits("bn-scale", session.granularity)
    ):
        st.button(
            "Rank channels by BatchNorm scale",
            key="rank-by-scale",
            icon=":material/swap_vert:",
            help="Sets the recipe's criterion to what this penalty is made for; Undo on the Prune page "
            "takes it back.",
            on_click=lambda: session.set(criterion="bn-scale", scope="global"),
        )


def _more(session: Session) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        fields.optional(
            session,
            "fit.patience",
            "Stop early after",
            1,
            MOST_EPOCHS,
            1,
            "So many recovering epochs without a better validation accuracy end the run.",
            width=150,
        )
        fields.whole(
            session,
            "fit.seed",
            "Seed",
            0,
            2**31 - 1,
            "Of the order of images, their changes, dropout and random weights: the same seed gives the same "
            "numbers on this machine.",
            width=130,
        )
    st.checkbox(
        "Measure BatchNorm anew after the last pruning and at the end",
        help="On training images, and kept only where that is better on calibration images (Li et al. 2020, "
        "arXiv:2007.02491).",
        disabled=not choice.has_norm(session),
        **fields.bind(session, "recalibrate"),
    )
    _layer_rates(session)
    files.settings(session)


def _layer_rates(session: Session) -> None:
    """Factors of the learning rate."""
    rates = choice.settings(session).fit.layer_lr
    with st.expander(f"Learning rate of single layers{f' · {len(rates)} set' if rates else ''}"):
        names = [layer.name for layer in cache.layers(session.model_id)]
        rows = [{"layer": name, "factor": rates.get(name, 1.0)} for name in names]

        key, version = fields.key_of(session, "layer-rates"), session.version

        def take() -> None:
            edited = state.value(key, {}).get("edited_rows", {})
            found = {row["layer"]: row["factor"] for row in rows}
            found |= {
                names[int(place)]: new["factor"]
                for place, new in edited.items()
                if new.get("factor") is not None
            }
            kept = {name: float(factor) for name, factor in found.items() if factor != 1.0}
            others = {name: factor for name, factor in rates.items() if name not in found}
            if session.version == version:
                choice.change(session, "fit.layer_lr", others | kept)

        st.data_editor(
            rows,
            hide_index=True,
            height=220,
            disabled=["layer"],
            key=key,
            on_change=take,
            column_config={
                "layer": "Layer",
                "factor": st.column_config.NumberColumn(
                    "Factor",
                    min_value=0.0,
                    max_value=1000.0,
                    help="Of the learning rate; 0 freezes the layer.",
                ),
            },
        )
