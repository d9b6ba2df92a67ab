"""A weight as the matrix that multiplies a layer's input, and back."""

from __future__ import annotations

from torch import Tensor, nn

from pruning.layers import TRANSPOSED


def as_matrix(layer: nn.Module, weight: Tensor) -> Tensor:
    """One row for each output, along it the reduction dimension of the matrix product.

    A linear layer's weight (out, in) is this matrix already, and it is what PyTorch's semi-structured kernels
    take: two-dimensional, contiguous, runs of four along each row. They have no convolution; one that is
    computed as a matrix product (`torch.nn.functional.unfold`) multiplies (out, in / groups * kernel), the
    weight's own order, input channel by input channel. NVIDIA's tools for TensorRT count along the input
    channels of one kernel position instead: the same for 1x1 kernels only.

    Args:
        layer: linear, convolution or transposed convolution, whose weight it is.
        weight: of the shape of its weight.
    Returns:
        (out, in / groups * kernel).
    Source: documentation of `torch.sparse.to_sparse_semi_structured` and of `torch.nn.functional.unfold`.
    """
    if isinstance(layer, TRANSPOSED):  # weight (in, out / groups, ...)
        grouped = weight.unflatten(0, (layer.groups, -1))
        return grouped.transpose(1, 2).flatten(0, 1).flatten(1)
    return weight.flatten(1)


def from_matrix(layer: nn.Module, matrix: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What `as_matrix` made a matrix of, in the weight's shape again."""
    if isinstance(layer, TRANSPOSED):
        inputs, outputs, *kernel = shape
        grouped = matrix.reshape(layer.groups, outputs, inputs // layer.groups, *kernel)
        return grouped.transpose(1, 2).reshape(shape)
    return matrix.reshape(shape)
