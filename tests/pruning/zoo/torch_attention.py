"""PyTorch's own attention layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.members import member


@member(inputs=lambda: (torch.randn(5, 2, 12), torch.randn(7, 2, 10)))
class TorchCrossAttention(nn.Module):
    """nn.MultiheadAttention, sequence first, keys and values of another width, with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 4, kdim=10, vdim=10, bias=False)
        self.before, self.after, self.head = nn.Linear(12, 12), nn.Linear(12, 9), nn.Linear(9, 4)

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        mask = torch.triu(torch.ones(5, 7, dtype=torch.bool), 4)
        y, weights = self.attention(self.before(x), memory, memory, attn_mask=mask)
        return self.head(torch.relu(self.after(x + y))), weights


@member(2, 5, 12)
class TorchEncoder(nn.Module):
    """nn.TransformerEncoder of two layers, batch first, pre-norm, with a padding mask."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, norm_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        padding = torch.zeros(x.shape[:2], dtype=torch.bool)
        padding[:, -1] = True
        return self.head(self.encoder(x, src_key_padding_mask=padding))


@member(5, 2, 12)
class TorchPostNorm(nn.Module):
    """nn.TransformerEncoderLayer, sequence first, norm after, with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.TransformerEncoderLayer(12, 4, 20), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(len(x), dtype=x.dtype)
        return self.head(self.layer(x, src_mask=mask, is_causal=True))


@member(inputs=lambda: (torch.randn(2, 4, 12), torch.randn(2, 6, 12)))
class TorchDecoder(nn.Module):
    """nn.TransformerDecoderLayer on the output of a memory of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.memory, self.head = nn.Linear(12, 12), nn.Linear(12, 4)
        self.layer = nn.TransformerDecoderLayer(12, 3, 20, batch_first=True)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        mask = torch.full((4, 4), float("-inf"), dtype=x.dtype).triu(1)
        return self.head(self.layer(x, self.memory(memory), tgt_mask=mask))
