"""Canonical Huffman codes of limited length.

Source: D. A. Huffman 1952, Proc. IRE 40(9); lengths by package-merge, L. L. Larmore and D. S. Hirschberg
1990, J. ACM 37(3); canonical codes, E. S. Schwartz and B. Kallick 1964, Comm. ACM 7(3).
"""

from __future__ import annotations

import numpy as np


def code_lengths(counts: np.ndarray, limit: int) -> np.ndarray:
    """The lengths of the best prefix code among those without longer codes than `limit`.

    Args:
        counts: (alphabet,), how often each symbol occurs.
        limit: bits of the longest code; 2**limit symbols at most can occur.
    Returns:
        (alphabet,) uint8; 0 for symbols that never occur, 1 if there is only one that does.
    """
    lengths = np.zeros(len(counts), np.uint8)
    used = np.flatnonzero(counts)
    order = used[np.argsort(counts[used], kind="stable")]
    leaves = counts[order].astype(np.int64)
    if len(leaves) < 2:
        lengths[order] = 1
        return lengths
    level, single = leaves, [np.ones(len(leaves), bool)]
    for _ in range(limit - 1):
        pairs = level[: len(level) // 2 * 2].reshape(-1, 2).sum(axis=1)
        both = np.concatenate([leaves, pairs])
        rising = np.argsort(both, kind="stable")
        level = both[rising]
        single.append(rising < len(leaves))
    take, bits = 2 * len(leaves) - 2, np.zeros(len(leaves), np.uint8)
    for one in reversed(single):
        chosen = int(one[:take].sum())  # the rarest symbols; each gets a bit longer
        bits[:chosen] += 1
        take = 2 * (take - chosen)
    lengths[order] = bits
    return lengths


def canonical_codes(lengths: np.ndarray) -> np.ndarray:
    """(alphabet,) uint32: codes that count up, shorter ones first, of equal length in the order of symbols.

    Args:
        lengths: of `code_lengths`.
    """
    longest = int(lengths.max(initial=0))
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    spans = 1 << (longest - lengths[order].astype(np.int64))
    codes = np.zeros(len(lengths), np.uint32)
    codes[order] = (np.cumsum(spans) - spans) >> (longest - lengths[order].astype(np.int64))
    return codes
