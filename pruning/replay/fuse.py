"""A convolution, an addition and a ReLU in one operation of oneDNN, which writes each result once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pruning.groups.record import Ref
from pruning.replay.onednn import convolved
from pruning.replay.steps import Step


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
    relu: int | None = None
    add: int | None = None
    other: Ref | None = None


def find_fusions(steps: Sequence[Step], shapes: Sequence[tuple[int, ...]], output: Ref) -> list[Fusion]:
    """Convolutions of images, with the addition or the ReLU that alone reads their results."""
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
        after, fusion = behind(number), Fusion(number)
        if after is not None and _op(steps[after]) == "relu":
            fusion = Fusion(number, after)
        elif after is not None and _op(steps[after]) == "add" and after not in taken:
            other = _added(steps[after], step.outputs[0], shapes)
            if other is not None:
                last = behind(after)
                relu = last if last is not None and _op(steps[last]) == "relu" else None
                fusion = Fusion(number, relu, after, other)
                taken.add(after)
        found.append(fusion)
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
