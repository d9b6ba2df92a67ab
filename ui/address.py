"""What the page's address says: decisions packed into query parameters, and read back with suspicion."""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from pruning.groups.choices import Heads, Norms
from pruning.recipe import UNITS, Scope
from pruning.recover.settings import Recovery
from pruning.sparsity import masks_weights
from ui.compress import decided as compressing
from ui.compress.decided import Decided
from ui.draft import Draft, usual_criterion

NAMES = (
    "model",
    "w",
    "d",
    "g",
    "c",
    "s",
    "m",
    "seed",
    "h",
    "n",
    "r",
    "u",
    "f",
    "k",
    "run",
    "p",
    "o",
)  # every parameter that is ours
SCALE = 30_000  # ratios are whole multiples of 1/30000: exact for percent steps, and 15 bits hold them
LOCKED = 0x8000  # the sixteenth bit
MAX_CHARS = 16_000  # a longer ?r= is not ours
MOST_PICKED = 40  # runs that an address names
MAX_SETTINGS = 64_000  # characters of JSON that an ?f= may hold

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{24}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,43}")
_DEVICE = re.compile(r"[a-z]{2,12}(:[0-9]{1,2})?")
_WHOLE = re.compile(r"[0-9]{1,10}")
_RUN = re.compile(r"[0-9a-f]{12}")
_RUNS = re.compile(r"[0-9a-f]{12}(\.[0-9a-f]{12})*")
_UNITS = re.compile(r"([0-9]{1,6})\.([0-9a-f]+)")


@dataclass(frozen=True)
class Address:
    """A page address, checked for form only: names may still be unknown to the registries.

    Args:
        model: architecture name, or None if the address has none.
        weights: digest of uploaded weights, or None for the built-in ones.
        draft: the decisions, without their ratios.
        packed: the ratios, to be opened by `unpack` once the keys are known; "" if none.
        units: those switched off by hand, to be opened by `unpack_units`; "" if none.
        owner: token of whoever started long work, or "".
        device: name of the one to run on, or "" for the usual one.
        recovery: settings of fine-tuning, without a recipe, or None for the usual ones.
        decided: what is decided on the Compress page, or None for the usual.
        run: id of the run that is looked at, or "".
        picked: ids of the runs that are selected for comparing.
    """

    model: str | None = None
    weights: str | None = None
    draft: Draft = field(default_factory=Draft)
    packed: str = ""
    units: str = ""
    owner: str = ""
    device: str = ""
    recovery: Recovery | None = None
    decided: Decided | None = None
    run: str = ""
    picked: tuple[str, ...] = ()


def parse(params: Mapping[str, str]) -> Address:
    """Read query parameters; whatever is malformed counts as absent, and nothing raises."""

    def matching(name: str, pattern: re.Pattern[str]) -> str | None:
        value = params.get(name, "")
        return value if pattern.fullmatch(value) else None

    def whole(name: str, low: int, high: int, default: int) -> int:
        value = matching(name, _WHOLE)
        return int(value) if value is not None and low <= int(value) <= high else default

    blank = Draft()
    granularity, scope = params.get("g", ""), params.get("s", "")
    heads, norms = params.get("h", ""), params.get("n", "")
    known = granularity in UNITS or masks_weights(granularity)
    granularity = granularity if known else blank.granularity
    draft = Draft(
        granularity=granularity,
        criterion=matching("c", _NAME) or usual_criterion(granularity),
        scope=scope if scope in get_args(Scope) else blank.scope,  # type: ignore[arg-type]
        multiple_of=whole("m", 1, 1024, blank.multiple_of),
        seed=whole("seed", 0, 2**31 - 1, blank.seed),
        heads=heads if heads in get_args(Heads) else blank.heads,  # type: ignore[arg-type]
        norms=norms if norms in get_args(Norms) else blank.norms,  # type: ignore[arg-type]
    )
    return Address(
        model=matching("model", _NAME),
        weights=matching("w", _DIGEST),
        draft=draft,
        packed=params.get("r", ""),
        units=params.get("u", ""),
        owner=matching("o", _TOKEN) or "",
        device=matching("d", _DEVICE) or "",
        recovery=unpack_recovery(params.get("f", "")),
        decided=compressing.unpack(params.get("k", "")),
        run=matching("run", _RUN) or "",
        picked=tuple(filter(None, (matching("p", _RUNS) or "").split(".")))[:MOST_PICKED],
    )


