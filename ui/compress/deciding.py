"""Decisions of the Compress page, taken over into the session."""

from __future__ import annotations

from ui.compress.decided import Decided
from ui.state import Session


def decide(session: Session, decided: Decided, *, final: bool = True, dragged: bool = False) -> None:
    """Decide otherwise; a whole drag becomes one undo step at `final`."""
    session.packing, session.note = session.packing.take(decided, final=final), ""
    session.version += not dragged
    if final:
        session.save_address()


def step_back(session: Session, *, redo: bool = False) -> None:
    """Undo, or redo."""
    session.packing = session.packing.redo() if redo else session.packing.undo()
    session.version += 1
    session.save_address()
