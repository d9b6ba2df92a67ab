"""A vision transformer whose attention heads can be removed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection: (b, n, dim) -> (b, n, dim).

    The rows of `qkv.weight` are query, key, value; within each, head after head: row (i * num_heads + h) *
    head_dim + d is entry d of head h of query (i = 0), key (1) or value (2). The columns of `proj.weight` are
    head after head. `scale` stays as it was built, whatever is pruned: removing entries from inside the heads
    then takes just those entries out of the dot products, which is exact.

    Source: Vaswani et al. 2017, arXiv:1706.03762.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.scale = self.head_dim**-0.5
        self.qkv = nn.Linear(dim, 3 * num_heads * self.head_dim)
        self.proj = nn.Linear(num_heads * self.head_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (b, heads, n, head_dim)
        mixed = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, self.num_heads * self.head_dim))

    def extra_repr(self) -> str:
        return f"num_heads={self.num_heads}, head_dim={self.head_dim}"


class Block(nn.Module):
    """Attention and a two-layer perceptron, each after LayerNorm and added to its input."""

    def __init__(self, dim: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, dim) -> (b, n, dim)."""
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    """Patches, a class token, learned positions, `Block`s, LayerNorm and a linear head on the class token.

    Args:
        size: height and width of the images.
        patch: height and width of a patch.
        channels: of the images.
        dim: width of the residual stream, `num_heads` times the width of a head.
        depth: number of blocks.
        num_heads: attention heads of each block.
        hidden: neurons of each block's perceptron.
        classes: outputs.
    Source: Dosovitskiy et al. 2020, arXiv:2010.11929.
    """

    def __init__(
        self,
        size: int,
        patch: int,
        channels: int = 1,
        dim: int = 64,
        depth: int = 4,
        num_heads: int = 4,
        hidden: int = 256,
        classes: int = 10,
    ) -> None:
        super().__init__()
        tokens = (size // patch) ** 2 + 1
        self.patches = nn.Conv2d(channels, dim, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(torch.randn(1, tokens, dim) * 0.02)
        self.blocks = nn.Sequential(*(Block(dim, num_heads, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes) of images (b, channels, size, size)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.class_token.expand(x.shape[0], -1, -1), tokens), dim=1)
        tokens = self.norm(self.blocks(tokens + self.positions))
        return self.head(tokens[:, 0])