def write(
    model: str,
    weights: str | None,
    draft: Draft,
    keys: Sequence[str] = (),
    owner: str = "",
    device: str = "",
    recovery: Recovery | None = None,
    run: str = "",
    picked: Sequence[str] = (),
    decided: Decided | None = None,
) -> dict[str, str]:
    """The query parameters that `parse` reads back; decisions left at their default are not written.

    Args:
        keys: every key of this model, granularity and choices in order, needed if there are ratios or locks.
        device: to run on; "" for the usual one.
        recovery: settings of fine-tuning; None for the usual ones.
        run: id of the run that is looked at; "" for none.
        decided: on the Compress page; None for the usual.
        picked: ids of the runs that are selected; only the first `MOST_PICKED` are written.
    """
    blank = Draft()
    wanted = {
        "model": model,
        "w": weights or "",
        "d": device,
        "g": draft.granularity if draft.granularity != blank.granularity else "",
        "c": draft.criterion if draft.criterion != usual_criterion(draft.granularity) else "",
        "s": draft.scope if draft.scope != blank.scope else "",
        "m": str(draft.multiple_of) if draft.multiple_of != blank.multiple_of else "",
        "seed": str(draft.seed) if draft.seed != blank.seed else "",
        "h": draft.heads if draft.heads != blank.heads else "",
        "n": draft.norms if draft.norms != blank.norms else "",
        "r": pack(draft.ratios, draft.locked, keys) if draft.ratios or draft.locked else "",
        "u": pack_units(draft.removed, keys),
        "f": pack_recovery(recovery) if recovery else "",
        "k": compressing.pack(decided) if decided else "",
        "run": run,
        "p": ".".join(picked[:MOST_PICKED]),
        "o": owner,
    }
    return {name: value for name, value in wanted.items() if value}


def pack(ratios: Mapping[str, float], locked: Iterable[str], keys: Sequence[str]) -> str:
    """Ratios and locks as URL-safe text: a checksum of the keys, then two bytes for each key in order."""
    held = frozenset(locked)
    words = [round(ratios.get(key, 0.0) * SCALE) | (LOCKED if key in held else 0) for key in keys]
    raw = struct.pack(f">H{len(words)}H", _checksum(keys), *words)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unpack(text: str, keys: Sequence[str]) -> tuple[dict[str, float], frozenset[str]] | None:
    """Open what `pack` wrote for these keys; None if it was written for others, is damaged or too long."""
    if len(text) > MAX_CHARS:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != 2 * (len(keys) + 1):
        return None
    checksum, *words = struct.unpack(f">{len(raw) // 2}H", raw)
    if checksum != _checksum(keys) or any(word & ~LOCKED > SCALE for word in words):
        return None
    ratios = {key: (word & ~LOCKED) / SCALE for key, word in zip(keys, words, strict=True)}
    locked = frozenset(key for key, word in zip(keys, words, strict=True) if word & LOCKED)
    return {key: ratio for key, ratio in ratios.items() if ratio > 0.0}, locked


def pack_units(removed: Mapping[str, Iterable[int]], keys: Sequence[str]) -> str:
    """Units switched off by hand as text: place of the key, a point, a hexadecimal number, one bit a unit."""
    masks = {key: sum(1 << unit for unit in units) for key, units in removed.items()}
    return "_".join(f"{place}.{masks[key]:x}" for place, key in enumerate(keys) if masks.get(key))


def unpack_units(text: str, keys: Sequence[str]) -> dict[str, tuple[int, ...]] | None:
    """Open what `pack_units` wrote for these keys: key -> units, ascending; None if the text is damaged.

    Whether a key has such units is for the caller to see.
    """
    if not text:
        return {}
    if len(text) > MAX_CHARS:
        return None
    found: dict[str, tuple[int, ...]] = {}
    for part in text.split("_"):
        match = _UNITS.fullmatch(part)
        if not match or int(match[1]) >= len(keys) or keys[int(match[1])] in found:
            return None
        mask = int(match[2], 16)
        found[keys[int(match[1])]] = tuple(unit for unit in range(mask.bit_length()) if mask >> unit & 1)
    return found


def pack_recovery(recovery: Recovery) -> str:
    """Settings of fine-tuning as text, without their recipe, which the address has already."""
    json = recovery.model_dump_json(exclude={"recipe"}, exclude_defaults=True)
    return base64.urlsafe_b64encode(zlib.compress(json.encode(), 9)).decode().rstrip("=")


def unpack_recovery(text: str) -> Recovery | None:
    """Open what `pack_recovery` wrote; None if the text is damaged, or there is none."""
    if not text or len(text) > MAX_CHARS:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        json = zlib.decompressobj().decompress(raw, MAX_SETTINGS)
        recovery = Recovery.from_json(json.decode())
    except (binascii.Error, zlib.error, ValueError):
        return None
    return recovery.model_copy(update={"recipe": Recovery().recipe})


def _checksum(keys: Sequence[str]) -> int:
    return zlib.crc32("\n".join(keys).encode("utf-8", "surrogatepass")) & 0xFFFF
