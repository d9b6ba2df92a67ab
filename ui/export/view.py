"""What the Export page shows: the files, their sizes, and what was measured of them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

import pruning
from pruning.checkpoint import Form
from pruning.checkpoint.layout import FORMS
from pruning.evaluate import paired_difference
from pruning.sparsity import masks_weights
from ui import shell
from ui.export import files
from ui.export.files import Export
from ui.export.work import Choice, Found
from ui.figures.words import SPACE, percent
from ui.state import Session

FORM_WORDS = {
    "dense": "Dense: any reader of .safetensors gets the full tensors, zeros included.",
    "sparse": "Sparse: only the kept weights and their positions; decoded exactly by load_checkpoint.",
    "prz": ".prz: all tensors coded without loss, gaps between weights and shared values by Huffman codes; "
    "read by load_checkpoint, or by a reader of one file that needs numpy alone.",
}
FORM_NAMES = {"dense": "Dense", "sparse": "Sparse", "prz": ".prz"}


def masked(recipe: pruning.Recipe) -> bool:
    """Whether single weights are masked, so that there is a choice of how to store them."""
    return any(masks_weights(rule.granularity) for rule in recipe.rules.values())


def choose(session: Session) -> Choice:
    """How the network is stored: each form with the exact size of its file."""
    recipe = session.recipe
    offered: list[Form] = [form for form in FORMS if masked(recipe) or form != "sparse"]
    choices = {form: Choice(session.model_id, recipe, form) for form in offered}
    sizes = {form: files.predicted_size(choice) for form, choice in choices.items()}
    chosen = st.segmented_control(
        "Form of the file",
        offered,
        default=min((form for form in offered if form != "prz"), key=lambda form: sizes[form]),
        required=True,
        format_func=lambda form: f"{FORM_NAMES[form]} · {shell.size(sizes[form])}",
        key="export-form" if masked(recipe) else "export-form-whole",
        persist_state="session",
        help=" ".join(FORM_WORDS[form] for form in offered),
    )
    assert chosen is not None  # one is required
    return choices[chosen]


def cards(export: Export, choice: Choice, found: Found) -> None:
    """Dense against pruned: file, parameters, MACs (exact) and test accuracy (measured)."""
    dense, pruned = export.dense, export.pruned
    with st.grid(4, min_column_width=200):
        _exact(
            "File",
            export.dense_bytes,
            len(export.data),
            shell.size,
            f"Exact size of the {export.ending} file on disk; the dense network's is a .safetensors.",
        )
        _exact(
            "Parameters that are not zero",
            dense.nonzero,
            pruned.nonzero,
            shell.count,
            f"Exact. The file's tensors hold {pruned.parameters:,} parameters, "
            f"the dense network {dense.parameters:,}.",
        )
        _exact(
            "MACs",
            dense.macs,
            pruned.macs,
            shell.count,
            "Exact multiply-accumulates for one image, attention products included. Masked weights are still "
            "multiplied: only removed channels lower this figure.",
        )
        _accuracy(choice, found)
    after = found.measured.pruned
    if after is not None and after.invalid:
        st.warning(f"{after.invalid:,} of {after.n:,} images give NaN and count as wrong.")


def _exact(label: str, before: int, after: int, show: Callable[[float], str], tip: str) -> None:
    share = round(100 * (after / before - 1), 1)
    change = f"{share:+.1f}{SPACE}%" if after != before else "same as dense"
    told = after != before and share != 0  # a header's bytes are no news, good or bad
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


def _accuracy(choice: Choice, found: Found) -> None:
    before, after = found.measured.dense, found.measured.pruned
    if before is None or after is None:
        images = choice.test
        st.metric(
            "Test accuracy",
            "measuring" if found.busy and images else "not measured",
            "no data" if images is None else f"{len(images):,} images",
            delta_color="off",
            delta_arrow="off",
            help="Its data is missing; the line on top says what to do."
            if images is None
            else "Measured on all test images, which no scan or tuning has seen.",
            border=True,
        )
        return
    change = paired_difference(before, after)
    low, high = change.interval
    st.metric(
        "Test accuracy, measured",
        percent(after.accuracy, 2),
        f"{100 * change.value:+.2f}{SPACE}pt" if change.value else "same as dense",
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
    return f"{percent(report.accuracy, 2)} ({percent(low, 2)} to {percent(high, 2)})"


def downloads(export: Export, texts: dict[str, str], found: Found) -> None:
    """The files, one by one and as one archive; what holds measured figures waits for them."""
    with st.container(horizontal=True, key="downloads"):
        _download("Network", export.ending, export, export.data, _network_tip(export))
        _program(export, found)
        for what, ending, tip in (
            (
                "Recipe",
                "-recipe.json",
                "Every decision; the Prune page and `python -m pruning prune` read it.",
            ),
            ("Loader", "-load.py", "A few lines of Python that load the network lying beside it."),
            ("Model card", "-card.md", "What was measured, on what, and how to load the file."),
        ):
            waits = (found.busy or found.writing) and ending == "-card.md"
            _download(what, ending, export, texts[ending].encode(), tip, disabled=waits)
        if files.READER in texts:
            tip = "Decodes the .prz into a .npz; needs Python and numpy, nothing else. Describes the format."
            _download("Reader", files.READER, export, texts[files.READER].encode(), tip)
        waits = found.busy or found.writing
        name, data = f"{export.stem}.zip", b""
        if not waits:
            name, data = files.archive(export, texts, found.program_file)
        st.download_button(
            "All as .zip",
            lambda: data,
            name,
            "application/zip",
            icon=":material/folder_zip:",
            key="download.zip",
            on_click="ignore",
            disabled=waits,
            help=f"All files in one archive. Saved as {name}" if data else "Follows the model card.",
        )
    st.caption(_when(found))
    if found.program is not None and found.program.state == "failed":
        st.caption(f"There is no .pt2: {shell.literal(found.program.error)}")


def _when(found: Found) -> str:
    if found.busy:
        return "The model card holds what is measured: it and the .zip follow when the measurement is done."
    if found.writing:
        return "The .pt2 is being written, loaded again and compared; the model card and the .zip follow."
    card = "holds the measured figures" if found.done else "says “not measured” where no figure is"
    loaded = "; the .pt2 was loaded again and answers the example input bit for bit alike"
    return f"The model card {card}; the .zip holds all files{loaded if found.program_file else ''}."


def _network_tip(export: Export) -> str:
    if export.ending == ".prz":
        return "The pruned network, coded without loss; every byte of it is checked when it is read."
    return "The pruned network: plain tensors, no pickle."


def _program(export: Export, found: Found) -> None:
    """The `.pt2`; nothing where there can be none."""
    if found.program_file:
        tip = "The pruned network as a program: needs torch, and no class of ours or yours. Checked: loaded "
        tip += "again, its outputs on the example input are the same bit for bit."
        _download("Program", ".pt2", export, found.program_file, tip)
    elif found.writing:
        tip = "torch.export writes the network as a program that needs no class at all; that takes seconds."
        _download("Program", ".pt2", export, b"", tip, disabled=True)


def _download(
    what: str, ending: str, export: Export, data: bytes, tip: str, *, disabled: bool = False
) -> None:
    kind = ending[ending.rindex(".") :]
    # A function, since the browser would fetch bytes as soon as it sees the button, to see if they are there.
    st.download_button(
        f"{what} {kind}" + ("" if disabled else f" · {shell.size(len(data))}"),
        lambda: data,
        export.stem + ending,
        icon=":material/download:",
        type="primary" if ending == export.ending else "secondary",
        key=f"download{ending if ending == files.READER else kind}",  # the loader is a .py too
        on_click="ignore",
        disabled=disabled,
        help=f"{tip} Saved as {export.stem}{ending}",
    )


def previews(export: Export, texts: dict[str, str], found: Found) -> None:
    """The text files, to be read before they are taken."""
    load, card, recipe = st.tabs(["How to load it", "Model card", "Recipe"])
    with load:
        st.code(texts["-load.py"], "python")
        if files.READER in texts:
            st.markdown("Without this project, numpy alone; writes all tensors into a .npz:")
            st.code(files.reader_command(export), "bash")
        if files.PROGRAM_CODE in texts:
            st.markdown("The .pt2 needs torch alone, and no class of the network:")
            st.code(texts[files.PROGRAM_CODE], "python")
    with card:
        if found.busy or found.writing:
            st.caption("Follows as soon as everything is measured and written.")
        else:
            st.code(texts["-card.md"], "markdown", wrap_lines=True)
    with recipe:
        st.code(texts["-recipe.json"], "json", height=420)
