"""Attention over images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import IMAGE, TOKENS, FusedAttention, Perceptron, SelfAttention, member


@member(*IMAGE)
class VisionTransformer(nn.Module):
    """Patches, class token, learned positions, pre-norm blocks, layer scale (Dosovitskiy et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, stride=4)
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, 12)), nn.Parameter(torch.randn(1, 5, 12))
        self.norm1, self.norm2, self.norm = nn.LayerNorm(12), nn.LayerNorm(12), nn.LayerNorm(12)
        self.attention, self.mlp = FusedAttention(12, 3, 4), Perceptron(12, 20)
        self.scale, self.head = nn.Parameter(torch.rand(12)), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        x = x + self.attention(self.norm1(x))
        x = x + self.scale * self.mlp(self.norm2(x))
        return self.head(self.norm(x)[:, 0])


@member(2, 8, 8, 12)
class ShiftedWindows(nn.Module):
    """Windows rolled, attended with a bias table and a mask, rolled back, merged (Swin, Liu et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.window, self.heads = 4, 3
        self.norm, self.qkv, self.proj = nn.LayerNorm(12), nn.Linear(12, 36), nn.Linear(12, 12)
        self.table = nn.Parameter(torch.randn(49, 3))
        cells = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")).flatten(1)
        apart = cells[:, :, None] - cells[:, None, :] + 3
        self.register_buffer("index", apart[0] * 7 + apart[1])
        self.mlp, self.reduce = Perceptron(12, 18), nn.Linear(48, 14, bias=False)
        self.head = nn.Linear(14, 4)

    def attend(self, x: Tensor, mask: Tensor) -> Tensor:
        windows, tokens, channels = x.shape
        qkv = (
            self.qkv(x).reshape(windows, tokens, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        )
        q, k, v = qkv.unbind(0)
        scores = (q * (channels // self.heads) ** -0.5) @ k.transpose(-2, -1)
        bias = self.table[self.index.view(-1)].view(tokens, tokens, -1).permute(2, 0, 1)
        scores = scores + bias.contiguous().unsqueeze(0)
        scores = scores.view(windows // 4, 4, self.heads, tokens, tokens) + mask[None, :, None]
        scores = scores.view(-1, self.heads, tokens, tokens).softmax(-1)
        return self.proj((scores @ v).transpose(1, 2).reshape(windows, tokens, -1))

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        size = self.window
        y = torch.roll(self.norm(x), (-2, -2), (1, 2))
        y = y.view(batch, height // size, size, width // size, size, channels)
        y = y.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, size * size, channels)
        regions = (torch.arange(4)[:, None] * torch.ones(1, 16)).view(4, 1, 16)
        mask = torch.where(regions.transpose(1, 2) > 1, -100.0, 0.0).expand(4, 16, 16).to(x.dtype)
        y = self.attend(y, mask).view(batch, height // size, width // size, size, size, -1)
        y = y.permute(0, 1, 3, 2, 4, 5).contiguous().view(batch, height, width, -1)
        x = x + torch.roll(y, (2, 2), (1, 2))
        x = x + self.mlp(x)
        parts = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.head(self.reduce(torch.cat(parts, -1)).mean((1, 2)))


@member(*IMAGE)
class SpatialReduction(nn.Module):
    """Keys and values from fewer positions, by a strided convolution (PVT, Wang et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.heads = nn.Conv2d(3, 12, 2, stride=2), 3
        self.q, self.kv, self.proj = nn.Linear(12, 12), nn.Linear(12, 24), nn.Linear(12, 12)
        self.reduce, self.norm, self.head = nn.Conv2d(12, 12, 2, stride=2), nn.LayerNorm(12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        batch, channels, height, width = x.shape
        x = x.flatten(2).transpose(1, 2)
        q = self.q(x).reshape(batch, height * width, self.heads, -1).permute(0, 2, 1, 3)
        small = self.reduce(x.transpose(1, 2).reshape(batch, channels, height, width))
        small = self.norm(small.reshape(batch, channels, -1).permute(0, 2, 1))
        kv = self.kv(small).reshape(batch, -1, 2, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ kv[0].transpose(-2, -1)).softmax(dim=-1)
        y = (weights @ kv[1]).transpose(1, 2).reshape(batch, height * width, -1)
        return self.head((x + self.proj(y)).mean(1))


@member(*TOKENS)
class ClassAttention(nn.Module):
    """Heads mixed before and after the softmax, then a token that alone asks (CaiT, Touvron et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 3
        self.qkv, self.proj = nn.Linear(12, 36), nn.Linear(12, 12)
        self.talk1, self.talk2 = nn.Linear(3, 3), nn.Linear(3, 3)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.q, self.k, self.v, self.out = (nn.Linear(12, 12) for _ in range(4))
        self.scale, self.mlp, self.head = nn.Parameter(torch.rand(12)), Perceptron(12, 16), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        weights = self.talk1((q @ k.transpose(-2, -1)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).softmax(-1)
        weights = self.talk2(weights.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = x + self.scale * self.proj((weights @ v).transpose(1, 2).reshape(batch, tokens, width))
        token = self.token.expand(batch, -1, -1)
        both = torch.cat((token, x), dim=1)
        q = self.q(both[:, 0]).unsqueeze(1).reshape(batch, 1, 2, -1).permute(0, 2, 1, 3)
        k = self.k(both).reshape(batch, tokens + 1, 2, -1).permute(0, 2, 1, 3)
        v = self.v(both).reshape(batch, tokens + 1, 2, -1).permute(0, 2, 1, 3)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, 1, -1)
        token = token + self.out(y)
        return self.head((token + self.mlp(token))[:, 0])


@member(*TOKENS)
class CrossCovariance(nn.Module):
    """Channels of a head attend to each other: heads are free, their entries are not (XCiT, 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.temperature = 4, nn.Parameter(torch.ones(4, 1, 1))
        self.qkv, self.proj, self.head = nn.Linear(12, 48), nn.Linear(16, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 4, 1)
        q, k, v = qkv[0], qkv[1], qkv[2]
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        weights = ((q @ k.transpose(-2, -1)) * self.temperature).softmax(-1)
        y = (weights @ v).permute(0, 3, 1, 2).reshape(batch, tokens, -1)
        return self.head((x + self.proj(y)).mean(1))


@member(*IMAGE)
class AxialAttention(nn.Module):
    """Attention along rows, then along columns (Ho et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.out = nn.Conv2d(3, 8, 2, stride=2), nn.Conv2d(8, 2, 1)
        self.rows, self.columns = SelfAttention(8, 2, 3), SelfAttention(8, 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        batch, channels, height, width = x.shape
        y = x.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
        x = x + self.rows(y).view(batch, height, width, channels).permute(0, 3, 1, 2)
        y = x.permute(0, 3, 2, 1).reshape(batch * width, height, channels)
        x = x + self.columns(y).view(batch, width, height, channels).permute(0, 3, 2, 1)
        return self.out(x)


@member(*IMAGE)
class NonLocal(nn.Module):
    """Attention between positions of an image by 1x1 convolutions (Wang et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.out = nn.Conv2d(3, 8, 2, stride=2), nn.Conv2d(8, 2, 1)
        self.theta, self.phi, self.g = (nn.Conv2d(8, width, 1) for width in (4, 4, 6))
        self.back = nn.Conv2d(6, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        batch, _, height, width = x.shape
        theta, phi, g = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))
        weights = torch.bmm(theta.permute(0, 2, 1), phi).softmax(-1)
        y = torch.bmm(weights, g.permute(0, 2, 1)).permute(0, 2, 1).reshape(batch, -1, height, width)
        return self.out(x + self.back(y))
