"""Tensors coded into few bytes, exactly: gaps between weights, shared values, Huffman codes; *.prz files.

It knows arrays and bytes, no network and no torch. `reader.py` alone decodes, and describes the format.
"""

from pruning.coding.breakdown import Breakdown, Part, Symbols, breakdown
from pruning.coding.container import encode
from pruning.coding.reader import MAGIC, MAX_BYTES, decode
from pruning.coding.tensor import Coding

__all__ = [
    "MAGIC",
    "MAX_BYTES",
    "Breakdown",
    "Coding",
    "Part",
    "Symbols",
    "breakdown",
    "decode",
    "encode",
]
