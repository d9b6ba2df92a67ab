"""`compress`: prune, recover, share weights, train what they share, and write one small file."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruning.checkpoint import loading_code, self_check
from pruning.checkpoint.code import reader_code
from pruning.checkpoint.write import write_atomically
from pruning.cli.console import Console, accuracy_text, choices_of, criterion_of, report_data, table
from pruning.cli.evaluate import measured
from pruning.cli.finetune_flags import changed
from pruning.cli.recipe import given_recipe, uniform_recipe
from pruning.cli.record import record_compress
from pruning.clustering import INITS
from pruning.device import on_device
from pruning.groups import find_structure
from pruning.layers import find_layers
from pruning.models import LoadedModel, load_model
from pruning.tasks import Task, load_task

if TYPE_CHECKING:
    from pruning.checkpoint import SelfCheck
    from pruning.compress import Compressed, Compression, Stage
    from pruning.evaluate import Report
    from pruning.recover import Epoch, Recovery

SETTINGS = "settings.json"
MOST_CHARS = 16_000_000


def add_compress_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that no other command has; the settings are imported only when they are needed."""
    add = parser.add_argument
    add(
        "--bits",
        type=int,
        metavar="N",
        help="1 to 8: all layers' weights take at most 2^N values besides zero",
    )
    add(
        "--layer-bits",
        nargs="+",
        default=[],
        metavar="LAYER=N",
        help="bits of single layers, instead of or on top of --bits; 32 leaves a layer as it is",
    )
    add(
        "--method",
        choices=("cluster", "uniform", "clip-q"),
        default="cluster",
        help="values by k-means, evenly spaced, or partitioned in training (default: %(default)s)",
    )
    add("--init", choices=tuple(INITS), default="linear", help="where clusters begin (default: %(default)s)")
    add(
        "--clip-share",
        type=float,
        metavar="SHARE",
        help="of clip-q: share of the weights set to zero, all layers",
    )
    add(
        "--clip-search",
        type=float,
        metavar="TIMES",
        help="of clip-q: search each layer's share and bits, for weights so many times smaller",
    )
    add("--per-channel", action="store_true", help="evenly spaced values for each output channel")
    add("--affine", action="store_true", help="evenly spaced values that need not be symmetric")
    add("--tune", type=int, default=0, metavar="N", help="epochs in which the shared values are trained")
    add("--tune-lr", type=float, default=3e-4, metavar="X", help="their learning rate (default: %(default)s)")
    add("--low-rank", type=float, metavar="SHARE", help="first factorise: share of the parameters to keep")
    add("--gap-bits", type=int, metavar="N", help="bits of a gap between weights (default: the best)")
    add("--no-huffman", action="store_true", help="a fixed number of bits instead of Huffman codes")


def run_compress(arguments: Namespace, console: Console) -> None:
    """Compress, measure, write, and say where the bytes are."""
    from pruning.compress import compress

    arguments.criterion = criterion_of(arguments)
    loaded = on_device(load_model(arguments.model, arguments.weights), arguments.device)
    task = load_task(loaded.task, arguments.data_dir)
    settings = _settings(arguments, loaded, task, console)
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    epochs: list[Epoch] = []
    with console.progress("training") as bar:

        def tell(stage: Stage) -> None:
            bar.clear()
            console.text(f"{stage.label}: {stage.size.total:,} bytes, {accuracy_text(stage.report)}")

        def epoch(name: str, done: Epoch) -> None:
            bar.clear()
            console.text(f"  epoch {done.number} {name}: validation {100 * done.accuracy:.2f} %")
            number = epochs[-1].number + 1 if epochs else done.number
            epochs.append(done.model_copy(update={"number": number}))

        found = compress(
            loaded.module,
            task,
            settings,
            example_inputs=loaded.example_inputs,
            on_stage=tell,
            on_epoch=epoch,
            on_step=bar.update,
        )
    file = _write(found, settings, loaded, folder)
    reports = _on_test(found, loaded, task, console)
    with console.progress("loading the file in a fresh process"):
        check = self_check(file, found.module, task.test, limit=1024, fresh_process=True)
    record_compress(loaded, settings, found, (reports, check, epochs), len(task.classes), arguments, console)
    console.data(_document(found, settings, reports, check, file))
    console.text(*_lines(found, reports, check, file))


def _settings(arguments: Namespace, loaded: LoadedModel, task: Task, console: Console) -> Compression:
    """What is decided, by a file or by flags."""
    from pruning.compress import Compression, Packing, Sharing
    from pruning.lowrank import LowRank
    from pruning.recover import Fit, Pruning, Recovery, Teach

    if arguments.settings is not None:
        return Compression.from_json(_read(arguments.settings))
    bits, clip = _bits(arguments, loaded), arguments.clip_share
    if arguments.clip_search is not None:
        bits, clip = _clips(arguments, loaded, task, console)
    if arguments.tune and not bits:
        raise ValueError("There are no shared values to train; give --bits, or leave --tune out.")
    tune = Recovery(
        pruning=Pruning(prune=0, recover=arguments.tune),
        fit=Fit(lr=arguments.tune_lr),
        teach=Teach(weight=0.7),
    )
    share = Sharing(
        method=arguments.method,
        bits=bits,
        init=arguments.init,
        per_channel=arguments.per_channel,
        symmetric=not arguments.affine,
        **({} if clip is None else {"clip": clip}),
    )
    return Compression(
        low_rank=LowRank(share=arguments.low_rank) if arguments.low_rank is not None else None,
        prune=_recovery(arguments, loaded, console),
        share=share if bits else None,
        tune=tune if arguments.tune else None,
        packing=Packing(gap_bits=arguments.gap_bits, huffman=not arguments.no_huffman),
    )


