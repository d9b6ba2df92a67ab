"""The app, in which a scan goes on only as far as a test lets it: as many points as the file `held` says."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from pruning.sensitivity import ScanPoint  # noqa: E402
from pruning.sensitivity.walk import Walk  # noqa: E402
from pruning.store import cache_dir  # noqa: E402
from ui import shell  # noqa: E402

go_on = Walk.__iter__


def held(walk: Walk) -> Iterator[ScanPoint]:
    for point in go_on(walk):
        while walk.settled > int((cache_dir() / "held").read_text()) and not walk.stop.is_set():
            time.sleep(0.02)
        yield point


if go_on.__name__ != "held":  # a script runs again and again
    Walk.__iter__ = held  # type: ignore[method-assign]

page = shell.boot()
shell.model_bar()
page.run()
shell.settle()
