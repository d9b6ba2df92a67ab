"""Compare: everything that was measured, in one table; what is worth having, and how runs differ."""

from ui import shell, state
from ui.compare import view

shell.guard()
session = state.session()

shell.header(
    "Compare",
    "Every evaluation, scan, fine-tuning and export is kept here: find the best trade, set two runs side by "
    "side, compare methods over seeds, take a report home.",
)
with shell.errors_here():
    view.draw(session)
