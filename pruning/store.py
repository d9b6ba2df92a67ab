"""Results that were expensive to measure, kept on disk and found again after a restart.

A stored result is a file `<cache directory>/<kind>/<digest>.json`. A cache may lose anything at any time:
what cannot be read is as if it had never been there; what cannot be written is not kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from pruning.device import device_of, kind_of
from pruning.groups.choices import DEFAULT, Choices

if TYPE_CHECKING:
    from pruning.sensitivity import Precise, Scan

T = TypeVar("T")
FORMAT = 1  # part of every digest: raise it when a measurement changes its meaning
MEGABYTES = 64  # default bound of one kind's folder


def cache_dir() -> Path:
    """Where results and unpacked data are kept: PRUNING_CACHE_DIR, else the user's cache directory."""
    named = os.environ.get("PRUNING_CACHE_DIR")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "pruning-explorer"


def digest(*parts: Any) -> str:
    """Name a result by all that decides it.

    Args:
        parts: plain values that JSON can write, in an order that is always the same.
    Returns:
        32 hexadecimal digits; others after `FORMAT` was raised.
    """
    return hashlib.sha256(json.dumps([FORMAT, *parts]).encode()).hexdigest()[:32]


def machine() -> tuple[str, str, int]:
    """What names this machine in the `digest` of a result that holds only here, such as a time: its name in
    the network, its kind of processor and the number of its cores."""
    return platform.node(), platform.machine(), os.cpu_count() or 0


def weights_digest(module: nn.Module) -> str:
    """Name a network by the values of all its parameters and buffers, and by the GPU that it lies on, if any:
    there answers differ in the last digit, and times altogether.

    Returns:
        32 hexadecimal digits; the same for the same names, shapes, types and bytes in any order.
    """
    digest = hashlib.sha256(kind_of(device_of(module)).encode())
    for name, tensor in sorted(module.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def scan_digest(
    weights: str,
    *,
    task: str,
    split: str,
    granularity: str,
    criterion: str,
    ratios: Sequence[float],
    seed: int,
    n: int,
    choices: Choices = DEFAULT,
    precise: Precise | None = None,
) -> str:
    """Name a sensitivity scan by all that decides its result.

    Args:
        weights: `weights_digest` of the network.
        task, split, granularity, criterion, seed: as given to the scan.
        ratios: in any order.
        n: images that it is about.
        choices: how groups were found; only "channel" depends on them.
        precise: what an adaptive scan is asked for; None for an exact one.
    Returns:
        32 hexadecimal digits.
    """
    parts = [weights, task, split, granularity, criterion, sorted(set(ratios)), seed, n]
    if granularity == "channel" and choices != DEFAULT:
        parts += [choices.heads, choices.norms]
    if precise is not None:
        parts += [precise.points, precise.confidence, precise.strict]
    return digest(*parts)


def save_scan(digest: str, scan: Scan) -> bool:
    """Keep a scan under its `scan_digest`; False if the disk would not take it."""
    return save("scans", digest, scan.to_json())


def latest_digest(
    weights: str, *, task: str, granularity: str, criterion: str, seed: int, choices: Choices = DEFAULT
) -> str:
    """Name the latest complete scan of its kind on validation images, whatever its ratios.

    Args:
        weights: `weights_digest` of the network.
        task, granularity, criterion, choices: as given to the scan.
        seed: only the random criterion depends on it.
    """
    return scan_digest(
        weights,
        task=task,
        split="validation",
        granularity=granularity,
        criterion=criterion,
        ratios=(),
        seed=seed if criterion == "random" else 0,
        n=0,
        choices=choices,
    )


def keep_scan(weights: str, scan: Scan) -> None:
    """Keep a scan under its `scan_digest`, and a complete one on validation images as the latest of its kind.

    Args:
        weights: `weights_digest` of the network that was scanned.
        scan: complete or not.
    """
    kind = {"task": scan.task, "granularity": scan.granularity, "criterion": scan.criterion}
    seed, choices = scan.seed, scan.choices
    full = scan_digest(
        weights,
        **kind,
        split=scan.split,
        ratios=scan.ratios,
        seed=seed,
        n=scan.n,
        choices=choices,
        precise=scan.precise,
    )
    save_scan(full, scan)
    if scan.complete and scan.split == "validation":
        save_scan(latest_digest(weights, **kind, seed=seed, choices=choices), scan)


def find_scan(digest: str) -> Scan | None:
    """The scan kept under a `scan_digest`, or None."""
    from pruning.sensitivity import Scan

    return find("scans", digest, Scan.from_json)


def save(kind: str, digest: str, text: str) -> bool:
    """Keep a text whole or not at all, then drop the least recently used of its kind beyond the bound.

    Args:
        kind: folder name, such as "scans".
        digest: hexadecimal name.
        text: at most the bound of one kind, which is 64 MB or PRUNING_CACHE_MB.
    Returns:
        Whether it is kept; False if the disk would not take it (full, read-only).
    Raises:
        ValueError: if kind or digest could not be a file name, or PRUNING_CACHE_MB is no number.
    """
    path, bound = _path(kind, digest), _bound()
    data = text.encode()
    if len(data) > bound:
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError:
        return False
    _forget_oldest(path.parent, bound)
    return True


def find(kind: str, digest: str, read: Callable[[str], T]) -> T | None:
    """A kept text, read; None if there is none. One that cannot be read is removed.

    Args:
        kind, digest: as given to `save`.
        read: turns the text into the result, raising ValueError if it is damaged.
    Raises:
        ValueError: if kind or digest could not be a file name.
    """
    path = _path(kind, digest)
    try:
        result = read(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError:  # damaged, or not UTF-8
        _remove(path)
        return None
    with suppress(OSError):
        os.utime(path)  # used now: the last to be forgotten
    return result


def _path(kind: str, digest: str) -> Path:
    if not re.fullmatch(r"[a-z][a-z-]{0,31}", kind) or not re.fullmatch(r"[0-9a-f]{8,64}", digest):
        raise ValueError(
            f"A result cannot be stored under {kind[:40]!r} / {digest[:80]!r}; give a hex digest."
        )
    return cache_dir() / kind / f"{digest}.json"


def megabytes(variable: str, usual: int) -> int:
    """A bound in bytes that an environment variable may set in megabytes.

    Args:
        variable: its name.
        usual: bytes if it is not set.
    Raises:
        ValueError: if it is no number.
    """
    text = os.environ.get(variable)
    if not text:
        return usual
    try:
        return max(0, int(float(text) * 1_000_000))
    except (ValueError, OverflowError):
        raise ValueError(f"{variable} must be a number of megabytes, not {text[:40]!r}.") from None


def _bound() -> int:
    """Bytes that one kind may take."""
    return megabytes("PRUNING_CACHE_MB", MEGABYTES * 1_000_000)


def write_whole(path: Path, data: bytes) -> None:
    """Write beside the final place and move there, so that nobody ever reads half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        _remove(Path(temporary))
        raise


def _forget_oldest(folder: Path, bound: int) -> None:
    """Remove files, least recently used first, until the folder fits its bound."""
    files = []
    for path in folder.iterdir():
        try:
            stat = path.stat()
        except OSError:  # another process was faster
            continue
        files.append((stat.st_mtime_ns, stat.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= bound:
            return
        _remove(path)
        total -= size


def _remove(path: Path) -> None:
    with suppress(OSError):  # in use or read-only: it stays
        path.unlink(missing_ok=True)
