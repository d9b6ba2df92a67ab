"""How the Groups page says what the engine knows: units, roles, operations, dimensions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from pruning import Group
from pruning.groups import Kind

UNITS: dict[Kind, tuple[str, str]] = {  # one, several
    "filter": ("filter", "filters"),
    "neuron": ("neuron", "neurons"),
    "head": ("head", "heads"),
    "inside-head": ("entry of each head", "entries of each head"),
    "embedding": ("embedding entry", "embedding entries"),
    "recurrent unit": ("recurrent unit", "recurrent units"),
}
SHORT: dict[Kind, str] = {"inside-head": "entry", "embedding": "entry", "recurrent unit": "unit"}
ROLES = {"producer": "makes units", "norm": "scales or shifts", "consumer": "reads"}
GRADES = {
    "exact": "the smaller network answers like this one with the removed units set to zero",
    "statistics": "the smaller network answers like this one with the removed units set to zero and the "
    "means and variances of its norms taken over those that stay; fine-tune it afterwards",
}
_OPERATIONS = {
    "add": "addition",
    "multiply": "multiplication",
    "combine": "operation entry by entry",
    "depthwise": "depthwise convolution, each channel by itself",
    "grouped": "grouped convolution",
    "head": "split into heads",
    "split": "cut into equal pieces",
    "reshape": "reshape into blocks",
    "inside": "product of queries and keys",
    "grouped heads": "queries that share keys and values",
    "blocks": "norm over blocks of channels",
    "pad": "zero channels put beside",
}


def units(group: Group, count: int | None = None) -> str:
    """How many units, in words: "24 filters"."""
    count = group.size if count is None else count
    return f"{count:,} {UNITS[group.kind][count != 1]}"


def unit(group: Group) -> str:
    """What a unit is called before its number."""
    return SHORT.get(group.kind, UNITS[group.kind][0])


def operations(group: Group) -> str:
    """What couples the members, each kind of operation with its places; "" if nothing does."""
    places: dict[str, list[str]] = {}
    for operation in group.operations:
        scope, _, kind = operation.rpartition(": ")
        places.setdefault(kind, []).append("the network itself" if scope == "forward" else f"`{scope}`")
    said = [f"{_OPERATIONS.get(kind, kind)} in {', '.join(found)}" for kind, found in places.items()]
    return "; ".join(said)


def in_html(text: str) -> str:
    """A text as HTML: names in backticks, which may be anything, are escaped and set as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def dimension(dim: int, parameter: str, dimensions: int) -> str:
    """A dimension of a parameter in words: "0 (rows)" of a matrix or of kernels, else "0"."""
    matrix = dimensions > 1 and dim < 2 and "weight" in parameter.rpartition(".")[2]
    return f"{dim} ({('rows', 'columns')[dim]})" if matrix else f"{dim}"


def sizes(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