def _recovery(arguments: Namespace, loaded: LoadedModel, console: Console) -> Recovery | None:
    """What is pruned, and how it is recovered; None if nothing is."""
    from pruning.recover import Recovery

    recipe = given_recipe(arguments, loaded)
    if recipe is None and arguments.ratio is None:
        return None
    choices = recipe.choices if recipe else choices_of(arguments)
    with console.progress("finding coupled channels"):
        structure = find_structure(loaded.module, loaded.example_inputs, choices)
    recipe = recipe or uniform_recipe(arguments, loaded, structure)
    return changed(Recovery(), arguments).model_copy(
        update={"recipe": recipe.model_copy(update={"model": loaded.name})}
    )


def _bits(arguments: Namespace, loaded: LoadedModel) -> dict[str, int]:
    layers = [layer.name for layer in find_layers(loaded.module, loaded.example_inputs) if layer.prunable]
    bits = dict.fromkeys(layers, arguments.bits) if arguments.bits is not None else {}
    for text in arguments.layer_bits:
        name, _, number = text.rpartition("=")
        if not name or not number.isdecimal():
            raise ValueError(f"--layer-bits takes LAYER=N, such as {layers[0]}=4, not {text[:80]!r}.")
        bits[name] = int(number)
    return {name: asked for name, asked in bits.items() if asked != 32}


def _clips(
    arguments: Namespace, loaded: LoadedModel, task: Task, console: Console
) -> tuple[dict[str, int], dict[str, float]]:
    """Bits and clipped shares of all layers, searched."""
    from pruning.quantise import search

    if arguments.method != "clip-q" or arguments.low_rank is not None:
        raise ValueError("--clip-search is for --method clip-q, without --low-rank.")
    if arguments.bits is not None or arguments.layer_bits or arguments.clip_share is not None:
        raise ValueError(
            "--clip-search finds bits and shares; leave out --bits, --layer-bits and --clip-share."
        )
    layers = [layer.name for layer in find_layers(loaded.module, loaded.example_inputs) if layer.prunable]
    with console.progress("searching CLIP-Q's parameters"):
        clips = search(loaded.module, task, layers, ratio=arguments.clip_search).clips
    for name, clip in clips.items():
        console.text(f"  {name}: {100 * clip.share:.0f} % clipped, {clip.bits} bits")
    return {name: clip.bits for name, clip in clips.items()}, {n: clip.share for n, clip in clips.items()}


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_CHARS:
            raise ValueError(f"{path} is too large for settings.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"The settings {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"The settings {path} are not a text file.") from None


def _write(found: Compressed, settings: Compression, loaded: LoadedModel, folder: Path) -> Path:
    file = write_atomically(folder / f"{loaded.name}-compressed.prz", found.file)
    texts = {
        SETTINGS: settings.to_json() + "\n",
        "load.py": loading_code(loaded.name, file.name),
        "reader.py": reader_code(),
    }
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    return file


def _on_test(found: Compressed, loaded: LoadedModel, task: Task, console: Console) -> tuple[Report, Report]:
    label = "measuring the {} network on test images"
    return (
        measured(loaded.module, task, "test", console, label=label.format("dense")),
        measured(found.module, task, "test", console, label=label.format("compressed")),
    )


def _document(
    found: Compressed,
    settings: Compression,
    reports: tuple[Report, Report],
    check: SelfCheck,
    file: Path,
) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json"),
        "stages": [
            {
                "name": stage.name,
                "bytes": stage.size.total,
                "weights": stage.size.weights,
                "indices": stage.size.indices,
                "codebooks": stage.size.codebooks,
                "overhead": stage.size.overhead,
                "validation": report_data(stage.report),
            }
            for stage in found.stages
        ],
        "ratio": found.ratio,
        "dense_test": report_data(reports[0]),
        "test": report_data(reports[1]),
        "self_check": {"same": check.same, "n": check.n, "identical": check.identical},
        "written": str(file),
    }


def _lines(found: Compressed, reports: tuple[Report, Report], check: SelfCheck, file: Path) -> list[str]:
    dense = found.stages[0].size.weights
    rows = []
    for stage in found.stages:
        size = stage.size
        counts = (size.weights, size.indices, size.codebooks, size.overhead, size.total)
        accuracy = f"{100 * stage.report.accuracy:.2f}"
        rows.append(
            (stage.label, *(f"{count:,}" for count in counts), f"{dense / size.total:.1f} x", accuracy)
        )
    head = (
        "bytes of the file",
        "weights",
        "indices",
        "codebooks",
        "overhead",
        "all",
        "smaller",
        "validation, %",
    )
    return [
        "",
        table(head, rows),
        "",
        f"dense:      {accuracy_text(reports[0])}",
        f"compressed: {accuracy_text(reports[1])}",
        str(check),
        "",
        f"wrote {file}",
    ]
