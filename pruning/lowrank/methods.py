"""METHODS: how one layer becomes two or three smaller ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn

from pruning.layers import CONVOLUTIONS
from pruning.lowrank.decompose import left_vectors, split_matrix, tucker_2, unfold
from pruning.lowrank.geometry import Factor, Ranks, Shape
from pruning.registry import Registry


@dataclass(frozen=True)
class Method:
    """A decomposition of the weights of linear layers or convolutions.

    Args:
        name: the key in `METHODS`.
        label: its name on a screen.
        description: what it puts in a layer's place; shown on the screen.
        source: paper and arXiv number.
        misfit: why it cannot factorise a layer that it is shown, "" if it can.
        most: shape of a weight -> the highest ranks, at which nothing is lost.
        factors: shape of a weight and ranks -> the smaller layers, in the order in which they run.
        split: weight, ranks and root (None if it takes none) -> their weights, float64.
        spectra: weight and root -> singular values, one tensor for each rank. Together the values that are
            cut off bound the error: |W - W'|^2 is at most the sum of their squares.
        axes: how many axes an image may have: 0 for linear layers.
        takes_data: whether it can weigh errors by what the layer's inputs are: takes a root.
    """

    name: str
    label: str
    description: str
    source: str
    misfit: Callable[[nn.Module], str]
    most: Callable[[Shape], Ranks]
    factors: Callable[[Shape, Ranks], tuple[Factor, ...]]
    split: Callable[[Tensor, Ranks, Tensor | None], tuple[Tensor, ...]]
    spectra: Callable[[Tensor, Tensor | None], tuple[Tensor, ...]]
    axes: tuple[int, ...]
    takes_data: bool = False

    def fitted(self, shape: Shape, ranks: Ranks) -> Ranks:
        """The ranks, lowered to what can be reached: of two ranks, none above the other times the kernel."""
        ranks = tuple(max(1, min(pair)) for pair in zip(ranks, self.most(shape), strict=True))
        if len(ranks) == 2:
            kernel, (into, out) = prod(shape[2:]), ranks
            ranks = min(into, out * kernel), min(out, into * kernel)
        return ranks


METHODS: Registry[Method] = Registry("method of low rank")
MATRICES = ("svd", "channel-svd")  # what a layer takes that is a matrix anyway, whatever was asked for


def method_for(layer: nn.Module, wanted: str) -> tuple[str, str]:
    """The method for a layer: the one wanted, or a matrix's own for linear layers and kernels of one pixel.

    Returns:
        Its name and "", or "" and why there is none.
    Raises:
        ValueError: if there is no such method.
    """
    reason = METHODS[wanted].misfit(layer)
    if not reason:
        return wanted, ""
    is_matrix = isinstance(layer, nn.Linear) or prod(getattr(layer, "kernel_size", (0,))) == 1
    if is_matrix:
        for name in MATRICES:
            if not METHODS[name].misfit(layer):
                return name, ""
    return "", reason


def _matrix(weight: Tensor) -> Tensor:
    return weight.flatten(1)


def _linear_only(layer: nn.Module) -> str:
    return "" if isinstance(layer, nn.Linear) else "Only linear layers are factorised by a plain SVD."


def _svd_most(shape: Shape) -> Ranks:
    return (min(shape[0], prod(shape[1:])),)


def _svd_factors(shape: Shape, ranks: Ranks) -> tuple[Factor, ...]:
    (rank,) = ranks
    axes = tuple(range(len(shape) - 2))
    single = (1,) * len(axes)
    return Factor("first", (rank, *shape[1:]), axes), Factor("last", (shape[0], rank, *single))


def _svd_split(weight: Tensor, ranks: Ranks, root: Tensor | None) -> tuple[Tensor, ...]:
    first, last = split_matrix(_matrix(weight), ranks[0], root)
    single = (1,) * (weight.dim() - 2)
    return first.reshape(-1, *weight.shape[1:]), last.reshape(*last.shape, *single)


def _svd_spectra(weight: Tensor, root: Tensor | None) -> tuple[Tensor, ...]:
    return (left_vectors(_matrix(weight), root)[1],)


METHODS.add(
    "svd",
    Method(
        name="svd",
        label="SVD",
        description=(
            "A linear layer becomes two: the first maps the inputs to as many values as the rank, the second "
            "maps these to the outputs. No other pair of this rank comes nearer to the weight."
        ),
        source="Denton et al. 2014, arXiv:1404.0736",
        misfit=_linear_only,
        axes=(0,),
        most=_svd_most,
        factors=_svd_factors,
        split=_svd_split,
        spectra=_svd_spectra,
        takes_data=True,
    ),
)


def _convolution_only(layer: nn.Module) -> str:
    return "" if isinstance(layer, CONVOLUTIONS) else "Only convolutions have channels and a kernel."


METHODS.add(
    "channel-svd",
    Method(
        name="channel-svd",
        label="Channel SVD",
        description=(
            "A convolution becomes one with fewer filters, as many as the rank, and a 1 x 1 convolution that "
            "mixes these few maps into the outputs."
        ),
        source="Zhang et al. 2015, arXiv:1505.06798; with pruning: Ruan et al. 2020, EDP (IEEE TNNLS)",
        misfit=_convolution_only,
        axes=(1, 2, 3),
        most=_svd_most,
        factors=_svd_factors,
        split=_svd_split,
        spectra=_svd_spectra,
        takes_data=True,
    ),
)


def _images_only(layer: nn.Module) -> str:
    if not isinstance(layer, nn.Conv2d):
        return "Only convolutions of images have rows and columns."
    if 1 in layer.kernel_size:
        return "Its kernel has a single row or column, so there is nothing to separate."
    return ""


def _spatial_matrix(weight: Tensor) -> Tensor:
    """(out, in, rows, columns) -> (out * columns, in * rows)."""
    return weight.permute(0, 3, 1, 2).flatten(2).flatten(0, 1)


def _spatial_most(shape: Shape) -> Ranks:
    out, into, rows, columns = shape
    return (min(out * columns, into * rows),)


def _spatial_factors(shape: Shape, ranks: Ranks) -> tuple[Factor, ...]:
    (out, into, rows, columns), (rank,) = shape, ranks
    return Factor("first", (rank, into, rows, 1), (0,)), Factor("last", (out, rank, 1, columns), (1,))


def _spatial_split(weight: Tensor, ranks: Ranks, root: Tensor | None) -> tuple[Tensor, ...]:
    out, into, rows, columns = weight.shape
    first, last = split_matrix(_spatial_matrix(weight), ranks[0])
    last = last.reshape(out, columns, -1).transpose(1, 2).unsqueeze(2)
    return first.reshape(-1, into, rows, 1), last


METHODS.add(
    "spatial-svd",
    Method(
        name="spatial-svd",
        label="Spatial SVD",
        description=(
            "A convolution becomes one with a kernel of one column, whose filters are as many as the rank, "
            "and one with a kernel of one row."
        ),
        source="Jaderberg et al. 2014, arXiv:1405.3866, scheme 2",
        misfit=_images_only,
        axes=(2,),
        most=_spatial_most,
        factors=_spatial_factors,
        split=_spatial_split,
        spectra=lambda weight, root: (left_vectors(_spatial_matrix(weight))[1],),
    ),
)


def _kernels_only(layer: nn.Module) -> str:
    if not isinstance(layer, CONVOLUTIONS):
        return _convolution_only(layer)
    return "" if prod(layer.kernel_size) > 1 else "Its kernel is one pixel, so there is no core to keep."


def _tucker_most(shape: Shape) -> Ranks:
    out, into, kernel = shape[0], shape[1], prod(shape[2:])
    return min(into, out * kernel), min(out, into * kernel)


def _tucker_factors(shape: Shape, ranks: Ranks) -> tuple[Factor, ...]:
    out, into, *kernel = shape
    axes = tuple(range(len(kernel)))
    single = (1,) * len(kernel)
    return (
        Factor("first", (ranks[0], into, *single)),
        Factor("core", (ranks[1], ranks[0], *kernel), axes),
        Factor("last", (out, ranks[1], *single)),
    )


def _tucker_split(weight: Tensor, ranks: Ranks, root: Tensor | None) -> tuple[Tensor, ...]:
    first, core, last = tucker_2(weight, ranks)
    single = (1,) * (weight.dim() - 2)
    return first.reshape(*first.shape, *single), core, last.reshape(*last.shape, *single)


def _tucker_spectra(weight: Tensor, root: Tensor | None) -> tuple[Tensor, ...]:
    return left_vectors(unfold(weight, 1))[1], left_vectors(unfold(weight, 0))[1]


METHODS.add(
    "tucker-2",
    Method(
        name="tucker-2",
        label="Tucker-2",
        description=(
            "A convolution becomes three: 1 x 1 from the inputs to fewer channels, the kernel itself between "
            "few channels, and 1 x 1 to the outputs. It has two ranks, of the inputs and of the outputs."
        ),
        source="Kim et al. 2016, arXiv:1511.06530",
        misfit=_kernels_only,
        axes=(1, 2, 3),
        most=_tucker_most,
        factors=_tucker_factors,
        split=_tucker_split,
        spectra=_tucker_spectra,
    ),
)
