"""The network in 8-bit integers: how fast it really is here, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from torch import nn

from pruning.latency.ways import folded
from pruning.quantise import to_integer
from pruning.quantise.integer import integer_layers
from pruning.quantise.integer_layer import obstacle
from ui import cache, latency_setting, shell
from ui.compress import network, timed
from ui.compress.base import Base
from ui.state import Session


def draw(session: Session, base: Base) -> None:
    """A measurement on request, where values are evenly spaced; else why there is none."""
    shell.section(
        "Time in 8-bit integers",
        "Linear layers and convolutions by oneDNN's integer kernels: weights at 8 bits with a step for each "
        "channel, inputs at 8 bits calibrated on calibration images. Source: Jacob et al. 2018, "
        "arXiv:1712.05877.",
    )
    sharing = session.decided.sharing_of(base.layers)
    if sharing.method != "uniform":
        st.caption(
            "Integer kernels multiply evenly spaced values; clusters of any values make a file small, not a "
            "network fast. Choose “Evenly spaced” above to measure its time."
        )
        return
    if why := obstacle():
        st.info(shell.literal(why), icon=":material/memory:")
        return
    reasons = integer_layers(base.module)
    stay = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    others = f" In float stay {'; '.join(stay)}" if stay else ""
    st.caption(
        shell.literal(f"{len(reasons) - len(stay)} of {len(reasons)} layers can run in integers.{others}")
    )

    def make() -> tuple[nn.Module, nn.Module]:
        whole = network.network(base, sharing).cpu()
        return to_integer(whole, cache.task(session.model_id)), _folded(whole)

    setting = replace(latency_setting.current(), way="eager", place="CPU")
    timed.draw(
        session,
        f"integers {base.key} {network.name_of(sharing)}",
        "Measure it in 8-bit integers",
        "the same network in float, its BatchNorm folded",
        make,
        setting,
    )


def _folded(module: nn.Module) -> nn.Module:
    try:
        return folded(module)
    except ValueError:  # it cannot be traced
        return module
