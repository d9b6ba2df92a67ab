"""Fine-tune: prune step by step while the network trains, watch it, leave and come back."""

from ui import shell, state
from ui.finetune import plan, run, which

shell.guard()
session = state.session()

shell.header(
    "Fine-tune",
    "Prune while the network trains, so that what stays takes over from what goes. A run works on without "
    "this page.",
)
with shell.errors_here():
    shown = which.draw(session)
    if shown is None:
        plan.draw(session)
    else:
        run.draw(session, shown)
