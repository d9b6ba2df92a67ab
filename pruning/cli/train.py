"""`train`: make a built-in network's weights anew."""

from __future__ import annotations

from argparse import Namespace

from pruning.cli.console import Console
from pruning.models import ASSETS
from pruning.train import EpochReport, train_model


def run_train(arguments: Namespace, console: Console) -> None:
    """Train, write, and print what the model card says."""
    with console.progress(f"training {arguments.name}") as bar:

        def show(report: EpochReport) -> None:
            note = f"loss {report.loss:.3f}, validation {100 * report.accuracy:.1f} %"
            bar.update(report.epoch, report.epochs, note)

        card = train_model(
            arguments.name,
            data_dir=arguments.data_dir,
            out=arguments.out or ASSETS,
            epochs=arguments.epochs,
            progress=show,
        )
    console.data(card)
    test = card["accuracy"]["test"]
    low, high = test["interval"]
    console.text(
        f"{card['name']}: {100 * test['accuracy']:.2f} % (95 % interval {100 * low:.2f} to "
        f"{100 * high:.2f} %) on {test['n']:,} test images, {card['parameters']:,} parameters; written to "
        f"{arguments.out or ASSETS}"
    )
