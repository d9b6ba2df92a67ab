"""A run in steps: what happens before which of them."""

from __future__ import annotations

from pruning.recover.choose import exchange_share
from pruning.recover.record import Phase
from pruning.recover.schedules import Update, cycle, updates_of
from pruning.recover.settings import Recovery


class Timeline:
    """When a run prunes and exchanges weights, and how far it is; steps count from 0 over the whole run.

    Args:
        settings: of the run.
        steps: in an epoch.
    """

    def __init__(self, settings: Recovery, steps: int) -> None:
        self.settings, self.steps = settings, steps
        self.total = settings.epochs * steps
        rules = settings.recipe.rules
        self.updates = updates_of(settings.pruning, len(rules)) if rules else ()
        self._at = [self._step(settings.pruning.stabilise + update.at) for update in self.updates]

    def _step(self, epochs: float) -> int:
        return round(epochs * self.steps)

    def due(self, step: int, done: int) -> tuple[Update, ...]:
        """Updates that come before this step.

        Args:
            step: the step.
            done: updates that were done.
        """
        return tuple(
            update for update, at in zip(self.updates[done:], self._at[done:], strict=True) if at <= step
        )

    def last_in_epoch(self, step: int, done: int) -> bool:
        """Whether no update comes after this step in its epoch."""
        end = (step // self.steps + 1) * self.steps
        return not any(at < end for at in self._at[done:])

    def exchange(self, step: int) -> float:
        """Share of the weights that are exchanged before this step, see `Pruning.regrow`; 0 = none."""
        pruning = self.settings.pruning
        since = step - pruning.stabilise * self.steps
        length, every = pruning.prune * self.steps, self.steps / pruning.updates
        if not pruning.regrow or not 0 < since < length or int(since / every) == int((since - 1) / every):
            return 0.0
        return exchange_share(pruning.regrow, since / length)

    def rate_progress(self, step: int) -> float:
        """How far the learning rate's schedule is after this step, in (0, 1]; it begins anew where weights go
        back."""
        rewinds = self._at if self.settings.pruning.rewind is not None else []
        begin, end = cycle(rewinds, self.total, step)
        return (step - begin + 1) / (end - begin)

    def penalty_progress(self, step: int) -> float:
        """How far the penalty's part of the run is after this step, in (0, 1]."""
        pruning = self.settings.pruning
        last = self._at[-1] if self._at else self._step(pruning.stabilise + pruning.prune)
        return min(1.0, (step + 1) / max(1, last))

    def rounds(self, done: int) -> int:
        """Prunings done; updates that fall on one step are one pruning."""
        return len(set(self._at[:done]))

    def phase(self, number: int) -> Phase:
        """The part of the run that an epoch belongs to; the first one is that of epoch 0, too."""
        pruning = self.settings.pruning
        if pruning.stabilise and number <= pruning.stabilise:
            return "stabilise"
        gradual = len(self.updates) > 1 or pruning.regrow > 0
        return "prune" if gradual and number <= pruning.stabilise + pruning.prune else "recover"
