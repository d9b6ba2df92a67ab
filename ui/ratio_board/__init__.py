"""The board on which pruning ratios are dragged: one row per layer or coupled group."""

from ui.ratio_board.component import ratio_board
from ui.ratio_board.protocol import MOST_SWITCHES, Edit, Row

__all__ = ["MOST_SWITCHES", "Edit", "Row", "ratio_board"]
