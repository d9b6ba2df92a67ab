"""Recorded operations made faster without changing what they compute, but for rounding.

BatchNorm is folded into the convolution before it, images lie channels last, linear layers go to oneDNN, what
follows a convolution is done along with it (`fuse`), some convolutions become products of matrices
(`unroll`), and results are written over operands that nobody needs any more. `benchmarks/scan.py` tells what
that gains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pruning.groups.record import Call, Recording, Ref
from pruning.groups.resize import placed
from pruning.replay.fuse import find_fusions, fuse
from pruning.replay.onednn import linear
from pruning.replay.steps import InPlace, NotReplayable, Step
from pruning.replay.unroll import Product, find_products, unroll

aten = torch.ops.aten

_NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
_RESHAPES = ("view", "_unsafe_view")
_OVERWRITING = ("relu", "gelu", "silu", "sigmoid", "tanh", "hardswish", "hardsigmoid", "add", "mul")
_Given = tuple[Any, dict[str, Any]]


class Rewrite:
    """Decides once which operations change, and writes the steps of the network and of its versions.

    Args:
        calls: in order, those that reach the output.
        recording: that they are of.
        args: for each call the operation and its arguments.
        input, output: of the network.
    """

    def __init__(
        self, calls: Sequence[Call], recording: Recording, args: Sequence[_Given], input: Ref, output: Ref
    ) -> None:
        self._calls, self._shapes = calls, [info.shape for info in recording.tensors]
        self._dtypes = [info.dtype for info in recording.tensors]
        self._input, self._output = input, output
        self._readers = Counter(ref for call in calls for ref in set(call.inputs))
        self._maker = {ref: number for number, call in enumerate(calls) for ref in call.outputs if ref}
        self._dynamic = self._depends_on_images(args)
        self._norm_of = self._foldable()
        self._folded = {norm: conv for conv, norm in self._norm_of.items()}
        self._made = {conv: self._parameters(calls[conv].args["weight"]) for conv in self._norm_of}
        self._weight_of = {n: w for n in range(len(calls)) if (w := self._linear_weight(n)) is not None}
        self._last_layout = self._takes_channels_last()
        self._fixed_steps: list[bool] = []
        self._cheap: dict[int, InPlace] = {}
        self._needed: list[bool] = []
        _, steps = self._split(self._written(args))
        self._fusions = find_fusions(steps, self._shapes, output) if self._last_layout else []
        steps = fuse(steps, self._fusions)
        self._products = {
            number: Product(*self._parameters(steps[number].values[1]), *sizes)
            for number, sizes in find_products(steps, self._shapes, self._dynamic).items()
        }
        _, steps = unroll(steps, self._products)
        self._cheap = _overwriting(steps, self._plain_tensors(), self._shapes, self._dtypes)

    def laid_out(self, x: Tensor) -> Tensor:
        """Images as the steps run fastest on them."""
        return x.contiguous(memory_format=torch.channels_last) if self._last_layout else x

    def steps(self, args: Sequence[_Given]) -> tuple[list[Step], list[Step]]:
        """Steps that depend on parameters alone, and those that depend on the images.

        Args:
            args: as above, or with the sizes of a version.
        """
        fixed, steps = self._split(self._written(args))
        more, steps = unroll(fuse(steps, self._fusions), self._products)
        return fixed + more, [
            replace(step, in_place=self._cheap[number]) if number in self._cheap else step
            for number, step in enumerate(steps)
        ]

    def _parameters(self, weight: Ref) -> tuple[Ref, Ref]:
        """What will stand for a weight and a bias that are made of this weight's."""
        shape, dtype = self._shapes[weight.index], self._dtypes[weight.index]
        self._shapes += [shape, shape[:1]]
        self._dtypes += [dtype, dtype]
        return Ref(len(self._shapes) - 2), Ref(len(self._shapes) - 1)

    def _written(self, args: Sequence[_Given]) -> list[Step]:
        steps: list[Step] = []
        for number, (function, given) in enumerate(args):
            outputs = self._calls[number].outputs
            if number in self._folded:
                continue  # its convolution does it
            if number in self._norm_of:
                steps += self._with_norm(number, given, args[self._norm_of[number]][1])
            elif number in self._weight_of:
                bias = given.get("self")
                x = given["mat1"] if "mat1" in given else given["self"]
                values = (x, self._weight_of[number], bias if "mat1" in given else None)
                steps.append(Step(linear, values, (), outputs))
            else:
                by_place, named = placed(function, given)
                values = (*by_place, *named.values())
                steps.append(Step(self._function(number, function), values, tuple(named), outputs))
        return steps

    def _function(self, number: int, function: Any) -> Any:
        """The form of an operation that makes a new tensor, and of a view that takes any layout."""
        op = self._calls[number].op
        if op in _RESHAPES and not function._schema.name.endswith("dtype"):
            return aten.reshape.default
        if not op.endswith("_") or op.endswith("__"):
            return function
        try:
            return getattr(getattr(aten, op[:-1]), function._overloadname)
        except AttributeError as error:
            raise NotReplayable(f"{op} works in place only") from error

    def _split(self, steps: list[Step]) -> tuple[list[Step], list[Step]]:
        """Steps that are needed, those of parameters alone apart. The same positions for every version."""
        if not self._needed:
            wanted, needed = {self._output}, []
            for step in reversed(steps):
                needed.append(not wanted.isdisjoint(step.outputs))
                if needed[-1]:
                    wanted |= step.reads
            self._needed = needed[::-1]
            moving = {self._input}
            for step in steps:
                moves = step.grows or not moving.isdisjoint(step.reads)
                self._fixed_steps.append(not moves)
                if moves:
                    moving.update(ref for ref in step.outputs if ref)
        kept = [
            (step, fixed)
            for step, needed, fixed in zip(steps, self._needed, self._fixed_steps, strict=True)
            if needed
        ]
        return [step for step, fixed in kept if fixed], [step for step, fixed in kept if not fixed]

    def _depends_on_images(self, args: Sequence[_Given]) -> set[Ref]:
        dynamic = {self._input}
        for call, (function, given) in zip(self._calls, args, strict=True):
            step = Step(function, tuple(given.values()), (), call.outputs)
            if step.grows or not dynamic.isdisjoint(step.reads):
                dynamic.update(ref for ref in call.outputs if ref)
        return dynamic

    def _foldable(self) -> dict[int, int]:
        """Number of a convolution -> number of the BatchNorm that is all that reads it."""
        found = {}
        for number, call in enumerate(self._calls):
            if call.op not in _NORMS or call.args.get("training"):
                continue
            conv = self._maker.get(call.args["input"])
            if conv is None or self._readers[call.args["input"]] != 1 or call.args["input"] == self._output:
                continue
            before = self._calls[conv]
            fixed = self._dynamic.isdisjoint(
                [ref for ref in (*call.inputs, before.args.get("weight")) if ref != call.args["input"]]
            )
            if before.op == "convolution" and not before.args["transposed"] and fixed:
                found[conv] = number
        return found

    def _with_norm(self, number: int, conv: dict[str, Any], norm: dict[str, Any]) -> list[Step]:
        weight, bias = self._made[number]
        scale = (norm["weight"], norm["running_var"], norm.get("eps", norm.get("epsilon")))
        outputs = (self._calls[self._norm_of[number]].outputs[0],)
        by_place, _ = placed(aten.convolution.default, {**conv, "weight": weight, "bias": bias})
        shift = (conv["bias"], norm["bias"], norm["running_mean"])
        return [
            Step(folded_weight, (conv["weight"], *scale), (), (weight,)),
            Step(folded_bias, (*shift, *scale), (), (bias,)),
            Step(aten.convolution.default, by_place, (), outputs),
        ]

    def _linear_weight(self, number: int) -> Ref | None:
        """The weight (out, in) if a call multiplies rows of images by it transposed."""
        call = self._calls[number]
        if call.op not in ("addmm", "mm") or call.args.get("alpha", 1) != 1 or call.args.get("beta", 1) != 1:
            return None
        maker = self._maker.get(call.args["mat2"])
        if maker is None or self._calls[maker].op != "t":
            return None
        weight, x = self._calls[maker].args["self"], call.args.get("mat1", call.args["self"])
        bias_fits = call.op == "mm" or len(self._shapes[call.args["self"].index]) == 1
        return weight if bias_fits and weight not in self._dynamic and x in self._dynamic else None

    def _takes_channels_last(self) -> bool:
        """Whether images have two sides, something convolves them, and nothing reads memory as it lies."""
        convolved = any(
            call.op == "convolution" and call.args["input"] in self._dynamic for call in self._calls
        )
        raw = any(call.op in ("as_strided", "view_as_real", "view_as_complex") for call in self._calls)
        return len(self._shapes[self._input.index]) == 4 and convolved and not raw

    def _plain_tensors(self) -> set[Ref]:
        """Results that share memory with no other tensor."""
        viewed: set[Ref] = set()
        made: set[Ref] = set()
        for call in self._calls:
            schema = getattr(call.function, "_schema", None)
            views = schema is None or any(returned.alias_info for returned in schema.returns)
            changes = call.op.endswith("_") and not call.op.endswith("__")  # rewritten to make a new tensor
            if views and not changes:
                viewed.update(call.inputs)
            else:
                made.update(ref for ref in call.outputs if ref)
        return {ref for ref in made - viewed if ref in self._dynamic and ref != self._output}


