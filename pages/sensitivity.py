"""Sensitivity: how much accuracy each layer or coupled group costs when only that one is pruned."""

from ui import shell, state
from ui.sensitivity import choice, timing, view

shell.guard()
session = state.session()

shell.header(
    "Sensitivity",
    "Prune one layer or group at a time and measure: flat curves are safe to cut, steep ones are not.",
)
with shell.errors_here():
    wanted = choice.draw(session)
    with shell.errors_here():
        view.draw(session, wanted)
    timing.draw(session, wanted.granularity, wanted.choices, wanted.ratios)
