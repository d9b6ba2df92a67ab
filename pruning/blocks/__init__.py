"""Whole layers that can be dropped: which, why, how much each changes, and the network without them."""

from pruning.blocks.change import BlockChange, block_changes
from pruning.blocks.choose import lowest
from pruning.blocks.find import find_blocks
from pruning.blocks.skip import Skip, drop_blocks, put_skips, replace_modules, without_blocks
from pruning.blocks.types import Block, BlockKind, BlockStructure, FixedBlock

__all__ = [
    "Block",
    "BlockChange",
    "BlockKind",
    "BlockStructure",
    "FixedBlock",
    "Skip",
    "block_changes",
    "drop_blocks",
    "find_blocks",
    "lowest",
    "put_skips",
    "replace_modules",
    "without_blocks",
]
