"""A convolution, an addition and a ReLU in one operation of oneDNN, which writes each result once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pruning.groups.record import Ref
from pruning.replay.steps import Step

aten = torch.ops.aten


@dataclass(frozen=True)
class Fusion:
    """Positions of steps that become one, at the place of the addition if there is one.

    Args:
        conv: the convolution.
        relu: the ReLU behind it, or behind the addition; None if there is none.
        add: the addition; None if there is none.
        other: what is added.
    """

    conv: int
    relu: int | None
    add: int | None = None
    other: Ref | None = None


def find_fusions(steps: Sequence[Step], shapes: Sequence[tuple[int, ...]], output: Ref) -> list[Fusion]:
    """Convolutions of images whose results only an addition or a ReLU reads."""
    reads = Counter(ref for step in steps for ref in step.values if isinstance(ref, Ref))
    reads.update(ref for step in steps for ref in step.reads if ref not in step.values)
    reader = {ref: number for number, step in enumerate(steps) for ref in step.reads}
    found: list[Fusion] = []
    taken: set[int] = set()

    def behind(number: int) -> int | None:
        """The only step that reads a step's result."""
        ref = steps[number].outputs[0]
        alone = ref is not None and ref != output and reads[ref] == 1
        return reader[ref] if alone and ref is not None else None

    for number, step in enumerate(steps):
        if not _convolves(step, shapes):
            continue
        after = behind(number)
        if after is None:
            continue
        if _op(steps[after]) == "relu":
            found.append(Fusion(number, after))
        elif _op(steps[after]) == "add" and after not in taken:
            other = _added(steps[after], step.outputs[0], shapes)
            if other is not None:
                last = behind(after)
                relu = last if last is not None and _op(steps[last]) == "relu" else None
                found.append(Fusion(number, relu, after, other))
                taken.add(after)
    return found


def fuse(steps: Sequence[Step], fusions: Sequence[Fusion]) -> list[Step]:
    """The same steps with those that belong together as one."""
    made: dict[int, Step | None] = {}
    for fusion in fusions:
        gone = [place for place in (fusion.conv, fusion.add, fusion.relu) if place is not None]
        x, weight, bias, stride, padding, dilation, *_, groups = steps[fusion.conv].values
        settings = (fusion.relu is not None, stride, padding, dilation, groups)
        made.update(dict.fromkeys(gone))
        made[fusion.conv if fusion.add is None else fusion.add] = Step(
            convolved, (x, weight, bias, fusion.other, *settings), (), steps[gone[-1]].outputs
        )
    return [step for number, own in enumerate(steps) if (step := made.get(number, own)) is not None]


def convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    other: Tensor | None,
    relu: bool,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """x (images, in, H, W) convolved by weight (out, in, h, w), plus `other`; then a ReLU if wanted."""
    if _onednn is not None and x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu":
        settings = (padding, stride, dilation, groups)
        if other is None:
            return _onednn(x, weight, bias, *settings, "relu" if relu else "none", [], "")
        other = other.contiguous(memory_format=torch.channels_last)
        return _onednn.binary(x, other, weight, bias, *settings, "add", 1.0, "relu" if relu else None, [], "")
    out = aten.convolution.default(x, weight, bias, stride, padding, dilation, False, [0, 0], groups)
    out = out if other is None else out + other
    return out.relu_() if relu else out


def _convolves(step: Step, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether it is a convolution of images, not transposed."""
    if _op(step) != "convolution" or step.outputs[0] is None or step.values[6]:
        return False
    return len(shapes[step.outputs[0].index]) == 4


def _added(step: Step, one: Ref | None, shapes: Sequence[tuple[int, ...]]) -> Ref | None:
    """What an addition adds to `one`, if both are of the shape of its result."""
    operands = [value for value in step.values[:2] if isinstance(value, Ref)]
    if len(operands) != 2 or one is None or step.outputs[0] is None or step.values[2:] not in ((), (1,)):
        return None
    other = operands[1] if operands[0] == one else operands[0]
    alike = shapes[other.index] == shapes[one.index] == shapes[step.outputs[0].index]
    return other if alike else None


def _op(step: Step) -> str:
    return getattr(step.function, "_opname", "")


def _onednn_convolution() -> Callable[..., Any] | None:
    """Operations that PyTorch has for its own compiler; None where it was built without oneDNN."""
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_convolution_pointwise", None)


_onednn: Any = _onednn_convolution()
