"""Attention over sequences, in the ways that people write it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import TOKENS, Perceptron, SelfAttention, member


@member(*TOKENS)
class LinearAttention(nn.Module):
    """A feature map in place of the softmax, keys times values first (Katharopoulos et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 3
        self.q, self.k, self.v, self.out = (
            nn.Linear(12, 12),
            nn.Linear(12, 12),
            nn.Linear(12, 15),
            nn.Linear(15, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q, k, v = (layer(x).view(batch, tokens, self.heads, -1) for layer in (self.q, self.k, self.v))
        q, k = F.elu(q) + 1, F.elu(k) + 1
        summed = torch.einsum("bnhd,bnhe->bhde", k, v)
        scale = 1 / (torch.einsum("bnhd,bhd->bnh", q, k.sum(1)) + 1e-6)
        y = torch.einsum("bnhd,bhde,bnh->bnhe", q, summed, scale)
        return self.out(y.reshape(batch, tokens, -1))


@member(inputs=lambda: (torch.randn(2, 5, 12), torch.randn(2, 7, 10)))
class CrossAttention(nn.Module):
    """Queries from one input, keys and values from another of other length and width."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = 3, 4
        self.encode, self.norm = nn.Linear(10, 9), nn.LayerNorm(9)
        self.to_q, self.to_kv, self.out = nn.Linear(12, 12), nn.Linear(9, 24), nn.Linear(12, 12)
        self.mlp = Perceptron(12, 20)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        memory = self.norm(torch.relu(self.encode(memory)))
        k, v = self.to_kv(memory).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, self.width)).transpose(1, 2) for t in (self.to_q(x), k, v))
        weights = torch.softmax(torch.matmul(q, k.mT) / math.sqrt(self.width), dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).flatten(-2))
        return x + self.mlp(x)


def rotate(x: Tensor) -> Tensor:
    """Halves turned against each other, as rotary positions need it."""
    left, right = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-right, left), dim=-1)


class RootMeanSquare(nn.Module):
    """RMSNorm written out (Zhang and Sennrich 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


@member(inputs=lambda: (torch.randint(0, 20, (2, 5)),))
class GroupedQueries(nn.Module):
    """A decoder with grouped queries, rotary positions, RMSNorm and SwiGLU (Llama, Touvron et al. 2023)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = 4, 2, 4
        self.embed, self.norm1, self.norm2 = nn.Embedding(20, 12), RootMeanSquare(12), RootMeanSquare(12)
        self.q, self.k, self.v = (nn.Linear(12, n * 4, bias=False) for n in (4, 2, 2))
        self.o, self.gate, self.up = (nn.Linear(a, b, bias=False) for a, b in ((16, 12), (12, 18), (12, 18)))
        self.down, self.head = nn.Linear(18, 12, bias=False), nn.Linear(12, 20, bias=False)
        self.register_buffer("frequencies", 1.0 / 100 ** (torch.arange(0, 4, 2).float() / 4))

    def attend(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q = self.q(x).view(batch, tokens, self.heads, self.head_dim).transpose(1, 2)
        k = self.k(x).view(batch, tokens, self.kv_heads, self.head_dim).transpose(1, 2)
        v = self.v(x).view(batch, tokens, self.kv_heads, self.head_dim).transpose(1, 2)
        angles = torch.arange(tokens)[:, None] * self.frequencies[None]
        cos, sin = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()
        q, k = q * cos + rotate(q) * sin, k * cos + rotate(k) * sin
        repeats = self.heads // self.kv_heads
        k, v = (
            t[:, :, None].expand(batch, self.kv_heads, repeats, tokens, self.head_dim)
            .reshape(batch, self.kv_heads * repeats, tokens, self.head_dim)
            for t in (k, v)
        )  # fmt: skip
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(y.transpose(1, 2).contiguous().view(batch, tokens, -1))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x + self.attend(self.norm1(x))
        y = self.norm2(x)
        return self.head(x + self.down(F.silu(self.gate(y)) * self.up(y)))


@member(*TOKENS)
class LinearBiases(nn.Module):
    """Distances times a slope per head are added to the scores (ALiBi, Press et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.qkv, self.proj, self.head = nn.Linear(12, 36), nn.Linear(12, 12), nn.Linear(12, 4)
        self.register_buffer("slopes", torch.tensor([2.0**-n for n in range(1, 5)]).view(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        apart = torch.arange(x.shape[1])[None, :] - torch.arange(x.shape[1])[:, None]
        scores = q @ k.transpose(-1, -2) * 0.5 + self.slopes * apart
        scores = scores.masked_fill(apart > 0, float("-inf"))
        return self.head(x + self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)))


@member(*TOKENS)
class EinsumAttention(nn.Module):
    """Everything by einsum, with weights of three dimensions, as in JAX code."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Parameter(torch.randn(12, 3, 4) / 4) for _ in range(3))
        self.o = nn.Parameter(torch.randn(3, 4, 12) / 4)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("bnd,dhe->bhne", x, weight) for weight in (self.q, self.k, self.v))
        weights = torch.einsum("bhne,bhme->bhnm", q, k).mul(0.5).softmax(-1)
        y = torch.einsum("bhnm,bhme->bnhe", weights, v)
        return self.head(x + torch.einsum("bnhe,hed->bnd", y, self.o))


@member(*TOKENS)
class GatedUnits(nn.Module):
    """SwiGLU, GEGLU from one layer cut in two, and PyTorch's own GLU (Shazeer 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(12, 10), nn.Linear(12, 10), nn.Linear(10, 12)
        self.fused, self.back = nn.Linear(12, 16), nn.Linear(8, 12)
        self.glu, self.head = nn.Linear(12, 14), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.down(F.silu(self.gate(x)) * self.up(x))
        value, gate = self.fused(x).chunk(2, dim=-1)
        x = x + self.back(value * F.gelu(gate))
        return self.head(F.glu(self.glu(x), dim=-1))


@member(*TOKENS)
class DenseExperts(nn.Module):
    """All experts at once, weighed by a router over the experts (soft mixture)."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.router, self.head = nn.Linear(12, 10), nn.Linear(10, 3), nn.Linear(8, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(10, 9), nn.ReLU(), nn.Linear(9, 8)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.before(x))
        weights = self.router(x).softmax(-1)
        outputs = torch.stack([expert(x) for expert in self.experts], dim=-2)
        return self.head((weights.unsqueeze(-1) * outputs).sum(-2))


@member(2, 6, 12)
class LatentQueries(nn.Module):
    """Learned latents ask the input, then themselves (Perceiver, Jaegle et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.latents, self.heads = nn.Parameter(torch.randn(4, 10)), 2
        self.q, self.kv, self.out = nn.Linear(10, 8), nn.Linear(12, 16), nn.Linear(8, 10)
        self.attention, self.head = SelfAttention(10, 2, 5), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        z = self.latents.unsqueeze(0).repeat(len(x), 1, 1)
        q = self.q(z).view(len(x), 4, self.heads, -1).transpose(1, 2)
        k, v = self.kv(x).view(len(x), 6, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        z = z + self.out((q.matmul(k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).flatten(2))
        return self.head((z + self.attention(z)).mean(1))


@member(*TOKENS)
class Conformer(nn.Module):
    """Half perceptrons, attention, a gated depthwise convolution over time (Gulati et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.attention = (
            Perceptron(12, 16),
            Perceptron(12, 14),
            SelfAttention(12, 3, 4),
        )
        self.pointwise, self.depthwise = nn.Conv1d(12, 18, 1), nn.Conv1d(9, 9, 3, padding=1, groups=9)
        self.norm, self.back, self.head = nn.BatchNorm1d(9), nn.Conv1d(9, 12, 1), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.first(x)
        x = x + self.attention(x)
        y = F.glu(self.pointwise(x.transpose(1, 2)), dim=1)
        x = x + self.back(F.silu(self.norm(self.depthwise(y)))).transpose(1, 2)
        return self.head(x + 0.5 * self.second(x))


@member(*TOKENS)
class MultiQuery(nn.Module):
    """All heads of queries share one of keys and values, from one projection (Shazeer 2019; Falcon)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = 4, 3
        self.qkv, self.proj, self.head = nn.Linear(12, 18), nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).split([self.heads * self.width, self.width, self.width], -1)
        q = q.view(batch, tokens, self.heads, self.width).transpose(1, 2)
        weights = (q @ k.unsqueeze(1).transpose(-1, -2)).softmax(-1)
        y = (weights @ v.unsqueeze(1)).transpose(1, 2).reshape(batch, tokens, -1)
        return self.head(x + self.proj(y))


@member(*TOKENS)
class PooledAttention(nn.Module):
    """A learned score per token weighs the mean; scores by an additive tanh (Bahdanau et al. 2014)."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.hidden, self.score = nn.Linear(12, 10), nn.Linear(10, 7), nn.Linear(7, 1)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.encode(x))
        weights = self.score(torch.tanh(self.hidden(x))).softmax(1)
        return self.head((weights * x).sum(1))
