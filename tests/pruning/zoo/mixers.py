"""Networks that mix tokens without attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import IMAGE, TOKENS, Head, conv, member


@member(*IMAGE)
class MlpMixer(nn.Module):
    """Perceptrons over tokens and over channels in turn (Tolstikhin et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm1, self.norm2 = (
            nn.Conv2d(3, 10, 4, stride=4),
            nn.LayerNorm(10),
            nn.LayerNorm(10),
        )
        self.tokens1, self.tokens2 = nn.Linear(4, 6), nn.Linear(6, 4)
        self.channels1, self.channels2, self.head = nn.Linear(10, 14), nn.Linear(14, 10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.tokens2(F.gelu(self.tokens1(self.norm1(x).transpose(1, 2)))).transpose(1, 2)
        x = x + self.channels2(F.gelu(self.channels1(self.norm2(x))))
        return self.head(x.mean(1))


@member(*TOKENS)
class GatedMlp(nn.Module):
    """Half of the channels, mixed over tokens, gates the other half (gMLP, Liu et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(12), nn.Linear(12, 16), nn.Linear(8, 12)
        self.inner, self.space, self.head = nn.LayerNorm(8), nn.Conv1d(5, 5, 1), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        u, v = F.gelu(self.up(self.norm(x))).chunk(2, dim=-1)
        x = x + self.down(u * self.space(self.inner(v)))
        return self.head(x.mean(1))


class Affine(nn.Module):
    """A scale and a shift in place of a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.ones(1, 1, width)), nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.beta, self.alpha, x)


@member(*IMAGE)
class ResMlp(nn.Module):
    """A linear layer over tokens, affine maps in place of norms: even the stream is free (ResMLP, 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.before, self.after, self.last = (
            nn.Conv2d(3, 10, 4, stride=4),
            Affine(10),
            Affine(10),
            Affine(10),
        )
        self.tokens, self.fc1, self.fc2 = nn.Linear(4, 4), nn.Linear(10, 16), nn.Linear(16, 10)
        self.scale, self.head = nn.Parameter(torch.rand(10)), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.scale * self.tokens(self.before(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.fc2(F.gelu(self.fc1(self.after(x))))
        return self.head(self.last(x).mean(1))


@member(*TOKENS)
class FourierMixing(nn.Module):
    """The real part of a Fourier transform over tokens and channels: these stay (FNet, 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.fc1, self.fc2, self.head = (
            nn.Linear(12, 10),
            nn.Linear(10, 15),
            nn.Linear(15, 10),
            nn.Linear(10, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        x = x + torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real
        return self.head(x + self.fc2(torch.relu(self.fc1(x))))


@member(*IMAGE)
class PoolFormer(nn.Module):
    """Pooling minus itself in place of attention, GroupNorm of one group (Yu et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm1, self.norm2 = (
            nn.Conv2d(3, 8, 2, stride=2),
            nn.GroupNorm(1, 8),
            nn.GroupNorm(1, 8),
        )
        self.fc1, self.fc2, self.head = nn.Conv2d(8, 12, 1), nn.Conv2d(12, 8, 1), Head(8)
        self.scale = nn.Parameter(torch.rand(8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        y = self.norm1(x)
        x = x + self.scale[:, None, None] * (F.avg_pool2d(y, 3, 1, 1, count_include_pad=False) - y)
        return self.head(x + self.fc2(F.gelu(self.fc1(self.norm2(x)))))


@member(*IMAGE)
class ConvMixer(nn.Module):
    """A residual depthwise convolution, then a pointwise one (Trockman and Kolter 2022)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norms = (
            nn.Conv2d(3, 8, 2, stride=2),
            nn.ModuleList(nn.BatchNorm2d(8) for _ in range(3)),
        )
        self.depthwise, self.pointwise, self.head = conv(8, 8, 5, groups=8), nn.Conv2d(8, 8, 1), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norms[0](F.gelu(self.patches(x)))
        x = x + self.norms[1](F.gelu(self.depthwise(x)))
        return self.head(self.norms[2](F.gelu(self.pointwise(x))))


@member(2, 6, 3)
class PointNet(nn.Module):
    """Points by shared layers, their maximum joined to each again (Qi et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Conv1d(3, 8, 1), nn.Conv1d(8, 10, 1), nn.BatchNorm1d(8)
        self.join, self.out = nn.Conv1d(18, 7, 1), nn.Conv1d(7, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        local = F.relu(self.norm(self.a(x.transpose(1, 2))))
        whole = torch.max(self.b(local), 2, keepdim=True)[0].repeat(1, 1, local.shape[2])
        return self.out(F.relu(self.join(torch.cat([local, whole], 1))))


@member(inputs=lambda: (torch.randn(6, 12), torch.rand(6, 6)))
class GraphConvolution(nn.Module):
    """Features times weights, then times the adjacency (Kipf and Welling 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Parameter(torch.randn(12, 8) / 3), nn.Parameter(torch.randn(8, 6) / 3)
        self.bias, self.head = nn.Parameter(torch.zeros(8)), nn.Linear(14, 3)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        adjacency = adjacency / adjacency.sum(-1, keepdim=True)
        x = torch.relu(adjacency @ (x @ self.w1) + self.bias)
        return self.head(torch.cat([x, adjacency.mm(x.mm(self.w2))], -1))


@member(inputs=lambda: (torch.randn(6, 12), torch.tensor([[0, 1, 2, 5, 3, 3], [1, 2, 0, 4, 5, 1]])))
class MessagePassing(nn.Module):
    """Messages along edges, gathered and summed by index (GraphSAGE, Hamilton et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.message, self.head = nn.Linear(12, 8), nn.Linear(12, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        sent = self.message(x)[edges[0]]
        summed = torch.zeros(len(x), sent.shape[1], dtype=x.dtype).index_add_(0, edges[1], sent)
        return self.head(torch.relu(self.own(x) + summed))
