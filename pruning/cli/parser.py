"""The arguments of every command, with help that says what to do with them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, get_args

from pruning.checkpoint import FORMS
from pruning.cli.compress import add_compress_flags, run_compress
from pruning.cli.console import Console
from pruning.cli.evaluate import run_evaluate
from pruning.cli.finetune import run_finetune
from pruning.cli.finetune_flags import add_flags
from pruning.cli.inspect import run_inspect, run_models
from pruning.cli.latency import run_latency
from pruning.cli.prune import run_prune
from pruning.cli.scan import run_scan
from pruning.cli.train import run_train
from pruning.device import AUTO
from pruning.groups.choices import Heads, Norms
from pruning.latency import WAYS
from pruning.recipe import UNITS
from pruning.sensitivity import FEW
from pruning.sparsity import parse
from pruning.sparsity.n_of_m import read_spelled

Run = Callable[[argparse.Namespace, Console], None]

DESCRIPTION = "See where a network can be cut, cut it, and measure what that costs and saves."
EPILOG = """\
from a network to a smaller one:
  python -m pruning models                                     what is built in
  python -m pruning inspect digits-resnet                      its layers, and which channels are coupled
  python -m pruning scan digits-resnet --loss 1 --write r.json measure each group, propose a recipe
  python -m pruning prune digits-resnet --recipe r.json --out small
  python -m pruning finetune digits-resnet --ratio 0.5 --distill --out smaller
  python -m pruning evaluate small/digits-resnet-pruned.safetensors
  python -m pruning latency digits-resnet --recipe r.json      pruned and dense in turns

