"""What the Weights page is made of: the ridgeline of all layers, and one layer in detail."""
