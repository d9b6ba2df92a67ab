"""What can be wrong with the history itself."""


class HistoryError(ValueError):
    """The history cannot be opened, read or written; one sentence that says why and what to do."""
