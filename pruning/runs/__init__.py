"""Long work in processes of its own: what is asked for waits in the history, one run works at a time.

`Dispatcher` belongs to a server and starts workers (`python -m pruning.runs.worker ID`); a worker lives as
long as its server, and what it was doing can be resumed. Not imported by `pruning` itself.
"""

from pruning.runs.dispatch import Dispatcher
from pruning.runs.progress import Progress

__all__ = ["Dispatcher", "Progress"]
