"""The command line. Commands are thin: read arguments, call the engine, print."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from pruning.cli.console import Console
from pruning.cli.parser import make_parser

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; those of the process if not given.
    Returns:
        The exit code: 0 done, 2 a mistake that one line on stderr explains, 130 interrupted.
    """
    try:
        arguments = make_parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed its help, or its one line
        return int(stop.code or 0)
    console = Console(json=arguments.json)
    try:
        arguments.run(arguments, console)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        with suppress(OSError):  # else Python complains once more when it closes stdout
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError) as error:
        console.error(_one_line(error))
        return 2
    except KeyboardInterrupt:
        console.error("interrupted")
        return 130
    return 0


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
