"""The files that are downloaded: their names and their contents."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass

from pruning import Cost, is_graph
from pruning.checkpoint import (
    Side,
    dense_size,
    ending_of,
    loading_code,
    model_card,
    program_code,
    reader_code,
)
from ui import cache
from ui.export.work import Choice, Found
from ui.state import Session

PROGRAM_CODE = "-program.py"  # ending of the file that loads the .pt2
READER = "-reader.py"  # ending of the file that decodes a .prz


@dataclass(frozen=True)
class Export:
    """A written file, and what it costs; everything here is exact.

    Args:
        stem: of the file names; ends in a digest of the network's file, so that no two exports share a name.
        ending: of the network's file.
        data: the network's file.
        dense_bytes: size of the dense network's file.
        dense, pruned: cost before and after.
    """

    stem: str
    ending: str
    data: bytes
    dense_bytes: int
    dense: Cost
    pruned: Cost

    @property
    def name(self) -> str:
        """Of the network's file."""
        return self.stem + self.ending


def write(session: Session, choice: Choice) -> Export:
    """Prune and write the file in memory.

    Raises:
        ValueError: if the network cannot be pruned so (`MissingData` if its criterion lacks calibration
            data), or holds values that no file may have.
    """
    data = cache.exported(choice.model_id, choice.recipe, choice.form)
    plan = cache.plan(choice.model_id, choice.recipe)
    costs = cache.cost_model(choice.model_id, choice.recipe.choices)
    state = "pruned" if choice.recipe.rules else "dense"
    return Export(
        stem=f"{session.model}-{state}-{_digest(data)}",
        ending=ending_of(choice.form),
        data=data,
        dense_bytes=dense_size(cache.model(choice.model_id).module),
        dense=costs.dense,
        pruned=costs.of_plan(plan),
    )


def predicted_size(choice: Choice) -> int:
    """Exact bytes of the file, without writing it but for a .prz; raises as `write`."""
    if choice.form == "prz":  # its size depends on every single weight
        return len(cache.exported(choice.model_id, choice.recipe, choice.form))
    plan = cache.plan(choice.model_id, choice.recipe)
    kept = {key: int(keep.sum()) for key, keep in plan.channels.items()}
    nonzero = {key: int(keep.sum()) for key, keep in plan.weights.items()}
    sizes = cache.size_model(choice.model_id, choice.recipe.choices)
    dropped = [block.id for block in plan.blocks]
    return sizes.size(choice.recipe, kept, nonzero, dropped=dropped, form=choice.form)


def texts(session: Session, export: Export, choice: Choice, found: Found) -> dict[str, str]:
    """Ending -> the text of the file with that ending: recipe, card, loader; also the reader of a .prz, and
    the loader of the program."""
    measured, program = found.measured, f"{export.stem}.pt2"
    card = model_card(
        architecture=session.model,
        recipe=choice.recipe,
        plan=cache.plan(choice.model_id, choice.recipe),
        dense=Side(export.dense, export.dense_bytes, measured.dense),
        pruned=Side(export.pruned, len(export.data), measured.pruned),
        timing=measured.timing,
        check=measured.check,
        graph=is_graph(cache.pruned(choice.model_id, choice.recipe)),
        file_name=export.name,
        program_name=program if found.program_file else "",
        provenance=cache.model(choice.model_id).provenance,
    )
    texts = {
        "-recipe.json": choice.recipe.to_json(),
        "-card.md": card,
        "-load.py": loading_code(session.model, export.name),
    }
    if choice.form == "prz":
        texts[READER] = reader_code()
    return {**texts, PROGRAM_CODE: program_code(program)} if found.program_file else texts


def reader_command(export: Export) -> str:
    """What decodes a .prz on a machine that has nothing but Python and numpy."""
    return f"python {export.stem}{READER} {export.name}"


def archive(export: Export, texts: dict[str, str], program: bytes | None) -> tuple[str, bytes]:
    """All files as a zip, and its name; the same files give the same bytes.

    Args:
        program: the `.pt2`, if there is one.
    """
    buffer = io.BytesIO()
    files = {export.ending: export.data} | {ending: text.encode() for ending, text in texts.items()}
    files |= {".pt2": program} if program else {}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for ending, data in files.items():
            packed.writestr(zipfile.ZipInfo(export.stem + ending, (2020, 1, 1, 0, 0, 0)), data)
    data = buffer.getvalue()
    return f"{export.stem.rpartition('-')[0]}-{_digest(data)}.zip", data


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]
