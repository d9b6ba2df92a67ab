"""What the Prune page is made of: controls, the board, live figures, and what changed."""
