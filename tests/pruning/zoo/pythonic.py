"""What people write in Python: containers, loops, slices written in place, shapes that come and go."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.members import IMAGE, Head, conv, member, numbers


@member(*IMAGE)
class Nested(nn.Module):
    """A dict of lists and tuples comes out, and None with it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(3, 8), conv(8, 6), conv(6, 5)
        self.classes, self.boxes = Head(5, 3), nn.Conv2d(5, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Any]:
        b = self.b(F.relu(self.a(x)))
        c = self.c(F.relu(b))
        return {"logits": self.classes(c), "maps": [(self.boxes(c), b.mean((2, 3)))], "loss": None}


@member(inputs=lambda: (torch.randn(2, 3, 8, 8), {"ids": numbers(2, 4), "extra": [torch.randn(2, 5)]}))
class SeveralInputs(nn.Module):
    """An image, a dict with numbers and a list: all become one vector."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.words, self.extra = conv(3, 8), nn.Embedding(20, 6), nn.Linear(5, 7)
        self.join, self.head = nn.Linear(21, 10), nn.Linear(10, 4)

    def forward(self, image: Tensor, rest: dict[str, Any]) -> Tensor:
        parts = [self.image(image).amax((2, 3)), self.words(rest["ids"]).mean(1)]
        parts += [F.relu(self.extra(each)) for each in rest["extra"]]
        return self.head(F.relu(self.join(torch.cat(parts, 1))))


@member(*IMAGE)
class Branches(nn.Module):
    """Loops and branches on shapes: padded where odd, pooled until small."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again, self.head = conv(3, 6), nn.ModuleList([conv(6, 6), conv(6, 6)]), Head(6)
        self.odd = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for number, layer in enumerate(self.again):
            if x.shape[-1] % 2:
                x = F.pad(x, (0, 1, 0, 1))
            x = F.max_pool2d(layer(x), 2) if number == 0 else self.odd(layer(x))
        while x.shape[-1] > 2:
            x = F.avg_pool2d(x, 2)
        assert x.size(1) == self.odd.weight.size(0)
        return self.head(x)


@member(*IMAGE)
class WrittenSlices(nn.Module):
    """Outputs of two layers written into slices of a buffer, channels doubled in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = conv(3, 5), conv(3, 4), conv(9, 6), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        held = torch.empty(len(x), a.shape[1] + b.shape[1], 8, 8, dtype=x.dtype)
        held[:, : a.shape[1]] = a
        held[:, a.shape[1] :] = b
        held[:, : a.shape[1]] *= 2
        return self.head(torch.relu_(self.c(held)))


@member(*IMAGE)
class Flipped(nn.Module):
    """Mirrored along positions, which is exact, and along channels, which stays."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = conv(3, 6), conv(6, 6), conv(6, 5), Head(5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = self.b(F.relu(x + x.flip(-1) + torch.rot90(x, 1, (2, 3))))
        return self.head(F.relu(self.c(x + x.flip(1))))


@member(*IMAGE)
class Ensemble(nn.Module):
    """Three branches, stacked, their mean and median."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 6)
        self.branches = nn.ModuleList(
            nn.Sequential(conv(6, 7), nn.ReLU(), nn.Conv2d(7, 8, 1)) for _ in range(3)
        )
        self.head = Head(8)

    def forward(self, x: Tensor) -> Tensor:
        outputs = torch.stack([branch(self.stem(x)) for branch in self.branches])
        return self.head(outputs.mean(0)) + self.head(outputs.median(0).values)


@member(*IMAGE)
class Dropouts(nn.Module):
    """Every kind of dropout, asleep, and noise that is added in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv(3, 6), conv(6, 8), Head(8)
        self.drops = nn.Sequential(nn.Dropout2d(), nn.Dropout(), nn.AlphaDropout(), nn.FeatureAlphaDropout())

    def forward(self, x: Tensor) -> Tensor:
        x = self.drops(F.rrelu(self.a(x), training=self.training))
        return self.head(F.dropout(self.b(x), p=0.1, training=self.training))


@member(*IMAGE)
class ScaledResiduals(nn.Module):
    """Scalars, scales per channel and fixed ones around residuals (ReZero, FixUp, SkipInit)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b, self.head = conv(3, 8), conv(8, 8), conv(8, 8), Head(8)
        self.alpha, self.beta = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.rand(1, 8, 1, 1))
        self.shift = nn.Parameter(torch.tensor([0.1]))
        self.register_buffer("gain", torch.linspace(0.5, 1, 8).view(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.alpha * self.a(F.elu(x) + self.shift)
        x = torch.lerp(x, self.b(F.softplus(x)), 0.25) * self.gain
        return self.head(x.addcmul(self.beta, F.mish(x), value=0.5))


@member(2, 3)
class SameAgain(nn.Module):
    """Returns its input, and something that was not made of it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.code = nn.Linear(5, 6), nn.Linear(6, 2), nn.Parameter(torch.randn(1, 5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, self.b(torch.relu(self.a(self.code)))


@member(2, 1, 12)
class Squeezed(nn.Module):
    """Dimensions of size 1 come and go by every name."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = (
            nn.Linear(12, 8),
            conv(8, 6, 1),
            nn.Conv1d(6, 5, 1),
            nn.Linear(5, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x.squeeze(1)))[..., None, None]
        x = torch.relu(self.b(x)).squeeze(-1)
        x = self.c(x).squeeze()
        return self.head(torch.atleast_2d(x).unsqueeze(0)[0])


@member(2, 3)
class Field(nn.Module):
    """Sines of positions, and the positions joined again half way (NeRF, Mildenhall et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = (
            nn.Linear(15, 9),
            nn.Linear(24, 8),
            nn.Linear(8, 6),
            nn.Linear(6, 3),
        )
        self.density = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        code = torch.cat([x, *(f(x * 2.0**n) for n in range(2) for f in (torch.sin, torch.cos))], -1)
        y = F.relu(self.a(code))
        y = F.relu(self.b(torch.cat([code, y], -1)))
        return torch.cat([torch.sigmoid(self.head(F.relu(self.c(y)))), self.density(y)], -1)


@member(2, 8)
class OdeSteps(nn.Module):
    """One layer integrated by Runge-Kutta steps with the time put beside it (Chen et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.a, self.b, self.head = (
            nn.Linear(8, 6),
            nn.Linear(7, 9),
            nn.Linear(9, 6),
            nn.Linear(6, 3),
        )

    def slope(self, time: float, y: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(torch.cat([y, torch.full_like(y[:, :1], time)], 1))))

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        for n in range(2):
            half = y + 0.25 * self.slope(n / 2, y)
            y = y + 0.5 * self.slope(n / 2 + 0.25, half)
        return self.head(y)