def folded_weight(weight: Tensor, scale: Tensor | None, variance: Tensor, eps: float) -> Tensor:
    """Weight (out, in, ...) of a convolution that does the BatchNorm after it, too, in the norm's figures.

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """
    factor = _factor(scale, variance, eps).view(-1, *[1] * (weight.ndim - 1))
    folded = (weight.double() * factor).to(weight.dtype)
    return folded.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else folded


def folded_bias(
    bias: Tensor | None,
    shift: Tensor | None,
    mean: Tensor,
    scale: Tensor | None,
    variance: Tensor,
    eps: float,
) -> Tensor:
    """Bias (out,) that belongs to `folded_weight`."""
    own = -mean.double() if bias is None else bias.double() - mean.double()
    moved = own * _factor(scale, variance, eps)
    return (moved if shift is None else moved + shift.double()).to(mean.dtype)


def _factor(scale: Tensor | None, variance: Tensor, eps: float) -> Tensor:
    factor = (variance.double() + eps).rsqrt()
    return factor if scale is None else factor * scale.double()


def _overwriting(
    steps: Sequence[Step], plain: set[Ref], shapes: Sequence[tuple[int, ...]], dtypes: Sequence[torch.dtype]
) -> dict[int, InPlace]:
    """Number of a step -> how it may write over an operand that it is the last to read."""
    last = {ref: number for number, step in enumerate(steps) for ref in step.reads}
    found: dict[int, InPlace] = {}
    for number, step in enumerate(steps):
        op = getattr(step.function, "_opname", "")
        out = step.outputs[0]
        if op not in _OVERWRITING or out is None:
            continue
        for place, ref in enumerate(step.values[:2]):
            alike = (
                isinstance(ref, Ref)
                and ref in plain
                and last[ref] == number
                and shapes[ref.index] == shapes[out.index]
                and dtypes[ref.index] == dtypes[out.index]
                and list(step.values).count(ref) == 1
            )
            if alike and (place == 0 or op in ("add", "mul")):
                cheap = _in_place(step, op, place)
                if cheap is not None:
                    found[number] = cheap
                    break
    return found


def _in_place(step: Step, op: str, place: int) -> InPlace | None:
    """The step as an operation on its operand number `place`."""
    cut = len(step.values) - len(step.names)
    by_place, named = step.values[:cut], dict(zip(step.names, step.values[cut:], strict=True))
    if op in ("add", "mul"):
        if named.get("alpha", 1) != 1:
            return None
        by_place = (by_place[place], by_place[1 - place])
    packet = getattr(aten, op + "_", None)
    function = getattr(packet, getattr(step.function, "_overloadname", ""), None)
    if function is None:
        return None
    return InPlace(partial(function, **named) if named else function, by_place, by_place[0])
