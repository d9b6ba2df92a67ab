"""Say in words why the members of a group belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pruning.groups.notes import Note
from pruning.groups.types import Grade, Kind, Member

_UNITS: dict[Kind, str] = {
    "filter": "filters",
    "neuron": "neurons",
    "head": "attention heads",
    "inside-head": "entries inside every head",
    "embedding": "embedding entries",
    "recurrent unit": "recurrent units",
}
_WHY = {
    "add": "their outputs are added in {where}",
    "multiply": "their outputs are multiplied in {where}",
    "combine": "their outputs are combined entry by entry in {where}",
    "depthwise": "each channel is filtered on its own in {where}",
    "grouped": "groups of channels must stay equally wide in {where}",
    "head": "a head needs its rows of query, key and value and its columns of the projection, in {where}",
    "split": "they are cut into equal pieces in {where}",
    "reshape": "they are reshaped into blocks that stay whole in {where}",
    "inside": "queries and keys are multiplied over it in {where}",
    "grouped heads": "several heads of queries share one of keys and values in {where}",
    "blocks": "norms over blocks of channels must stay equally wide in {where}",
    "pad": "zero channels are put beside them in {where}",
}
_TOLD: dict[Kind, tuple[str, ...]] = {"head": ("head", "grouped heads"), "inside-head": ("inside",)}
_BLOCKS = ("grouped", "split", "reshape", "blocks")  # these alone tie entries of one layer to each other


_STATISTICS = "Means and variances over them are then taken over those that stay."


def explain(kind: Kind, members: Sequence[Member], notes: Sequence[Note], grade: Grade = "exact") -> str:
    """One or two sentences on why the members are coupled."""
    makers = _layers(members, "producer")
    places = _places(kind, notes)
    units = f"{_UNITS[kind][:1].upper()}{_UNITS[kind][1:]} of {_listing(makers)}"
    block = max((m.index.shape[1] for m in members if m.role == "producer"), default=1)
    blocks = [name for name in places if name in _BLOCKS]
    if kind == "recurrent unit":
        text = f"{units} go with their row in each of {block} gates and with the state that they feed back."
    elif kind == "inside-head":
        text = f"The same entry of every head of {_listing(makers)} goes at once, because {_clauses(places)}."
    elif len(makers) > 1:
        reasons = _clauses(places) or "the same layer reads them, or the same weight makes them"
        text = f"{_listing(makers)} are coupled because {reasons}."
    elif kind == "head":
        text = f"{units} go as a whole because {_clauses(places)}."
    elif blocks and block > 1:
        text = f"{units} go in blocks of {block} because {_clauses({name: places[name] for name in blocks})}."
    else:
        text = f"{units} can go one by one." if makers else ""
    changed = _STATISTICS if grade == "statistics" else ""
    return " ".join(sentence for sentence in (text, _followers(members), changed) if sentence)


def operations(notes: Sequence[Note]) -> tuple[str, ...]:
    """The coupling operations as "module path: operation", each once, in order."""
    return tuple(dict.fromkeys(f"{note.scope or 'forward'}: {note.kind}" for note in notes))


def _followers(members: Sequence[Member]) -> str:
    """What goes along without having a say: norms, and the inputs of what reads the units."""
    norms, readers = _layers(members, "norm"), _layers(members, "consumer")
    parts = [f"the entries of {_listing(norms)}"] if norms else []
    parts += [f"the inputs of {_listing(readers)}"] if readers else []
    blocks = [m for m in members if m.role == "consumer" and m.index.shape[1] > 1]
    each = f" ({blocks[0].index.shape[1]} inputs of `{blocks[0].layer}` each)" if blocks else ""
    return f"With them go {' and '.join(parts)}{each}." if parts else ""


def _places(kind: Kind, notes: Sequence[Note]) -> dict[str, list[str]]:
    """Kind of operation -> module paths, kinds in a fixed order; of attention only what makes it attention.

    Reshapes into heads and the rotation of positions are part of the same story.
    """
    told = _TOLD.get(kind, tuple(_WHY))
    places: dict[str, list[str]] = {}
    for name in told:
        where = list(dict.fromkeys(note.scope for note in notes if note.kind == name))
        if where:
            places[name] = where
    return places


def _layers(members: Sequence[Member], role: str) -> list[str]:
    return list(dict.fromkeys(member.layer for member in members if member.role == role))


def _listing(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" if name else "the network's own forward" for name in names]
    if len(quoted) > 4:
        quoted = [*quoted[:3], f"{len(quoted) - 3} more"]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " and " + quoted[-1] if quoted else ""


def _clauses(places: Mapping[str, Sequence[str]]) -> str:
    return ", and because ".join(_WHY[name].format(where=_listing(where)) for name, where in places.items())
