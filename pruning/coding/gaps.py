"""Sparse positions as gaps: zeros before each value, and fillers where a gap is too long for its bits.

Source: Deep Compression, Han et al. 2015, arXiv:1510.00149, section 2; there a filler is a stored zero, here
a symbol of its own, so that it costs no weight.
"""

from __future__ import annotations

import numpy as np

MOST_BITS = 10  # longer gaps are so rare that fillers cost less than the longer table


def gap_symbols(gaps: np.ndarray, bits: int) -> np.ndarray:
    """The symbols of a stream of gaps.

    Args:
        gaps: (k,), zeros before each value.
        bits: of a symbol; the highest one is the filler, which stands for 2**bits - 1 zeros.
    Returns:
        (k + fillers,), int64, below 2**bits.
    """
    filler = 2**bits - 1
    fillers = gaps // filler
    symbols = np.full(len(gaps) + int(fillers.sum()), filler, np.int64)
    symbols[np.cumsum(fillers + 1) - 1] = gaps % filler
    return symbols


def symbol_counts(counts: np.ndarray, bits: int) -> np.ndarray:
    """How often each symbol occurs, from how often each gap does, without making the stream.

    Args:
        counts: (longest gap + 1,), of `np.bincount`.
        bits: of a symbol.
    Returns:
        (2**bits,), int64.
    """
    filler = 2**bits - 1
    gaps = np.flatnonzero(counts)
    often = counts[gaps].astype(np.int64)
    found = np.zeros(2**bits, np.int64)
    np.add.at(found, gaps % filler, often)
    found[filler] = (often * (gaps // filler)).sum()
    return found
