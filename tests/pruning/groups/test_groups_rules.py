"""A table with a line for every operation that has a rule: what its result carries on, what it fixes.

Each line runs a function of parameters a, b, ... of given shapes. `to` says for each dimension of the result
which labels it has, as an expression of the parameters' labels (`a0` is dimension 0 of a), or "." where the
result has no labels that could go. `fixes` lists the dimensions of parameters that come out fixed; `together`
the pairs that became one. Everything else must stay free and apart.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.groups.choices import DEFAULT, Choices
from pruning.groups.record import Call, record
from pruning.groups.rules import RULES, rule_for
from pruning.groups.tracer import Tracer


class Line(NamedTuple):
    ops: str  # the operations that the line is about
    run: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    carries: str | None  # by comma; None: the result is not looked at
    fixes: str = ""
    together: str = ""


def line(ops: str, run: Callable[..., Any], *shapes: tuple[int, ...], to: str | None, **more: str) -> Line:
    return Line(ops, run, shapes, to, more.get("fixes", ""), more.get("together", ""))


def computed(x: Tensor) -> Tensor:
    """The same labels, but no parameter any more: a weight that is made of one."""
    return x.neg()


def active(x: Tensor) -> Tensor:
    """The same labels, but made of the network's input too: an activation."""
    return x * Operation.given