Scans measure on validation images, which also choose the epoch of a fine-tuning; test images are kept for
final figures (prune, finetune, evaluate).
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of printing all of its usage."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `python -m pruning`; a parsed command carries its function as `run`."""
    parser = _Parser(
        prog="python -m pruning",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(json=False, data_dir=None)
    _add_common(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_models(commands)
    _add_inspect(commands)
    _add_scan(commands)
    _add_prune(commands)
    _add_finetune(commands)
    _add_compress(commands)
    _add_evaluate(commands)
    _add_latency(commands)
    _add_train(commands)
    return parser


def _command(commands: Any, run: Run, summary: str, more: str) -> argparse.ArgumentParser:
    name = run.__name__.removeprefix("run_")
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {more}"
    )
    _add_common(parser)
    parser.set_defaults(run=run)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Options that may stand before or after the command."""
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print one JSON document and no progress, for other programs",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="where mnist.npz and cifar10.npz lie (default: $PRUNING_DATA_DIR); digits need none",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a built-in network; `models` lists them")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="your own weights for that architecture: a .safetensors or .pt state dict (no code is run)",
    )


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-history", action="store_true", help="keep nothing of it in the history that the app compares"
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        metavar="NAME",
        default=AUTO,
        help="where the network runs: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one (default: "
        "%(default)s)",
    )


def _add_method(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--granularity",
        type=_granularity,
        metavar="NAME",
        default="channel",
        help="channel: remove whole filters, neurons or heads, the network gets smaller and faster; layer: "
        "drop whole residual blocks or transformer layers, those with the lowest scores; or set "
        "to zero, shapes stay: weight (single ones), n:4 (N of every 4 in a row; the ratio says N), 16x1, "
        "32x32, ... (blocks, outputs x inputs), pattern (entries of 3x3 kernels) (default: %(default)s)",
    )
    parser.add_argument(
        "--criterion",
        metavar="NAME",
        help="what makes a channel, weight or layer important: l1, l2, random, taylor, influence, ... "
        "(default: l2; influence for layers)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of criteria that draw numbers (default: 0)"
    )


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--heads",
        choices=get_args(Heads),
        help="whole: attention heads go as a whole; inside: the same entry of every head goes, all heads "
        "stay and become narrower (default: whole)",
    )
    parser.add_argument(
        "--norms",
        choices=get_args(Norms),
        help="exact: what norms average over, such as the residual stream of a transformer, stays whole; "
        "statistics: it may be pruned, means and variances are then those of the channels that stay "
        "(default: exact)",
    )


def _add_models(commands: Any) -> None:
    _command(commands, run_models, "list the built-in networks", "Each comes with trained weights.")


def _add_inspect(commands: Any) -> None:
    parser = _command(
        commands,
        run_inspect,
        "show a network's layers and coupled channels",
        "A group is a set of channels that can only be removed together; its name is the key to prune it by.",
    )
    _add_model(parser)
    _add_choices(parser)


def _add_scan(commands: Any) -> None:
    parser = _command(
        commands,
        run_scan,
        "measure how sensitive each layer or group is",
        "Prunes one key at a time at each ratio and measures accuracy on validation images. Results are kept "
        "in the cache directory, shared with the app.",
    )
    _add_model(parser)
    _add_device(parser)
    _add_history(parser)
    _add_method(parser)
    _add_choices(parser)
    parser.add_argument(
        "--ratios",
        type=_ratios,
        metavar="R,R,...",
        help="fractions to remove (default: 0.1,0.2,...,0.9; a whole layer only at 1)",
    )
    parser.add_argument("--limit", type=_positive, metavar="N", help="take the first N images only")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--adaptive",
        action="store_true",
        help=f"measure each point on as many images as it takes, infer what is certain (default with more "
        f"than {FEW} images)",
    )
    mode.add_argument(
        "--exact",
        action="store_true",
        help=f"measure each point on all images (default with up to {FEW}, and for layers)",
    )
    parser.add_argument(
        "--precision",
        type=float,
        metavar="POINTS",
        help="adaptive, with this half width of the 95 %% intervals, in points; where more than ten "
        "times that is lost, a tenth of the loss (default: 1)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="adaptive, and to --precision however much is lost"
    )
    parser.add_argument(
        "--loss",
        type=float,
        default=1.0,
        metavar="POINTS",
        help="accuracy that each key alone may lose, in percentage points (default: %(default)s)",
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the proposal as a recipe for `prune --recipe`"
    )
    parser.add_argument("--fresh", action="store_true", help="measure anew even if the result is kept")


def _add_prune(commands: Any) -> None:
    parser = _command(
        commands,
        run_prune,
        "prune a network and write it to a folder",
        "Writes the pruned network (.safetensors or .prz), recipe.json, a card (README.md) and load.py, "
        "and measures accuracy on test images and latency in turns with the dense network.",
    )
    _add_model(parser)
    _add_device(parser)
    _add_history(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--recipe", type=Path, metavar="FILE", help="what to prune, as `scan --write` makes it")
    what.add_argument(
        "--ratio", type=_ratio, metavar="R", help="instead of a recipe: this fraction of every key"
    )
    _add_method(parser)
    _add_choices(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    parser.add_argument(
        "--pt2",
        action="store_true",
        help="write a .pt2 program too: torch.export.load(...).module() runs it without any class",
    )
    parser.add_argument(
        "--form",
        choices=FORMS,
        default="dense",
        help="of the file: dense or sparse, a .safetensors with masked weights as zeros or left out; or prz, "
        "all tensors coded without loss in as few bytes as possible, with its reader (default: %(default)s)",
    )


def _add_finetune(commands: Any) -> None:
    parser = _command(
        commands,
        run_finetune,
        "prune while training, and train until the network has recovered",
        "Writes the network of the best epoch by validation images (.safetensors), its recipe, its settings, "
        "a model card (README.md) and load.py. Interrupted, it goes on with --resume.",
    )
    _add_model(parser)
    _add_device(parser)
    _add_history(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--recipe", type=Path, metavar="FILE", help="what to prune, as `scan --write` makes it")
    what.add_argument(
        "--ratio", type=_ratio, metavar="R", help="instead of a recipe: this fraction of every key"
    )
    _add_method(parser)
    _add_choices(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="all settings, recipe included, as a run has left them"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the interrupted run in the folder of --out"
    )
    add_flags(parser)
    parser.set_defaults(seed=None)  # that of the settings


def _add_compress(commands: Any) -> None:
    parser = _command(
        commands,
        run_compress,
        "prune, share weights and code them: one small file",
        "Writes a .prz, settings.json, load.py, and reader.py, which decodes the file with numpy alone. With "
        "--recipe or --ratio it prunes first, as `finetune` does with the same flags.",
    )
    _add_model(parser)
    _add_device(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--recipe", type=Path, metavar="FILE", help="what to prune, as `scan --write` makes it")
    what.add_argument("--ratio", type=_ratio, metavar="R", help="prune this fraction of every key")
    what.add_argument("--settings", type=Path, metavar="FILE", help="everything, as settings.json has it")
    _add_method(parser)
    _add_choices(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    add_compress_flags(parser)
    _add_history(parser)
    add_flags(parser)


def _add_evaluate(commands: Any) -> None:
    parser = _command(
        commands,
        run_evaluate,
        "measure the accuracy of a pruned checkpoint",
        "The file says which architecture it is; a plain state dict needs --model.",
    )
    parser.add_argument("path", metavar="PATH", help="a file of `prune`, or the name of a built-in network")
    parser.add_argument(
        "--model", metavar="NAME", help="read PATH as plain weights of this built-in architecture"
    )
    _add_device(parser)
    parser.add_argument(
        "--split",
        choices=("train", "calibration", "validation", "test"),
        default="test",
        help="which images (default: %(default)s)",
    )
    parser.add_argument("--limit", type=_positive, metavar="N", help="measure on the first N images only")


def _add_latency(commands: Any) -> None:
    parser = _command(
        commands,
        run_latency,
        "measure how long a network takes on this machine",
        "With a recipe or a ratio the pruned and the dense network take turns. Peak memory is that of an "
        "eager forward.",
    )
    _add_model(parser)
    _add_device(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--recipe", type=Path, metavar="FILE", help="what to prune")
    what.add_argument("--ratio", type=_ratio, metavar="R", help="instead: this fraction of every key")
    _add_method(parser)
    _add_choices(parser)
    parser.add_argument("--batch-size", type=_positive, default=1, metavar="N", help="images per forward")
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="of torch; 1 is steadiest on a busy machine"
    )
    parser.add_argument(
        "--way",
        choices=tuple(WAYS),
        default="eager",
        help="; ".join(f"{way}: {spec.description}" for way, spec in WAYS.items()).replace("%", "%%"),
    )
    parser.add_argument("--layers", action="store_true", help="show the time of every module, too")
    parser.add_argument(
        "--table", metavar="KEY", help="measure time against channels of this group, as `inspect` names it"
    )


def _add_train(commands: Any) -> None:
    parser = _command(
        commands,
        run_train,
        "train a built-in network from scratch",
        "Writes NAME.safetensors and its card NAME.json; interrupted, it goes on where it was.",
    )
    parser.add_argument("name", metavar="NAME", help="a built-in network; `models` lists them")
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of the recipe's, for a quick try")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: assets/)")


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number between 0 and 1") from None
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value


def _granularity(text: str) -> str:
    try:
        if (spelled := read_spelled(text)) is not None:
            raise ValueError(f"write {spelled[0]} and ratio {spelled[1]:g} for {text}")
        return text if text in UNITS else parse(text).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _ratios(text: str) -> tuple[float, ...]:
    return tuple(sorted({_ratio(part.strip()) for part in text.split(",")}))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)
