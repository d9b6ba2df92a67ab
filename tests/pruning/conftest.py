"""What all engine tests share."""

import torch

# Tiny networks gain nothing from more threads, and lose much when the machine is busy.
torch.set_num_threads(1)