def attend(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
    return F.scaled_dot_product_attention(active(q), active(k), active(v), **options)


TABLE = [
    # elementwise
    line("mul add", lambda a, b: a * 2 + b, (4, 3), (4, 3), to="a0,a1", together="a0=b0 a1=b1"),
    line("add_ relu_", lambda a, b: computed(a).add_(b).relu_(), (4, 3), (3,), to="a0,a1", together="a1=b0"),
    line("mul", lambda a, b: a * b, (4, 3), (4, 1), to="a0,a1", together="a0=b0"),
    line("add", lambda a: a + torch.arange(3.0), (4, 3), to="a0,.", fixes="a1"),
    line("hardswish", F.hardswish, (4, 3), to="a0,a1"),
    line("_prelu_kernel", lambda a, b: F.prelu(a, b), (2, 4, 3), (4,), to="a0,a1,a2", together="a1=b0"),
    line("native_dropout", lambda a: torch.native_dropout(a, 0.5, True)[0], (4, 3), to="a0,a1"),
    line("copy", lambda a, b: computed(a).copy_(b), (4, 3), (4, 3), to="a0,a1", together="a0=b0 a1=b1"),
    line("fill zero", lambda a: computed(a).zero_().fill_(3), (4, 3), to="a0,a1"),
    line("zeros_like", lambda a: torch.zeros_like(a), (4, 3), to="a0,a1"),
    line("ones_like", lambda a: torch.ones_like(a), (4, 3), to="a0,a1"),
    line("full_like", lambda a: torch.full_like(a, 2), (4, 3), to="a0,a1"),
    line("empty_like", lambda a: torch.empty_like(a), (4, 3), to="a0,a1"),
    line("masked_fill", lambda a, b: a.masked_fill(b > 0, 1), (4, 3), (3,), to="a0,a1", together="a1=b0"),
    line("detach", lambda a: a.detach(), (4, 3), to="a0,a1"),
    line("alias", lambda a: torch.ops.aten.alias(a), (4, 3), to="a0,a1"),
    line("lift_fresh", lambda a: torch.ops.aten.lift_fresh(a), (4, 3), to="a0,a1"),
    line("clone", lambda a: a.clone(), (4, 3), to="a0,a1"),
    line("_to_copy", lambda a: a.double(), (4, 3), to="a0,a1"),
    line("zeros", lambda a: a + torch.zeros(4, 3), (4, 3), to="a0,a1"),
    line("ones", lambda a: a + torch.ones(4, 3), (4, 3), to="a0,a1"),
    line("full", lambda a: a + torch.full((4, 3), 2.0), (4, 3), to="a0,a1"),
    line("empty", lambda a: a + torch.empty(4, 3), (4, 3), to="a0,a1"),
    line("new_zeros", lambda a: a + a.new_zeros(4, 3), (4, 3), to="a0,a1"),
    line("new_ones", lambda a: a + a.new_ones(4, 3), (4, 3), to="a0,a1"),
    line("new_full", lambda a: a + a.new_full((4, 3), 2), (4, 3), to="a0,a1"),
    line("new_empty", lambda a: a + a.new_empty(4, 3), (4, 3), to="a0,a1"),
    # products
    line("mm t", lambda a, b: a @ b.t(), (4, 3), (5, 3), to="a0,b0", together="a1=b1"),
    line("mm", lambda a, b: active(a) @ active(b), (4, 3), (3, 5), to="a0,b1", together="a1=b0"),
    line(  # more than one in front for each sample: heads, whose widths stay
        "bmm",
        lambda a, b: active(a) @ active(b),
        *((2, 4, 3), (2, 3, 5)),
        to="a0,a1,.",
        fixes="a2 b1 b2",
        together="a0=b0",
    ),
    line("mm", lambda a, b: active(a) @ computed(b), (4, 3), (3, 5), to="a0,b1", together="a1=b0"),
    line("mm", lambda a, b: active(a).exp() @ b.exp(), (4, 3), (3, 5), to="a0,b1", fixes="a1 b0"),
    line("mv", lambda a, b: a.mv(b), (4, 3), (3,), to="a0", together="a1=b0"),
    line("dot vdot", lambda a, b: a.dot(b) + torch.vdot(a, b), (4,), (4,), to="", together="a0=b0"),
    line(
        "addmm", lambda a, b, c: F.linear(a, b, c), (4, 3), (5, 3), (5,), to="a0,b0", together="a1=b1 b0=c0"
    ),
    line("bmm", lambda a, b: a @ b, (2, 4, 3), (2, 3, 5), to="a0,a1,b2", together="a0=b0 a2=b1"),
    line(
        "baddbmm",
        lambda a, b, c: torch.baddbmm(a, b, c),
        *((2, 4, 5), (2, 4, 3), (2, 3, 5)),
        to="b0,b1,c2",
        together="a0=b0 a0=c0 b0=c0 a1=b1 a2=c2 b2=c1",
    ),
    # convolutions
    line(
        "convolution",
        lambda a, b, c: F.conv2d(a, b, c),
        *((2, 3, 6, 6), (4, 3, 3, 3), (4,)),
        to="a0,b0,.,.",
        fixes="a2 a3 b2 b3",
        together="a1=b1 b0=c0",
    ),
    line(
        "convolution",
        lambda a, b: F.conv_transpose2d(a, b),
        *((2, 3, 6, 6), (3, 4, 2, 2)),
        to="a0,b1,.,.",
        fixes="a2 a3 b2 b3",
        together="a1=b0",
    ),
    line(  # depthwise: two filters go with each channel
        "convolution",
        lambda a, b: F.conv1d(a, b, groups=3),
        *((2, 3, 6), (6, 1, 3)),
        to="a0,np.repeat(a1,2),.",
        fixes="a2 b2",
        together="np.repeat(a1,2)=b0",
    ),
    line(  # two groups of three channels: the same one goes from each
        "convolution",
        lambda a, b: F.conv1d(a, b, groups=2),
        *((2, 6, 5), (4, 3, 3)),
        to="a0,np.tile(b0[:2],2),.",
        fixes="a2 b2",
        together="a1=np.tile(b1,2) b0=np.tile(b0[:2],2)",
    ),
    line(
        "convolution",
        lambda a, b: F.conv1d(a.exp(), b.sigmoid()),
        *((2, 3, 6), (4, 3, 2)),
        to="a0,b0,.",
        fixes="a1 a2 b1 b2",
    ),
    line(  # a transposed one of two groups: the same output goes from each
        "convolution",
        lambda a, b: F.conv_transpose1d(a, b, groups=2),
        *((2, 6, 5), (6, 2, 3)),
        to="a0,np.tile(b1,2),.",
        fixes="a2 b2",
        together="a1=np.tile(b0[:3],2) b0=np.tile(a1[:3],2)",
    ),
    line(
        "convolution",
        lambda a, b: F.conv_transpose1d(a, b, groups=3),
        *((2, 3, 5), (3, 1, 3)),
        to="a0,a1,.",
        fixes="a2 b2",
        together="a1=b0",
    ),
    line(  # a weight that is made of one
        "convolution",
        lambda a, b: F.conv1d(a, torch.sin(b)),
        *((2, 3, 6), (4, 3, 2)),
        to="a0,b0,.",
        fixes="a2 b2",
        together="a1=b1",
    ),
    line(  # a kernel of one entry leaves positions as they are
        "convolution",
        lambda a, b: F.conv1d(a, b),
        *((2, 3, 6), (4, 3, 1)),
        to="a0,b0,a2",
        together="a1=b1",
    ),
    line(
        "_trilinear",
        lambda a, b, c: F.bilinear(a, b, c),
        *((2, 3), (2, 4), (5, 3, 4)),
        to="a0,c0",
        together="a0=b0 a1=c1 b1=c2",
    ),
    line(
        "_euclidean_dist",
        lambda a, b: torch.cdist(active(a), b),
        *((30, 4), (40, 4)),
        to="a0,b0",
        together="a1=b1",
    ),
    line("_cdist_forward", lambda a, b: torch.cdist(a.exp(), b), (3, 4), (5, 4), to="a0,b0", fixes="a1 b1"),
    # numbers
    line("embedding", lambda a: F.embedding(torch.tensor([[1, 2]]), a), (5, 3), to=".,.,a1", fixes="a0"),
    line("index", lambda a: a[:, torch.tensor([0, 2])], (4, 3, 2), to="a0,.,a2", fixes="a1"),
    line("index", lambda a: a[[0, 1], :, [0, 1]], (4, 3, 2), to=".,.", fixes="a0 a1 a2"),
    line("index_select", lambda a: a.index_select(1, torch.tensor([0, 2])), (4, 3), to="a0,.", fixes="a1"),
    line("gather", lambda a: a.gather(1, torch.arange(8).view(4, 2) % 3), (4, 3), to=".,.", fixes="a0 a1"),
    line("gather", lambda a: a.gather(1, torch.zeros(2).long().expand(4, 2)), (4, 3), to="a0,.", fixes="a1"),
    *(
        line(
            op,
            lambda a, b, op=op, more=more: getattr(a, op)(0, torch.zeros(2, 1).long().expand(2, 3), b, *more),
            *((4, 3), (2, 3)),
            to=".,a1",
            fixes="a0 b0",
            together="a1=b1",
        )
        for op, more in (("scatter", ()), ("scatter_add", ()), ("scatter_reduce", ("sum",)))
    ),
    *(
        line(
            op,
            lambda a, b, op=op, more=more: getattr(a, op)(0, torch.tensor([0, 2]), b, *more),
            *((4, 3), (2, 3)),
            to=".,a1",
            fixes="a0 b0",
            together="a1=b1",
        )
        for op, more in (("index_add", ()), ("index_copy", ()))
    ),
    line(
        "_embedding_bag",
        lambda a: F.embedding_bag(torch.tensor([[1, 2]]), a, mode="sum"),
        (5, 3),
        to=".,a1",
        fixes="a0",
    ),
    line("arange", lambda a: a + torch.arange(3), (4, 3), to="a0,.", fixes="a1"),
    *(
        line(name.split()[0], lambda a, run=run: a + run(), (4, 4), to=".,.", fixes="a0 a1")
        for name, run in {
            "linspace": lambda: torch.linspace(0, 1, 16).view(4, 4),
            "logspace": lambda: torch.logspace(0, 1, 16).view(4, 4),
            "eye": lambda: torch.eye(4),
            "tril_indices": lambda: torch.tril_indices(4, 4)[:, :8].reshape(4, 4),
            "triu_indices": lambda: torch.triu_indices(4, 4)[:, :8].reshape(4, 4),
            "rand": lambda: torch.rand(4, 4),
            "randn": lambda: torch.randn(4, 4),
            "randint": lambda: torch.randint(3, (4, 4)),
            "randperm": lambda: torch.randperm(16).view(4, 4),
        }.items()
    ),
    line("scalar_tensor", lambda a: a + torch.ops.aten.scalar_tensor(2.0), (4, 3), to="a0,a1"),
    line("rand_like", lambda a: torch.rand_like(a), (4, 3), to=".,.", fixes="a0 a1"),
    line("randn_like", lambda a: torch.randn_like(a), (4, 3), to=".,.", fixes="a0 a1"),
    line("randint_like", lambda a: torch.randint_like(a, 3), (4, 3), to=".,.", fixes="a0 a1"),
    # channels in blocks
    line(
        "pixel_shuffle",
        lambda a: F.pixel_shuffle(a, 2),
        (2, 8, 3, 3),
        to="a0,a1[::4],.,.",
        fixes="a2 a3",
        together="a1=np.repeat(a1[::4],4)",
    ),
    line(
        "pixel_unshuffle",
        lambda a: F.pixel_unshuffle(a, 2),
        (2, 3, 4, 4),
        to="a0,np.repeat(a1,4),.,.",
        fixes="a2 a3",
    ),
    line("im2col", lambda a: F.unfold(a, 2), (2, 3, 4, 4), to="a0,np.repeat(a1,4),.", fixes="a2 a3"),
    line(
        "col2im",
        lambda a: F.fold(a, (3, 3), 2),
        (2, 8, 4),
        to="a0,a1[::4],.,.",
        fixes="a2",
        together="a1=np.repeat(a1[::4],4)",
    ),
    line("unfold", lambda a: a.unfold(1, 2, 1), (4, 3, 5), to="a0,.,a2,.", fixes="a1"),
    line(
        "channel_shuffle",
        lambda a: torch.channel_shuffle(a, 2),
        (2, 6, 3, 3),
        to="a0,np.repeat(a1[:3],2),a2,a3",
        together="a1=np.tile(a1[:3],2)",
    ),
    line("glu", lambda a: F.glu(a, 1), (4, 6), to="a0,a1[:3]", together="a1=np.tile(a1[:3],2)"),
    line("rot90", lambda a: a.rot90(1, (1, 2)), (4, 2, 3), to="a0,.,.", fixes="a1 a2"),
    # normalisations
    line(
        "_weight_norm_interface",
        lambda a, b: torch._weight_norm(a, b, 0),
        *((4, 3), (4, 1)),
        to="a0,a1",
        together="a0=b0",
    ),
    line(
        "native_batch_norm",
        lambda a, b, c: F.batch_norm(a, b, c),
        *((2, 4, 3, 3), (4,), (4,)),
        to="a0,a1,a2,a3",
        together="a1=b0 a1=c0 b0=c0",
    ),
    line(
        "native_batch_norm",
        lambda a, b: F.batch_norm(a, None, None, b, training=True),
        *((2, 4, 3), (4,)),
        to=".,a1,.",
        fixes="a0 a2",
        together="a1=b0",
    ),
    line(
        "native_layer_norm",
        lambda a, b, c: F.layer_norm(a, (3,), b, c),
        *((2, 4, 3), (3,), (3,)),
        to="a0,a1,.",
        fixes="a2 b0 c0",
    ),
    line(
        "native_group_norm",
        lambda a, b: F.group_norm(a, 2, b),
        *((2, 4, 3), (4,)),
        to="a0,.,.",
        fixes="a1 a2 b0",
    ),
    line("mean", lambda a, b: F.rms_norm(a, (3,), b), (4, 3), (3,), to="a0,.", fixes="a1 b0"),
    # reductions
    line("sum", lambda a: active(a).relu().sum(1), (4, 3), to="a0"),
    line("sum", lambda a: active(a).sigmoid().sum(1), (4, 3), to="a0", fixes="a1"),
    line("norm", lambda a: torch.ops.aten.norm(a, 2, [1]), (4, 3), to="a0"),
    line(
        "linalg_vector_norm",
        lambda a: torch.linalg.vector_norm(a, -1, dim=1),
        (4, 3),
        to="a0",
        fixes="a1",
    ),
    line("linalg_vector_norm", lambda a: torch.linalg.vector_norm(a, dim=1), (4, 3), to="a0"),
    line(
        "var_mean std_mean",
        lambda a: torch.var_mean(a, 0)[0] + torch.std_mean(a, 0)[1],
        (4, 3),
        to="a1",
        fixes="a0",
    ),
    line("any all", lambda a: a.any(1) & (a > 0).all(1), (4, 3), to="a0", fixes="a1"),
    line("mean", lambda a: a.mean((0, 2), keepdim=True), (2, 4, 3), to=".,a1,.", fixes="a0 a2"),
    line("amax", lambda a: a.amax(0), (4, 3), to="a1", fixes="a0"),
    line("amin", lambda a: a.amin(0), (4, 3), to="a1", fixes="a0"),
    line("max", lambda a: a.max(0).values, (4, 3), to="a1", fixes="a0"),
    line("min", lambda a: a.min(0).indices, (4, 3), to="a1", fixes="a0"),
    line("prod", lambda a: a.prod(0), (4, 3), to="a1", fixes="a0"),
    line("var", lambda a: a.var(0), (4, 3), to="a1", fixes="a0"),
    line("std", lambda a: a.std(0), (4, 3), to="a1", fixes="a0"),
    line("argmax", lambda a: a.argmax(0), (4, 3), to="a1", fixes="a0"),
    line("argmin", lambda a: a.argmin(), (4, 3), to="", fixes="a0 a1"),
    *(
        line(op, lambda a, op=op: getattr(a, op)(0)[0], (4, 3), to="a1", fixes="a0")
        for op in ("median", "nanmedian", "mode")
    ),
    line("kthvalue", lambda a: a.kthvalue(2, 0).values, (4, 3), to="a1", fixes="a0"),
    line("topk", lambda a: a.topk(2, 1).values, (4, 3), to="a0,.", fixes="a1"),
    line("_fft_r2c", lambda a: torch.fft.rfft(a, dim=1), (4, 3), to="a0,.", fixes="a1"),
    line("_fft_c2c", lambda a: torch.fft.fft(a.to(torch.complex64), dim=1), (4, 3), to="a0,.", fixes="a1"),
    line("_fft_c2r", lambda a: torch.fft.irfft(a.to(torch.complex64), 2, 1), (4, 2), to="a0,.", fixes="a1"),
    line("logsumexp", lambda a: a.logsumexp(1), (4, 3), to="a0", fixes="a1"),
    line("_softmax", lambda a: a.softmax(-1), (4, 3), to="a0,.", fixes="a1"),
    line("_log_softmax", lambda a: a.log_softmax(0), (4, 3), to=".,a1", fixes="a0"),
    line("_safe_softmax", lambda a: torch._safe_softmax(a, 1), (4, 3), to="a0,.", fixes="a1"),
    line("cumsum", lambda a: a.cumsum(1), (4, 3), to="a0,.", fixes="a1"),
    line("cumprod", lambda a: a.cumprod(1), (4, 3), to="a0,.", fixes="a1"),
    line("flip", lambda a: a.flip(1), (4, 3), to="a0,.", fixes="a1"),
    line("sort", lambda a: a.sort(1).values, (4, 3), to="a0,.", fixes="a1"),
    line("roll", lambda a: a.roll(1, 1), (4, 3), to="a0,.", fixes="a1"),
    # positions
    line(
        "max_pool2d_with_indices", lambda a: F.max_pool2d(a, 2), (2, 3, 4, 4), to="a0,a1,.,.", fixes="a2 a3"
    ),
    line("avg_pool2d", lambda a: F.avg_pool2d(a, 2), (2, 3, 4, 4), to="a0,a1,.,.", fixes="a2 a3"),
    line(
        "_adaptive_avg_pool2d",
        lambda a: F.adaptive_avg_pool2d(a, 2),
        (2, 3, 4, 4),
        to="a0,a1,.,.",
        fixes="a2 a3",
    ),
    line(
        "adaptive_max_pool2d",
        lambda a: F.adaptive_max_pool2d(a, 2),
        (2, 3, 4, 4),
        to="a0,a1,.,.",
        fixes="a2 a3",
    ),
    *(
        line(
            op,
            lambda a, mode=mode, smooth=smooth: F.interpolate(
                a, size=(6,) * (a.ndim - 2), mode=mode, **smooth
            ),
            (2, 3, *(4,) * rank),
            to="a0,a1" + ",." * rank,
            fixes="a2 a3 a4"[: 3 * rank - 1],
        )
        for op, rank, mode, smooth in (
            ("upsample_nearest1d", 1, "nearest", {}),
            ("_upsample_nearest_exact1d", 1, "nearest-exact", {}),
            ("upsample_linear1d", 1, "linear", {}),
            ("upsample_nearest2d", 2, "nearest", {}),
            ("_upsample_nearest_exact2d", 2, "nearest-exact", {}),
            ("upsample_bilinear2d", 2, "bilinear", {}),
            ("upsample_bicubic2d", 2, "bicubic", {}),
            ("_upsample_bilinear2d_aa", 2, "bilinear", {"antialias": True}),
            ("_upsample_bicubic2d_aa", 2, "bicubic", {"antialias": True}),
            ("upsample_nearest3d", 3, "nearest", {}),
            ("_upsample_nearest_exact3d", 3, "nearest-exact", {}),
            ("upsample_trilinear3d", 3, "trilinear", {}),
        )
    ),
    *(
        line(
            f"{name}_pad{rank}d",
            lambda a, mode=mode: F.pad(a, (1, 1) * (a.ndim - 2), mode),
            (2, 3, *(4,) * rank),
            to="a0,a1" + ",." * rank,
            fixes="a2 a3 a4"[: 3 * rank - 1],
        )
        for name, mode in (("reflection", "reflect"), ("replication", "replicate"))
        for rank in (1, 2, 3)
    ),
    *(
        line(op, run, (2, 3, 4, 4, 4), to="a0,a1,.,.,.", fixes="a2 a3 a4")
        for op, run in (
            ("max_pool3d_with_indices", lambda a: F.max_pool3d(a, 2)),
            ("avg_pool3d", lambda a: F.avg_pool3d(a, 2)),
            ("_adaptive_avg_pool3d", lambda a: F.adaptive_avg_pool3d(a, 2)),
            ("adaptive_max_pool3d", lambda a: F.adaptive_max_pool3d(a, 2)),
        )
    ),
    # attention
    line(
        "_scaled_dot_product_flash_attention_for_cpu",
        attend,
        *((2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 4)),
        to="a0,a1,.,.",
        fixes="a2 a3 b2 b3 c2 c3",
        together="a0=b0 a0=c0 b0=c0 a1=b1 a1=c1 b1=c1",
    ),
    line(  # two heads of queries to each of keys and values
        "_scaled_dot_product_flash_attention_for_cpu",
        lambda a, b, c: attend(a, b, c, enable_gqa=True),
        *((2, 4, 5, 4), (2, 2, 6, 4), (2, 2, 6, 4)),
        to="a0,a1,.,.",
        fixes="a2 a3 b2 b3 c2 c3",
        together="a0=b0 a0=c0 b0=c0 a1=np.repeat(b1,2) a1=np.repeat(c1,2) b1=c1",
    ),
    # cutting and joining
    line("cat", lambda a, b: torch.cat([a, b], 1), (4, 3), (4, 2), to="a0,[*a1,*b1]", together="a0=b0"),
    line(
        "stack",
        lambda a, b: torch.stack([a, b], 1),
        *((4, 3), (4, 3)),
        to="a0,.,a1",
        together="a0=b0 a1=b1",
    ),
    line("split", lambda a: a.chunk(2, 1)[1], (4, 6), to="a0,a1[3:]", together="a1[:3]=a1[3:]"),
    line("split", lambda a: a.split(4, 1)[1], (4, 6), to="a0,.", fixes="a1"),
    line("unsafe_split", lambda a: a.unsafe_chunk(2, 1)[0], (4, 6), to="a0,a1[3:]", together="a1[:3]=a1[3:]"),
    line("split_with_sizes", lambda a: a.split([2, 4], -1)[1], (4, 6), to="a0,a1[2:]"),
    line("unbind", lambda a: a.unbind(1)[0], (4, 3), to="a0", fixes="a1"),
    line("select", lambda a: a[:, -1], (4, 3), to="a0", fixes="a1"),
    line("slice", lambda a: a[:, 2:5], (4, 6), to="a0,a1[2:5]"),
    line("slice", lambda a: a[:, ::2], (4, 6), to="a0,.", fixes="a1"),
    line(
        "constant_pad_nd",
        lambda a, b: F.pad(a, (1, 2)) + b,
        *((4, 3), (4, 6)),
        to="a0,b1",
        together="a0=b0 a1=b1[1:4]",
    ),
    line("constant_pad_nd", lambda a: F.pad(a, (1, -1)), (4, 3), to=".,.", fixes="a0 a1"),
    # shapes
    line("permute", lambda a: a.permute(2, 0, 1), (2, 4, 3), to="a2,a0,a1"),
    line("transpose", lambda a: a.transpose(-1, 0), (2, 4, 3), to="a2,a1,a0"),
    line("expand", lambda a: a.expand(5, 4, 3), (4, 1), to=None),
    line("expand", lambda a, b: a.expand(4, 3) + b, (4, 1), (4, 3), to="a0,b1", together="a0=b0"),
    line("repeat", lambda a: a.repeat(2, 2), (4, 3), to="np.tile(a0,2),np.tile(a1,2)"),
    line("squeeze unsqueeze", lambda a: a[:, None].squeeze(1), (4, 3), to="a0,a1"),
    line("view", lambda a: a.view(4, 3, 1, 1), (4, 3), to="a0,a1,.,."),
    line("view", lambda a: a.flatten(1), (4, 3, 2), to="a0,np.repeat(a1,2)", fixes="a2"),
    line("_unsafe_view", lambda a, b: a @ b, (2, 5, 4), (4, 3), to="a0,.,b1", fixes="a1", together="a2=b0"),
    line("view", lambda a: a.view(2, 3, 4), (2, 12), to="a0,a1[::4],.", together="a1=np.repeat(a1[::4],4)"),
    line(
        "_reshape_alias",
        lambda a: torch.ops.aten._reshape_alias(a, [12, 2], [2, 1]),
        (3, 8),
        to="np.repeat(a0,4),.",
        fixes="a1",
    ),
    line("view", lambda a: a.view(torch.int32), (4, 3), to=".,.", fixes="a0 a1"),
    line("as_strided", lambda a: torch.as_strided(a, (4, 3), (3, 1)), (4, 3), to="a0,a1"),
    line("bernoulli", lambda a: torch.bernoulli(a / 9), (4, 3), to="a0,a1"),
    # what no rule knows
    line("cummax", lambda a: a.cummax(1).values, (4, 3), to=".,.", fixes="a0 a1"),
    line("maximum", lambda a, b: torch.max(a, b), (4, 3), (4, 3), to="a0,a1", together="a0=b0 a1=b1"),
]

# Only other devices, dtypes or versions call these; they share a function with an operation of the table.
ELSEWHERE = {
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "rms_norm",
    "_fused_rms_norm",
    "softmax",
    "index_reduce",  # warns that it is new
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "_embedding_bag_forward_only",
    "avg_pool1d",
    "adaptive_avg_pool1d",
    "_adaptive_avg_pool1d",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
    "_convolution",
    "linear",
    "reshape",
    "flatten",
    "unsafe_chunk",
    "unsafe_split_with_sizes",
    "_weight_norm",
    "rrelu_with_noise",
}


class Operation(nn.Module):
    def __init__(self, run: Callable[..., Any], shapes: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.run = run
        for name, shape in zip("abc", shapes, strict=False):
            self.register_parameter(name, nn.Parameter(torch.rand(shape) + 0.1))

    given: Tensor  # the input of the network that runs

    def forward(self, x: Tensor) -> Any:
        Operation.given = x
        return self.run(*self.parameters())


def trace(
    run: Callable[..., Any], *shapes: tuple[int, ...], choices: Choices = DEFAULT
) -> tuple[Tracer, list[np.ndarray], list[Call]]:
    """A walk over operations whose result does not leave a network: the result's labels, and the calls."""
    recording = record(Operation(run, shapes), (torch.zeros(1),))
    outputs, recording.outputs = recording.outputs, []
    tracer = Tracer(recording, rule_for, choices).run()
    return tracer, [tracer.labels.find(dim) for dim in tracer.value(outputs[0]).dims], recording.calls


def names(tracer: Tracer) -> dict[str, np.ndarray]:
    return {
        f"{name}{dim}": tracer.labels.find(labels)
        for name, dims in tracer.parameters.items()
        for dim, labels in enumerate(dims)
    }


def value(text: str, known: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(eval(text, {"np": np}, known))


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.ops.split()[0])
def test_rule(entry: Line) -> None:
    tracer, result, calls = trace(entry.run, *entry.shapes)
    known = names(tracer)
    assert set(entry.ops.split()) <= {call.op for call in calls} | {c.op.removesuffix("_") for c in calls}
    if entry.carries is not None:
        for text, labels in zip(_split(entry.carries), result, strict=True):
            if text == ".":
                assert tracer.labels.all_fixed(labels)
            else:
                assert (labels == value(text, known)).all()
    held = set(entry.fixes.split())
    for name, labels in known.items():
        if len(labels) > 1:
            assert tracer.labels.all_fixed(labels) == (name in held), name
    pairs = [pair.split("=") for pair in entry.together.split()]
    for left, right in pairs:
        assert (value(left, known) == value(right, known)).all(), (left, right)
    folded = {name for pair in pairs if set("[(") & set("".join(pair)) for name in _letters("".join(pair))}
    for name, labels in known.items():
        if name not in held | folded and len(labels) > 1:
            assert len(np.unique(labels)) == len(labels), name
    joined = {frozenset(_letters(left) + _letters(right)) for left, right in pairs}
    for left, right in combinations([name for name in known if name not in held], 2):
        if frozenset((left, right)) not in joined:
            meet = set(known[left].tolist()) & set(known[right].tolist()) - {0}
            assert not meet, (left, right)


def _letters(text: str) -> list[str]:
    """The dimension that an expression is about."""
    return [name for name in (f"{p}{d}" for p in "abc" for d in range(5)) if name in text]


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets."""
    parts, depth = [""], 0
    for char in text:
        depth += (char in "([") - (char in ")]")
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return parts if text else []


def test_every_rule_has_a_line() -> None:
    calls = [call.op for entry in TABLE for call in trace(entry.run, *entry.shapes)[2]]
    ops = {*calls, *(op.removesuffix("_") for op in calls)}
    assert set(RULES) - ops - ELSEWHERE == set()
    assert not ELSEWHERE & ops


def test_unknown_operations_are_named() -> None:
    tracer, _, _ = trace(lambda a: a.cummax(1).values, (4, 3))
    assert tracer.labels.reason(tracer.parameters["a"][0][0]) == (
        "the operation `aten.cummax` in the network's own forward has no rule yet"
    )


def test_out_variants_have_no_rule() -> None:
    call = Call("add", "out", "aten", True, {}, (), "")
    assert rule_for(call) is None
    assert rule_for(Call("add", "Tensor", "custom", True, {}, (), "")) is None
    assert rule_for(Call("add", "Tensor", "aten", True, {}, (), "")) is not None


AVERAGES = [
    (lambda a, b: F.layer_norm(a, (3,), b), (4, 3), (3,)),
    (lambda a, b: F.rms_norm(a, (3,), b), (4, 3), (3,)),
    (lambda a, b: F.group_norm(a, 1, b), (4, 3), (3,)),
    (lambda a, b: (a - a.mean(1, keepdim=True)) * b, (4, 3), (3,)),
    (lambda a, b: a / a.var(1, keepdim=True) * b, (4, 3), (3,)),
]


@pytest.mark.parametrize("case", AVERAGES, ids=["layer", "rms", "group", "mean", "var"])
def test_what_is_averaged_over_may_go_where_statistics_may_change(case) -> None:
    run, *shapes = case
    exact = trace(run, *shapes)[0]
    assert exact.labels.all_fixed(exact.parameters["a"][1])
    assert not exact.averages
    tracer = trace(run, *shapes, choices=Choices(norms="statistics"))[0]
    known = names(tracer)
    assert (known["a1"] == known["b0"]).all()
    assert not tracer.labels.all_fixed(known["a1"])
    noted = [note for note in tracer.averages if (tracer.labels.find(note.labels) == known["a1"]).all()]
    assert noted


def test_inside_of_heads_all_three_widths_go_together() -> None:
    shapes = (2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 4)
    inside = Choices(heads="inside", norms="statistics")
    tracer, result, _ = trace(attend, *shapes, choices=inside)
    known = names(tracer)
    assert (known["a3"] == known["b3"]).all()
    assert (known["a3"] == known["c3"]).all()
    assert (result[3] == known["c3"]).all()
    assert not tracer.labels.all_fixed(known["a3"])
    # The temperature follows the width.
    assert {note.argument for note in tracer.averages} == {"query", "key"}
    scaled = trace(lambda a, b, c: attend(a, b, c, scale=0.5), *shapes, choices=Choices(heads="inside"))[0]
    assert not scaled.averages
    assert not scaled.labels.all_fixed(scaled.parameters["a"][3])
    unscaled = trace(attend, *shapes, choices=Choices(heads="inside"))[0]
    assert unscaled.labels.all_fixed(unscaled.parameters["a"][3])


@pytest.mark.parametrize(
    ("run", "quiet"),
    [
        (torch.relu, True),
        (F.gelu, True),
        (F.hardswish, True),
        (torch.sigmoid, False),
        (torch.exp, False),
        (lambda a: a + 1, False),
        (lambda a: a.clamp(min=0.5), False),
        (lambda a: a * torch.tensor(3.0), True),
        (lambda a: 1 / (a + 2), False),
        (lambda a: a.masked_fill(a > 0, -1e9), True),
        (lambda a: torch.where(torch.ones(3) > 0, a, 2.0), False),
        (lambda a: F.pad(a, (0, 1), value=1.0), False),
        (lambda a: torch.empty_like(a), False),
    ],
)
def test_whether_zeros_stay_zeros_is_asked_of_the_operation(run, quiet) -> None:
    recording = record(Operation(lambda a: run(active(a)), ((4, 3),)), (torch.ones(1),))
    outputs, recording.outputs = recording.outputs, []
    assert Tracer(recording, rule_for).run().value(outputs[0]).quiet is quiet
