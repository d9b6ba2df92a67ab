"""Widgets tied to one setting each: what they show is what a run would use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import streamlit as st

from ui import state
from ui.finetune import choice
from ui.state import Session

Read = Callable[[Any], Any]


def value(session: Session, path: str) -> Any:
    """The setting at a path such as "fit.lr"."""
    return reduce(getattr, path.split("."), choice.settings(session))


def key_of(session: Session, name: str) -> str:
    """Key of a widget that is another one after a preset or a file.

    A page that polls sends what its widgets showed a moment ago: were they the same ones, they would take
    back what was just chosen for all of them.
    """
    return f"ft-{name}-{session.version}"


def bind(session: Session, path: str, *, shown: Any = None, read: Read | None = None) -> dict[str, Any]:
    """Key and callback of a widget for one setting.

    Args:
        shown: what the widget shows, if that is not the setting itself.
        read: from what the widget holds to the setting; an emptied widget decides nothing without it.
    """
    key, version = key_of(session, path), session.version

    def take() -> None:
        held = state.value(key)
        if session.version != version:  # sent before the preset was chosen
            return
        if read is not None:
            choice.change(session, path, read(held))
        elif held is not None:
            choice.change(session, path, held)

    return state.tie(key, value(session, path) if shown is None and read is None else shown, take)


def whole(session: Session, path: str, label: str, low: int, high: int, help: str, **options: Any) -> None:
    """A whole number."""
    st.number_input(label, low, high, step=1, help=help, **options, **bind(session, path))


def number(
    session: Session, path: str, label: str, low: float, high: float, step: float, help: str, **options: Any
) -> None:
    """A number with a point."""
    st.number_input(label, low, high, step=step, format="%g", help=help, **options, **bind(session, path))


def optional(
    session: Session, path: str, label: str, low: float, high: float, step: float, help: str, **options: Any
) -> None:
    """A number that may be left empty."""
    st.number_input(
        label,
        low,
        high,
        step=step,
        format="%g" if isinstance(step, float) else "%d",
        placeholder="off",
        help=help,
        **options,
        **bind(session, path, shown=value(session, path), read=lambda held: held),
    )


def pick(
    session: Session, path: str, label: str, options: Sequence[str], help: str, labels: Mapping[str, str]
) -> None:
    """One of several, by their labels."""
    st.selectbox(
        label,
        list(options),
        format_func=lambda name: labels.get(name, name),
        filter_mode=None,
        help=help,
        **bind(session, path),
    )


def described(entries: Mapping[str, Any] | Any) -> str:
    """Every entry of a registry with its source, for a tooltip."""
    return "\n\n".join(
        f"**{entry.label}.** {entry.description} *Source: {entry.source}.*" for entry in entries.values()
    )
