"""What can be pruned, as pages offer it: names, labels, sources, and which counts are possible."""

from __future__ import annotations

from collections.abc import Mapping

from pruning.cost import Cost, CostModel
from pruning.recipe import Granularity
from pruning.sparsity import FAMILIES, Stops, family_of, masks_weights, parse
from ui import cache

UNITS = {"channel": "Channels", "layer": "Whole layers"}  # granularities by which whole units go
FORMS = {"n:m": "N:M, N of every {}", "block": "Blocks of {}"}  # families with several members
MOST_STOPS = 129  # places at which a handle stops

GENERAL = (
    "Channels (filters, neurons, attention heads) and whole layers are really removed: the network gets "
    "smaller and faster. All others set weights to zero in place: the file can shrink, the time does not."
)
LAYERS = (
    "A residual block or transformer layer adds something to its input. One that is dropped adds nothing: "
    "its input goes on in the place of its output, and the others stay as they are."
)
SHORTGPT = "Men et al. 2024 (ShortGPT), arXiv:2403.03853"


def help_text(granularity: Granularity) -> str:
    """What the choice means, and what the chosen one does and where it comes from."""
    if granularity == "layer":
        return f"{GENERAL}\n\n**{UNITS[granularity]}**: {LAYERS}\n\nSource: {SHORTGPT}."
    if not masks_weights(granularity):
        return GENERAL
    family = family_of(granularity)
    return f"{GENERAL}\n\n**{family.label}**: {family.description}\n\nSource: {family.source}."


def offered(model_id: str, chosen: Granularity) -> list[str]:
    """The granularities to choose from: units, masks that fit some layer here, and the chosen one."""
    names = (name for family in FAMILIES.values() for name in family.examples)
    fitting = [*UNITS, *(name for name in names if cache.keys(model_id, name))]
    return fitting if chosen in fitting else [*fitting, chosen]


def label(granularity: Granularity) -> str:
    """Its name on a screen."""
    if not masks_weights(granularity):
        return UNITS.get(granularity, granularity)
    family = family_of(granularity)
    size = granularity.removeprefix("n:").replace("x", " × ")
    return FORMS.get(family.name, family.label).format(size)


def label_within(granularity: Granularity) -> str:
    """Its name within a sentence."""
    text = label(granularity)
    return text if text.startswith("N:M") else text[0].lower() + text[1:]


def ranked_alone(granularity: Granularity) -> bool:
    """Whether each row is ranked by itself, whatever the scope."""
    return masks_weights(granularity) and bool(parse(granularity).alone)


def cost(costs: CostModel, granularity: Granularity, kept: Mapping[str, int]) -> Cost:
    """The exact cost of a network of which only so many units or weights of some keys are kept.

    Args:
        costs: of the network.
        granularity: what the keys are.
        kept: group id, block id or layer name -> units (0 or 1 for a block) or weights kept.
    """
    if granularity == "channel":
        return costs.cost(kept)
    if granularity == "layer":
        return costs.cost(dropped=[key for key, count in kept.items() if not count])
    return costs.cost(nonzero=kept)


def shown(stops: Stops, granularity: Granularity) -> tuple[tuple[float, int, str], ...]:
    """Where a handle stops: (ratio, weights kept, short text such as "2:4"), evenly chosen of too many."""
    last, spell = len(stops.kept) - 1, parse(granularity).spell
    many = min(last, MOST_STOPS - 2)
    places = sorted({0, min(1, last), *(round(i * last / max(many, 1)) for i in range(many + 1))})
    found = [(float(stops.ratios[i]), int(stops.kept[i])) for i in places]
    short = family_of(granularity).name == "n:m"
    return tuple((ratio, kept, spell(ratio) if short else "") for ratio, kept in found)


def possible(stops: Mapping[str, Stops], ratios: Mapping[str, float]) -> dict[str, float]:
    """Each ratio moved to the nearest possible one of its row; rows without stops keep theirs."""
    return {
        key: float(stops[key].ratios[stops[key].nearest(ratio)]) if key in stops else ratio
        for key, ratio in ratios.items()
    }


def kept(stops: Mapping[str, Stops], ratios: Mapping[str, float]) -> dict[str, int]:
    """Weights that stay of each row that has stops and a ratio, each row ranked by itself."""
    return {
        key: int(stops[key].kept[stops[key].nearest(ratio)]) for key, ratio in ratios.items() if key in stops
    }
