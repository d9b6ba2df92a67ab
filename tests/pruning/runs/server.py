"""A server that does nothing but dispatch sleepers, until somebody ends it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pruning.history import History
from pruning.runs import Dispatcher

if __name__ == "__main__":
    dispatcher = Dispatcher(History(), command=(sys.executable, str(Path(__file__).with_name("sleeper.py"))))
    dispatcher.start()
    while True:
        time.sleep(1)
