"""Decoders, generators and super-resolution."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from zoo.members import IMAGE, Head, conv, member


@member(2, 6)
class Generator(nn.Module):
    """Transposed convolutions from a vector, one of them in groups (DCGAN, Radford et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.ConvTranspose2d(6, 12, 4, bias=False), nn.BatchNorm2d(12)
        self.second = nn.ConvTranspose2d(12, 9, 2, stride=2, groups=3)
        self.third = nn.ConvTranspose2d(9, 9, 3, padding=1, groups=9)
        self.out = nn.ConvTranspose2d(9, 3, 2, stride=2)

    def forward(self, z: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(z[:, :, None, None])))
        return torch.tanh(self.out(F.leaky_relu(self.third(self.second(x)), 0.2)))


@member(*IMAGE)
class SuperResolution(nn.Module):
    """Residuals without norms, then pixel shuffle (ESPCN, EDSR: Lim et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = conv(3, 8), conv(8, 6), conv(6, 8)
        self.grow, self.shuffle, self.out = conv(8, 20), nn.PixelShuffle(2), conv(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + 0.1 * self.b(F.relu(self.a(x)))
        return self.out(F.relu(self.shuffle(self.grow(x))))


@member(*IMAGE)
class PixelUnshuffle(nn.Module):
    """Pixels into channels and back between convolutions, then space to depth written out."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = conv(3, 5), conv(20, 6), conv(6, 12), conv(3, 4)
        self.e, self.head = conv(16, 7), Head(7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(F.pixel_unshuffle(F.relu(self.a(x)), 2))
        x = self.d(F.pixel_shuffle(F.relu(self.c(x)), 2))
        batch, channels, height, width = x.shape
        x = x.view(batch, channels, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
        return self.head(self.e(x.reshape(batch, 4 * channels, height // 2, width // 2)))


@member(*IMAGE)
class WeightNorms(nn.Module):
    """Weight norm as a parametrization and by the older hook."""

    def __init__(self) -> None:
        super().__init__()
        self.a = parametrizations.weight_norm(conv(3, 8))
        with _old_ways():
            self.b = nn.utils.weight_norm(conv(8, 6))
        self.c, self.head = (
            parametrizations.weight_norm(nn.ConvTranspose2d(6, 5, 2, stride=2), dim=1),
            Head(5),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.c(F.relu(self.b(F.relu(self.a(x)))))))


@member(*IMAGE)
class SpectralNorms(nn.Module):
    """A discriminator whose weights are divided by their largest singular value (Miyato et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.a = parametrizations.spectral_norm(conv(3, 8))
        self.b, self.c, self.head = conv(8, 7), parametrizations.spectral_norm(conv(7, 6)), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.leaky_relu(self.c(F.leaky_relu(self.b(F.leaky_relu(self.a(x)))))))


@member(2, 12)
class Variational(nn.Module):
    """An encoder with two heads; several outputs, one of them the code (Kingma and Welling 2013)."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.mean, self.spread = nn.Linear(12, 9), nn.Linear(9, 4), nn.Linear(9, 4)
        self.decode, self.out = nn.Linear(4, 10), nn.Linear(10, 12)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = torch.relu(self.encode(x))
        mean, spread = self.mean(hidden), self.spread(hidden)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * spread) if self.training else mean
        return self.out(torch.relu(self.decode(z))), mean, spread


@member(*IMAGE)
class QuantisedCodes(nn.Module):
    """Each position becomes its nearest code: the codes' width stays (VQ-VAE, van den Oord et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.codes = conv(3, 7), conv(7, 4), nn.Embedding(9, 4)
        self.c, self.out = conv(4, 6), conv(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.b(F.relu(self.a(x))).permute(0, 2, 3, 1).contiguous()
        nearest = torch.cdist(z.view(-1, z.shape[-1]), self.codes.weight).argmin(1)
        z = self.codes(nearest).view(z.shape).permute(0, 3, 1, 2)
        return self.out(F.relu(self.c(z)))


@member(2, 12)
class Coupling(nn.Module):
    """One half scales and shifts the other; the halves change places (RealNVP, Dinh et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 12)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = torch.zeros(len(x), dtype=x.dtype)
        for net in self.nets:
            a, b = x[:, :6], x[:, 6:]
            scale, shift = net(a).chunk(2, 1)
            x = torch.cat([b * torch.exp(scale.tanh()) + shift, a], 1)
            total = total + scale.tanh().sum(1)
        return x, total


@member(2, 1, 16)
class WaveNet(nn.Module):
    """Gated dilated convolutions with residual and skip outputs (van den Oord et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.out1, self.out2 = nn.Conv1d(1, 6, 1), nn.Conv1d(7, 5, 1), nn.Conv1d(5, 3, 1)
        self.gates = nn.ModuleList(nn.Conv1d(6, 16, 2, dilation=2**n) for n in range(3))
        self.skips = nn.ModuleList(nn.Conv1d(8, 7, 1) for _ in range(3))
        self.backs = nn.ModuleList(nn.Conv1d(8, 6, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x, total = self.stem(x), 0
        for gate, skip, back in zip(self.gates, self.skips, self.backs, strict=True):
            a, b = gate(F.pad(x, (gate.dilation[0], 0))).chunk(2, 1)
            y = torch.tanh(a) * torch.sigmoid(b)
            total, x = total + skip(y), x + back(y)
        return self.out2(F.relu(self.out1(F.relu(total))))


@member(inputs=lambda: (torch.randn(2, 3, 8, 8), torch.tensor([3.0, 7.0])))
class Denoiser(nn.Module):
    """A step of diffusion: sinusoids of the time shift the channels, GroupNorm between (Ho et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.time1, self.time2, self.stem = nn.Linear(8, 10), nn.Linear(10, 12), conv(3, 6)
        self.norm1, self.a, self.norm2, self.b = (
            nn.GroupNorm(2, 6),
            conv(6, 12),
            nn.GroupNorm(3, 12),
            conv(12, 6),
        )
        self.free, self.out = conv(6, 7), conv(7, 3)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        rates = torch.exp(-math.log(100) * torch.arange(4, dtype=x.dtype) / 4)
        angles = time[:, None] * rates[None]
        shift = self.time2(F.silu(self.time1(torch.cat([angles.sin(), angles.cos()], -1))))
        x = self.stem(x)
        y = self.a(F.silu(self.norm1(x))) + shift[:, :, None, None]
        x = x + self.b(F.silu(self.norm2(y)))
        return self.out(F.silu(self.free(x)))


@member(inputs=lambda: (torch.randn(2, 3, 8, 8), torch.randn(2, 5)))
class FeatureModulation(nn.Module):
    """A condition scales and shifts channels (FiLM, Perez et al. 2017), and AdaIN with its own statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.film, self.b = conv(3, 8), nn.Linear(5, 16), conv(8, 6)
        self.style, self.instance, self.out = nn.Linear(5, 12), nn.InstanceNorm2d(6), conv(6, 2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, 1)
        x = F.relu((1 + scale) * self.a(x) + shift)
        scale, shift = self.style(condition).unsqueeze(2).unsqueeze(3).chunk(2, dim=1)
        return self.out(F.relu(self.instance(self.b(x)) * (1 + scale) + shift))


@member(inputs=lambda: (torch.randn(2, 6, 4, 4), torch.randn(2, 5)))
class ModulatedConvolution(nn.Module):
    """Weights scaled per sample and filter, all samples as groups (StyleGAN2, Karras et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.weight, self.style = (
            conv(6, 6),
            nn.Parameter(torch.randn(8, 6, 3, 3)),
            nn.Linear(5, 6),
        )
        self.free, self.out = conv(8, 7), conv(7, 3)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        batch, channels, height, width = self.before(x).shape
        weight = self.weight[None] * self.style(z)[:, None, :, None, None]
        weight = weight * torch.rsqrt(weight.pow(2).sum((2, 3, 4), keepdim=True) + 1e-8)
        y = self.before(x).reshape(1, batch * channels, height, width)
        y = F.conv2d(y, weight.reshape(batch * 8, channels, 3, 3), padding=1, groups=batch)
        return self.out(F.relu(self.free(y.reshape(batch, 8, height, width))))


class MaskedConv(nn.Conv2d):
    """A convolution that sees only what lies before (PixelCNN, van den Oord et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        mask = torch.ones(1, 1, 3, 3)
        mask[:, :, 1, 2:], mask[:, :, 2] = 0, 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight * self.mask, self.bias)


@member(*IMAGE)
class PixelCnn(nn.Module):
    """Masked convolutions with residuals, and one of them the older way: `weight.data` changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.out = MaskedConv(3, 8), MaskedConv(8, 6), MaskedConv(6, 8), conv(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = x + self.c(F.relu(self.b(F.relu(x))))
        self.out.weight.data *= 1
        return self.out(F.relu(x))


class _old_ways:
    """The older weight norm warns that it is old."""

    def __enter__(self) -> None:
        import warnings

        self.catch = warnings.catch_warnings()
        self.catch.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *given: object) -> None:
        self.catch.__exit__(*given)
