"""How results are kept: the only user of `st.cache_*`, and a store that is bounded in bytes."""

from __future__ import annotations

import gc
import sys
from functools import partial

import streamlit as st

from ui.bounded import Bounded

resource = partial(st.cache_resource, show_spinner=False)
kept = Bounded(limit=1 << 30).keep  # like `resource`, for results that grow with the network
_frozen_modules = 0


def freeze() -> None:
    """Collect garbage once and exempt what is left from later collections.

    Streamlit runs a full collection after each script or fragment run; over the objects of torch, plotly and
    pandas that takes 150 ms and holds the interpreter's lock.
    """
    gc.collect()
    gc.freeze()


def freeze_imports() -> None:
    """`freeze` again if many modules came in since the last time: pages import theirs when they run."""
    global _frozen_modules
    if len(sys.modules) > _frozen_modules + 20:
        _frozen_modules = len(sys.modules)
        freeze()
