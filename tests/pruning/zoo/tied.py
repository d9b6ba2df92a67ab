"""Weights that are used more than once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import TOKENS, Head, SelfAttention, conv, member, numbers


@member(2, 12)
class TiedAutoencoder(nn.Module):
    """Two layers down, the same two up again, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 9), nn.Linear(9, 5)
        self.bias, self.out = nn.Parameter(torch.zeros(9)), nn.Parameter(torch.zeros(12))

    def forward(self, x: Tensor) -> Tensor:
        code = torch.relu(self.b(torch.relu(self.a(x))))
        hidden = torch.relu(F.linear(code, self.b.weight.t(), self.bias))
        return F.linear(hidden, self.a.weight.t(), self.out)


@member(2, 3, 8, 8)
class TiedConvolutions(nn.Module):
    """A convolution and its transposed twin (a convolutional autoencoder with tied weights)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 7, 2, stride=2), nn.Conv2d(7, 5, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.b(F.relu(self.a(x))))
        x = F.relu(F.conv_transpose2d(x, self.b.weight, stride=2))
        return F.conv_transpose2d(x, self.a.weight, stride=2)


@member(inputs=lambda: (numbers(2, 5),))
class TiedEmbeddings(nn.Module):
    """The embedding is the output layer too, and positions are added (Press and Wolf 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.positions = nn.Embedding(20, 12), nn.Embedding(8, 12)
        self.fc1, self.fc2, self.head = nn.Linear(12, 16), nn.Linear(16, 12), nn.Linear(12, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.head(x + self.fc2(F.gelu(self.fc1(x))))


@member(inputs=lambda: (numbers(2, 5),))
class FactorisedEmbeddings(nn.Module):
    """A narrow embedding made wide, one block three times (ALBERT, Lan et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.widen = nn.Embedding(20, 6), nn.Linear(6, 12)
        self.attention, self.norm = SelfAttention(12, 3, 4), nn.LayerNorm(12)
        self.fc1, self.fc2, self.head = nn.Linear(12, 16), nn.Linear(16, 12), nn.Linear(12, 4)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.widen(self.embed(ids))
        for _ in range(3):
            x = self.norm(x + self.attention(x))
            x = x + self.fc2(F.gelu(self.fc1(x)))
        return self.head(x[:, 0])


@member(inputs=lambda: (torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)))
class Siamese(nn.Module):
    """One trunk for two images; the outputs are the distance and a score of the difference."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(conv(3, 6), nn.ReLU(), nn.MaxPool2d(2), conv(6, 8), nn.ReLU())
        self.embed, self.score = Head(8, 7), nn.Linear(7, 1)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.embed(self.trunk(left)), self.embed(self.trunk(right))
        return (a - b).pow(2).sum(1), self.score((a - b).abs())


@member(inputs=lambda: (torch.randn(2, 12), torch.randn(2, 9)))
class TwoTowers(nn.Module):
    """Two inputs meet in a scalar product of normalised codes (CLIP, Radford et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 6))
        self.b = nn.Sequential(nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 6))
        self.temperature = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        a, b = self.a(x), self.b(y)
        a, b = a / a.norm(dim=-1, keepdim=True), F.normalize(b, dim=-1)
        return self.temperature.exp() * a @ b.t()


@member(2, 3, 8, 8)
class RecurrentResidual(nn.Module):
    """One convolution applied again and again, with norms of its own for each time (Liang and Hu 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again, self.head = conv(3, 8), conv(8, 8, bias=False), Head(8)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = state = self.stem(x)
        for norm in self.norms:
            state = F.relu(norm(self.again(state) + x))
        return self.head(state)


@member(*TOKENS)
class TiedQueries(nn.Module):
    """Queries and keys are the same projection (Reformer, Kitaev et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.qk, self.v, self.out = 3, nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        q = self.qk(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        v = self.v(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, F.normalize(q, dim=-1), v)
        return self.out(y.transpose(1, 2).flatten(2))
