"""Low rank: a layer becomes two or three smaller ones."""
