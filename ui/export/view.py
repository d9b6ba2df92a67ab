"""What the Export page shows: the files, their sizes, and proof that they load."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import streamlit as st

import pruning
from pruning import MissingData
from pruning.checkpoint import Form, SelfCheck, Side, dense_size, loading_code, model_card
from pruning.checkpoint.layout import FORMS
from pruning.evaluate import paired_difference
from ui import cache, shell
from ui.state import Session

FORM_WORDS = {
    "dense": "Dense tensors: any reader of .safetensors gets the full tensors, zeros included.",
    "sparse": "Compact: only the kept weights and their positions; decoded exactly by load_checkpoint.",
}


@dataclass(frozen=True)
class Export:
    """Everything about one export.

    Args:
        stem: of the file names; ends in a digest of the content, so that no two exports share a name.
        form: how masked tensors are stored.
        data: the checkpoint file.
        dense, pruned: the two networks' figures; reports are None without data.
        check: of the exported file; None without data.
    """

    stem: str
    form: Form
    data: bytes
    dense: Side
    pruned: Side
    check: SelfCheck | None


def masked(recipe: pruning.Recipe) -> bool:
    """Whether single weights are masked, so that there is a choice of how to store them."""
    return any(rule.granularity == "weight" for rule in recipe.rules.values())


def choose_form(session: Session) -> Form:
    """Dense or compact tensors; only where it makes a difference."""
    if not masked(session.recipe):
        return "dense"
    sizes = {form: len(cache.exported(session.model_id, session.recipe, form)) for form in FORMS}
    chosen = st.segmented_control(
        "Form of the file",
        list(FORMS),
        default=min(sizes, key=lambda form: sizes[form]),
        required=True,
        format_func=lambda form: f"{form.capitalize()} · {shell.size(sizes[form])}",
        key="export-form",
        persist_state="session",
        help=" ".join(FORM_WORDS.values()),
    )
    return "sparse" if chosen == "sparse" else "dense"


def prepare(session: Session, form: Form) -> Export:
    """Write the file in memory, load it again, measure both networks on test images."""
    recipe, name = session.recipe, session.model_id
    data = cache.exported(name, recipe, form)
    plan = cache.plan(name, recipe)
    costs = cache.cost_model(name)
    kept = {key: int(keep.sum()) for key, keep in plan.channels.items()}
    nonzero = {key: int(keep.sum()) for key, keep in plan.weights.items()}
    dense_bytes = dense_size(cache.model(name).module)
    before: pruning.Report | None = None
    after: pruning.Report | None = None
    check: SelfCheck | None = None
    with suppress(MissingData):  # the bar on top of the page says what to do
        images = f"{len(cache.task(name).test):,} test images"
        with st.spinner(f"Measuring the dense network on {images} ..."):
            before = cache.dense_report(name, "test")
        with st.spinner(f"Measuring the pruned network on {images} ..."):
            after = cache.pruned_report(name, recipe, "test") if recipe.rules else before
        with st.spinner(f"Loading the file again and running it on {images} ..."):
            check = cache.checked(name, recipe, form)
    return Export(
        stem=f"{session.model}-{'pruned' if recipe.rules else 'dense'}-{recipe.digest[:8]}",
        form=form,
        data=data,
        dense=Side(costs.cost(), dense_bytes, before),
        pruned=Side(costs.cost(kept, nonzero), len(data), after),
        check=check,
    )


def cards(export: Export) -> None:
    """Dense against pruned: file, parameters, MACs (exact) and test accuracy (measured)."""
    dense, pruned = export.dense, export.pruned
    with st.grid(4, min_column_width=200):
        _exact(
            "File", dense.file_bytes, pruned.file_bytes, shell.size, "Exact size of the .safetensors file."
        )
        _exact(
            "Parameters that are not zero",
            dense.cost.nonzero,
            pruned.cost.nonzero,
            shell.count,
            f"Exact. The file's tensors hold {pruned.cost.parameters:,} parameters, "
            f"the dense network {dense.cost.parameters:,}.",
        )
        _exact(
            "MACs",
            dense.cost.macs,
            pruned.cost.macs,
            shell.count,
            "Exact multiply-accumulates for one image, attention products included. Masked weights are still "
            "multiplied: only removed channels lower this figure.",
        )
        _accuracy(export)


def _exact(label: str, before: int, after: int, show: Callable[[float], str], tip: str) -> None:
    change = f"{after / before - 1:+.1%}" if after != before else "same as dense"
    told = change not in ("same as dense", "+0.0%", "-0.0%")  # a header's bytes are no news, good or bad
    st.metric(
        label,
        show(after),
        change,
        delta_color="inverse" if told else "off",
        delta_arrow="auto" if told else "off",
        delta_description=f"dense {show(before)}",
        help=tip,
        border=True,
    )


def _accuracy(export: Export) -> None:
    before, after = export.dense.report, export.pruned.report
    if before is None or after is None:
        st.metric(
            "Test accuracy", "not measured", help="Its data is missing; the line on top says what to do."
        )
        return
    change = paired_difference(before, after)
    low, high = change.interval
    st.metric(
        "Test accuracy, measured",
        f"{after.accuracy:.2%}",
        f"{100 * change.value:+.2f} pts" if change.value else "same as dense",
        delta_color="normal" if change.value else "off",
        delta_arrow="auto" if change.value else "off",
        delta_description=f"{100 * low:+.1f} to {100 * high:+.1f}",
        help=f"Measured on all {after.n:,} test images, which no scan or tuning has seen: "
        f"{_with_interval(after)}, dense {_with_interval(before)} (95 % Wilson intervals). The interval of "
        "the change is Newcombe's for paired proportions (1998, Statistics in Medicine 17).",
        border=True,
    )


def _with_interval(report: pruning.Report) -> str:
    low, high = report.interval
    return f"{report.accuracy:.2%} ({low:.2%} to {high:.2%})"


def proof(session: Session, export: Export) -> None:
    """What the self-check found, and the offer to repeat it in a fresh process."""
    if export.check is None:
        st.info("The file was not checked: there are no images to run it on.", icon=":material/folder_off:")
        return
    _say(export.check)
    if st.button(
        "Check again in a fresh Python process",
        icon=":material/restart_alt:",
        type="tertiary",
        help="Starts a new Python, which knows nothing of this one, lets it load the file and run the test "
        "images, and compares every output. Takes a few seconds.",
    ):
        with st.spinner("A fresh process loads the file ..."), shell.errors_here():
            _say(
                cache.checked(session.model_id, session.recipe, export.form, fresh_process=True),
            )


def _say(check: SelfCheck) -> None:
    if check.passed:
        st.success(str(check), icon=":material/verified:")
    else:
        st.error(f"{check} Do not use this file; please report it with its recipe.", icon=":material/error:")


def latency(session: Session) -> pruning.Timing:
    """Measure the latency that goes on the card, in turns with the dense network."""
    timing = cache.pruned_latency(session.model_id, session.recipe)
    base = timing.baseline
    assert base is not None
    assert timing.ratio is not None
    assert timing.ratio_interval is not None
    low, high = timing.ratio_interval
    st.markdown(
        f"**Latency, measured:** {1000 * timing.median:.2f} ms against {1000 * base.median:.2f} ms dense: "
        f"{timing.ratio:.2f} times as fast (95 % interval {low:.2f} to {high:.2f}); batch "
        f"{timing.batch_size}, {timing.threads} thread{'s' if timing.threads != 1 else ''}, "
        f"{timing.n} forward{'s' if timing.n != 1 else ''} of each in turns."
    )
    if timing.warning:
        st.caption(timing.warning)
    return timing


def downloads(session: Session, export: Export, timing: pruning.Timing | None) -> None:
    """The files, one by one and as one archive."""
    files = _files(session, export, timing)
    words = {
        ".safetensors": ("Network", "The pruned network: plain tensors, no pickle."),
        ".json": ("Recipe", "Every decision; the Prune page and `python -m pruning prune` read it."),
        ".md": ("Model card", "What was measured, on what, and how to load the file."),
        ".py": ("Loader", "A few lines of Python that load the network lying beside it."),
    }
    with st.container(horizontal=True, key="downloads"):
        for name, data in files.items():
            ending = name[name.rindex(".") :]
            what, tip = words[ending]
            st.download_button(
                f"{what} {ending} · {shell.size(len(data))}",
                data,
                name,
                icon=":material/download:",
                type="primary" if ending == ".safetensors" else "secondary",
                key=f"download{ending}",
                on_click="ignore",
                help=f"{tip} Saved as {name}",
            )
        st.download_button(
            "All as .zip",
            _archive(files),
            f"{export.stem}-{export.form}.zip",
            "application/zip",
            icon=":material/folder_zip:",
            key="download.zip",
            on_click="ignore",
            help="The four files in one archive.",
        )


def previews(session: Session, export: Export, timing: pruning.Timing | None) -> None:
    """The text files, to be read before they are taken."""
    files = _files(session, export, timing)
    load, card, recipe = st.tabs(["How to load it", "Model card", "Recipe"])
    with load:
        st.code(_text(files, ".py"), "python")
    with card:
        st.code(_text(files, ".md"), "markdown", wrap_lines=True)
    with recipe:
        st.code(_text(files, ".json"), "json", height=420)


def _files(session: Session, export: Export, timing: pruning.Timing | None) -> dict[str, bytes]:
    """File name -> content; the checkpoint first."""
    name = f"{export.stem}-{export.form}.safetensors"
    loaded = cache.model(session.model_id)
    card = model_card(
        architecture=session.model,
        recipe=session.recipe,
        plan=cache.plan(session.model_id, session.recipe),
        dense=export.dense,
        pruned=export.pruned,
        timing=timing,
        check=export.check,
        file_name=name,
        provenance=loaded.provenance,
    )
    return {
        name: export.data,
        f"{export.stem}-recipe.json": session.recipe.to_json().encode(),
        f"{export.stem}-card.md": card.encode(),
        f"{export.stem}-load.py": loading_code(session.model, name).encode(),
    }


def _text(files: dict[str, bytes], ending: str) -> str:
    return next(data for name, data in files.items() if name.endswith(ending)).decode()


def _archive(files: dict[str, bytes]) -> bytes:
    """A zip of the files; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()
