"""The Compress page: bits per layer, what they cost and save, and the whole pipeline as a run."""
