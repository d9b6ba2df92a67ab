"""Decompositions of a weight, in float64 and the same every time: signs of singular vectors are fixed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

STEPS = 5  # of HOOI; the error hardly falls after two or three


def left_vectors(matrix: Tensor, root: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Left singular vectors and singular values, largest first.

    Args:
        matrix: (m, n).
        root: (n, n), so that `matrix @ root` is what is decomposed; None = the matrix itself.
    Returns:
        (m, k) with the largest entry of each column positive, and (k,), k = min(m, n); float64.
    Raises:
        ValueError: if an entry is not finite.
    """
    matrix = matrix.double()
    if not matrix.isfinite().all():
        raise ValueError("A weight that is not finite has no decomposition; load weights without NaN.")
    vectors, values, _ = torch.linalg.svd(matrix if root is None else matrix @ root, full_matrices=False)
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return vectors * torch.where(largest < 0, -1.0, 1.0), values


def split_matrix(matrix: Tensor, rank: int, root: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The two factors whose product is nearest to a matrix, of equal norms direction by direction.

    With a root R the distance is that of the products with it, |(M - L F) R|: of R R^T = E[x x^T] the mean
    square error of the outputs on data (Zhang et al. 2015, arXiv:1505.06798, their linear case).

    Args:
        matrix: (m, n).
        rank: 1 to min(m, n).
        root: (n, n) or None.
    Returns:
        The one that is applied first, (rank, n), and the one that is applied last, (m, rank); float64.
    Source: Eckart and Young 1936, "The approximation of one matrix by another of lower rank".
    """
    vectors = left_vectors(matrix, root)[0][:, :rank]
    first = vectors.T @ matrix.double()
    scale = first.norm(dim=1).sqrt()
    return first / scale.clamp(min=1e-150)[:, None], vectors * scale


def tucker_2(weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Tucker decomposition along inputs and outputs: HOSVD, then steps of HOOI.

    Args:
        weight: (out, in, *kernel).
        ranks: of the inputs and of the outputs; neither above the other times the kernel's size.
    Returns:
        (ranks[0], in), (ranks[1], ranks[0], *kernel) and (out, ranks[1]); float64. The outer two have
        orthonormal rows and columns.
    Source: Kim et al. 2016, arXiv:1511.06530; HOOI: De Lathauwer et al. 2000, "On the best rank-1 and
        rank-(R1, ..., RN) approximation of higher-order tensors".
    """
    weight = weight.double()
    inputs = left_vectors(unfold(weight, 1))[0][:, : ranks[0]]
    outputs = inputs  # of the right type; set in the first step
    for _ in range(STEPS):
        narrow = torch.einsum("oi...,ir->or...", weight, inputs)
        outputs = left_vectors(unfold(narrow, 0))[0][:, : ranks[1]]
        narrow = torch.einsum("oi...,or->ri...", weight, outputs)
        inputs = left_vectors(unfold(narrow, 1))[0][:, : ranks[0]]
    core = torch.einsum("oi...,ir,os->sr...", weight, inputs, outputs)
    return inputs.T, core, outputs


def unfold(weight: Tensor, dim: int) -> Tensor:
    """The matrix with one dimension as rows and all others as columns."""
    return weight.movedim(dim, 0).flatten(1)
