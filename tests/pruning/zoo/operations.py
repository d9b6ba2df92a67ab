"""Products, choices and weights made on the way."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import IMAGE, Head, conv, member, numbers


@member(2, 12)
class Maxout(nn.Module):
    """The largest of three pieces (Goodfellow et al. 2013), by a reshape and by a maximum of two."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(12, 18), nn.Linear(6, 8), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = x.view(len(x), 3, x.shape[1] // 3).max(1).values
        left, right = self.b(x).chunk(2, 1)
        return self.head(torch.maximum(left, right))


@member(2, 12)
class Highway(nn.Module):
    """Gates that let the input pass (Srivastava et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.head = nn.Linear(12, 8), nn.Linear(8, 3)
        self.moves, self.gates = (nn.ModuleList(nn.Linear(8, 8) for _ in range(2)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        for move, gate in zip(self.moves, self.gates, strict=True):
            open_ = torch.sigmoid(gate(x))
            x = open_ * F.relu(move(x)) + (1 - open_) * x
        return self.head(x)


@member(2, 12)
class HyperNetwork(nn.Module):
    """A weight that another layer makes of an embedding (Ha et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.code, self.make = nn.Parameter(torch.randn(5)), nn.Linear(5, 8 * 6)
        self.before, self.head = nn.Linear(12, 6), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.make(torch.tanh(self.code)).view(8, 6)
        return self.head(F.relu(F.linear(F.relu(self.before(x)), weight)))


@member(*IMAGE)
class ConditionalKernels(nn.Module):
    """A kernel for each sample, mixed from four (CondConv, Yang et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.route = conv(3, 6), nn.Linear(6, 4)
        self.kernels, self.after, self.head = (
            nn.Parameter(torch.randn(4, 8, 6, 3, 3) / 7),
            conv(8, 5),
            Head(5),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        batch, _, height, width = x.shape
        weights = torch.sigmoid(self.route(x.mean((2, 3))))
        kernels = (weights @ self.kernels.flatten(1)).view(-1, *self.kernels.shape[2:])
        y = F.conv2d(x.reshape(1, -1, height, width), kernels, padding=1, groups=batch)
        return self.head(F.relu(self.after(F.relu(y.view(batch, -1, height, width)))))


@member(inputs=lambda: (torch.randn(2, 7), torch.randn(2, 9)))
class BilinearPair(nn.Module):
    """nn.Bilinear between two hidden vectors, and an outer product."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(7, 5), nn.Linear(9, 6)
        self.bilinear, self.outer, self.head = nn.Bilinear(5, 6, 8), nn.Linear(30, 6), nn.Linear(14, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        a, b = torch.relu(self.a(x)), torch.relu(self.b(y))
        outer = torch.relu(self.outer((a[:, :, None] * b[:, None, :]).flatten(1)))
        return self.head(torch.cat([torch.relu(self.bilinear(a, b)), outer], 1))


@member(inputs=lambda: (numbers(2, 5), torch.randn(2, 4)))
class Recommender(nn.Module):
    """A bag of embeddings, pairs of scalar products, a deep part (DLRM, Naumov et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.single, self.bottom = (
            nn.EmbeddingBag(20, 6, mode="sum"),
            nn.Embedding(20, 6),
            nn.Linear(4, 6),
        )
        self.top, self.head = nn.Linear(9, 8), nn.Linear(8, 1)

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        dense = torch.relu(self.bottom(dense))
        vectors = torch.stack([dense, self.bag(ids), self.single(ids[:, 0])], 1)
        pairs = torch.bmm(vectors, vectors.transpose(1, 2))
        rows, columns = torch.tril_indices(3, 3, -1)
        return self.head(torch.relu(self.top(torch.cat([dense, pairs[:, rows, columns]], 1))))


@member(inputs=lambda: (numbers(2, 5), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])))
class MaskedMean(nn.Module):
    """The mean over the tokens that a mask names (sentence embeddings, Reimers and Gurevych 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc, self.head = nn.Embedding(20, 8), nn.Linear(8, 10), nn.Linear(10, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = torch.tanh(self.fc(self.embed(ids)))
        mask = mask.unsqueeze(-1).expand(x.size()).to(x.dtype)
        return self.head((x * mask).sum(1) / torch.clamp(mask.sum(1), min=1e-9))


@member(2, 12)
class LargestFew(nn.Module):
    """The largest entries of a layer, by topk, in place of its neurons: these stay."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.a, self.head = nn.Linear(12, 7), nn.Linear(7, 9), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.a(torch.relu(self.free(x))).topk(4, dim=1).values)


@member(2, 6, 12)
class Sorted(nn.Module):
    """Sorted over neurons, which stay, after sorting over tokens, which is exact for the neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.a, self.head = nn.Linear(12, 7), nn.Linear(7, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.free(x)).sort(1, descending=True).values[:, :3]
        return self.head(torch.sort(self.a(x), dim=-1)[0])


@member(2, 12)
class CosineClassifier(nn.Module):
    """Normalised features times normalised weights (NormFace, Wang et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 9), nn.Linear(9, 8, bias=False)
        self.classes, self.scale = nn.Parameter(torch.randn(4, 8)), nn.Parameter(torch.tensor(10.0))

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(torch.relu(self.a(x)))
        return self.scale * F.linear(F.normalize(x, dim=1), F.normalize(self.classes, dim=1))


@member(2, 4, 6)
class EinsumEverywhere(nn.Module):
    """Linear layers, outer products, traces and batches by einsum, tensordot and matmul."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(8, 6) / 3), nn.Parameter(torch.randn(4, 8, 5) / 3)
        self.c, self.d = nn.Parameter(torch.randn(5, 7) / 3), nn.Parameter(torch.randn(7, 3) / 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(torch.einsum("btd,cd->btc", x, self.a))
        x = torch.relu(torch.einsum("btc,tce->bte", x, self.b))
        x = torch.tanh(torch.tensordot(x, self.c, dims=([2], [0])))
        return torch.matmul(x, self.d)


@member(*IMAGE)
class Unfolded(nn.Module):
    """A convolution written as patches times a matrix, which bakes in the order of the patches."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.patches, self.b, self.head = conv(3, 4), nn.Linear(36, 8), conv(8, 6), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        y = self.patches(F.unfold(x, 3, padding=1).transpose(1, 2))
        y = y.transpose(1, 2).reshape(len(x), -1, 8, 8)
        return self.head(F.relu(self.b(F.relu(y))))


@member(2, 8)
class Wheres(nn.Module):
    """where, clamp, comparisons, one-hot and masks made of activations."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = nn.Linear(8, 9), nn.Linear(8, 9), nn.Linear(9, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        y = torch.where(a > b, a, torch.zeros_like(a)).clamp(-1, 1)
        y = self.c(y * (y != 0).to(y.dtype))
        y = y.masked_fill(y < 0, 0.0) + torch.clamp_min(y, 0.5) - 0.5
        return self.head(y)


@member(2, 6, 12)
class SparseExperts(nn.Module):
    """Each token goes to its best expert alone, chosen and collected by index (Switch, Fedus et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.head = nn.Linear(12, 2), nn.Linear(12, 3)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 12)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        best = self.router(flat).argmax(-1)
        out = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            chosen = torch.nonzero(best == number).squeeze(1)
            out.index_add_(0, chosen, expert(flat[chosen]))
        return self.head(flat + out).view(*x.shape[:-1], -1)
