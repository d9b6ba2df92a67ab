"""Pixels as a PNG in a data URI: one picture is drawn faster than a subplot for each of its parts."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode

import numpy as np


def picture(pixels: np.ndarray) -> str:
    """Encode pixels losslessly.

    Args:
        pixels: (height, width, 4) uint8: red, green, blue, opacity.
    Source: PNG (Portable Network Graphics) Specification, W3C 2003, sections 5 and 11.
    """
    height, width, _ = pixels.shape
    header = struct.pack(">2I5B", width, height, 8, 6, 0, 0, 0)  # 8 bits a channel; 6 is colour with opacity
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # each begins with its filter: none
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)
    return "data:image/png;base64," + b64encode(data).decode("ascii")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def strip(images: list[np.ndarray], gap: int, low: str, high: str) -> np.ndarray:
    """Images side by side, with nothing between them.

    Args:
        images: each (C, H, W), 0..1; one channel is shown from colour `low` to `high`, three are colours.
        gap: empty pixels between two images.
        low, high: "#RRGGBB".
    Returns:
        (H, width, 4) uint8.
    """
    parts = [_colours(image, low, high) for image in images]
    empty = np.zeros((parts[0].shape[0], gap, 4), np.uint8)
    return np.hstack([part for image in parts for part in (image, empty)][:-1])


def _colours(image: np.ndarray, low: str, high: str) -> np.ndarray:
    """(C, H, W), 0..1 -> (H, W, 4) uint8."""
    pixels = image.transpose(1, 2, 0)
    if pixels.shape[-1] == 1:
        ends = [
            np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) for colour in (low, high)
        ]
        pixels = (ends[0] + pixels * (ends[1] - ends[0])) / 255
    opaque = np.ones((*pixels.shape[:2], 1))
    return (255 * np.dstack([pixels, opaque])).clip(0, 255).round().astype(np.uint8)
