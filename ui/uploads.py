"""Uploaded weights, kept in the cache directory under their digest, so that a refresh finds them again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pruning.store import cache_dir

KEPT = 16  # files; the least recently used goes first


def digest_of(data: bytes | memoryview) -> str:
    """Twenty-four hexadecimal digits that name these bytes."""
    return hashlib.sha256(data).hexdigest()[:24]


def model_id(model: str, weights: str | None, device: str = "cpu") -> str:
    """One string for an architecture, its weights and device: "digits-cnn", "digits-cnn@<digest>/cuda:0"."""
    on = "" if device == "cpu" else f"/{device}"
    return f"{model}@{weights}{on}" if weights else f"{model}{on}"


def split_id(identity: str) -> tuple[str, str | None]:
    """The architecture and the digest that `model_id` joined."""
    model, _, weights = identity.partition("/")[0].partition("@")
    return model, weights or None


def device_in(identity: str) -> str:
    """The name of the device that `model_id` joined."""
    return identity.partition("/")[2] or "cpu"


def keep(model: str, data: bytes | memoryview) -> str:
    """Store an upload that was already found good; its digest."""
    digest = digest_of(data)
    path = _path(model, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    unfinished.write_bytes(data)
    unfinished.replace(path)
    _forget_oldest(path.parent)
    return digest


def find(model: str, digest: str) -> Path | None:
    """The file of an earlier upload, or None if it is gone."""
    path = _path(model, digest)
    if not path.is_file():
        return None
    path.touch()  # used just now: last to be forgotten
    return path


def _path(model: str, digest: str) -> Path:
    return cache_dir() / "uploads" / f"{model}@{digest}.weights"


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.weights"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[KEPT:]:
        file.unlink(missing_ok=True)
