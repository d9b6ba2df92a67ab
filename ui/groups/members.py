"""The parameters of a group in a table, and what stays whole in the network, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from pruning import Group, Structure
from pruning.groups.choices import Choices
from ui import cache, shell
from ui.groups import words
from ui.state import Session

if TYPE_CHECKING:
    import pandas as pd

HEIGHT = 660


def table(session: Session, choices: Choices, group: Group) -> None:
    """Every parameter of the group, in the order of the forward pass."""
    shell.section("Its parameters", help="Buffers such as running means go along, and are listed too.")
    data = member_table(group, cache.structure(session.model_id, choices).shapes)
    st.dataframe(
        data,
        hide_index=True,
        height=min(HEIGHT, 38 + 35 * len(data)),
        key="member-table",
        column_config={
            "parameter": st.column_config.TextColumn(width=225),
            "shape": st.column_config.TextColumn(width=115, help="Before anything is removed."),
            "dimension": st.column_config.TextColumn(
                width=85, help="Which dimension of the parameter becomes shorter."
            ),
            "per unit": st.column_config.NumberColumn(
                width=65, help="How many entries of that dimension go with one unit."
            ),
            "role": st.column_config.TextColumn(width=110, help="What it does with the units."),
        },
    )


def member_table(group: Group, shapes: Mapping[str, tuple[int, ...]]) -> pd.DataFrame:
    """One row a member."""
    import pandas as pd

    rows = [
        (
            member.parameter,
            words.sizes(shapes[member.parameter]),
            words.dimension(member.dim, member.parameter, len(shapes[member.parameter])),
            member.index.shape[1],
            words.ROLES[member.role],
        )
        for member in group.members
    ]
    return pd.DataFrame(rows, columns=["parameter", "shape", "dimension", "per unit", "role"])


def fixed(session: Session, choices: Choices) -> None:
    """What no group may shorten, grouped by reason."""
    shell.section(
        "What stays whole, and why",
        help="Dimensions that no group may shorten. Single weights in them can still be masked.",
    )
    data = fixed_table(cache.structure(session.model_id, choices))
    if data.empty:
        st.caption("Nothing: every dimension belongs to a group.")
        return
    looked = st.text_input(
        "Search",
        key="fixed-search",
        placeholder="Search a parameter or a reason",
        label_visibility="collapsed",
        width=340,
    )
    shown = data[found(data, looked or "")]
    st.dataframe(
        shown,
        hide_index=True,
        height=min(420, 38 + 35 * max(1, len(shown))),
        key="fixed-table",
        column_config={
            "reason": st.column_config.TextColumn(width=640),
            "parameter": st.column_config.TextColumn(width=240),
            "length": st.column_config.NumberColumn(help="Entries of the dimension."),
        },
    )
    reasons = shown["reason"].nunique()
    st.caption(f"{len(shown):,} of {len(data):,} dimensions, for {reasons} reason{'s' * (reasons != 1)}.")


def fixed_table(structure: Structure) -> pd.DataFrame:
    """One row a dimension; those with the same reason follow each other, the commonest reason first."""
    import pandas as pd

    rows = [
        (
            _sentence(one.reason),
            one.parameter,
            words.dimension(one.dim, one.parameter, len(shape)),
            shape[one.dim],
        )
        for one in structure.fixed
        for shape in [structure.shapes[one.parameter]]
    ]
    data = pd.DataFrame(rows, columns=["reason", "parameter", "dimension", "length"])
    often = data.groupby("reason")["reason"].transform("size")
    order = data.assign(often=often).sort_values(["often", "reason"], ascending=[False, True], kind="stable")
    return data.loc[order.index].reset_index(drop=True)


def found(data: pd.DataFrame, looked: str) -> list[bool]:
    """Which rows hold the text that is looked for, in whichever column and case."""
    rows = data.astype(str).agg(" ".join, axis=1)
    return [looked.strip().lower() in row.lower() for row in rows]


def _sentence(reason: str) -> str:
    """A reason without marks; a layer's name at its beginning stays as it is written."""
    first = reason[:1] if reason.startswith("`") else reason[:1].upper()
    return f"{first}{reason[1:]}.".replace("`", "")
