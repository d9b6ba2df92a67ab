"""What the dense network teaches the pruned one: its softened outputs, and features on the way to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import TracebackType
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.evaluate import evaluating
from pruning.layers import first_tensor, private_copy
from pruning.recover.settings import Teach


class Regressor(nn.Module):
    """Brings features of the pruned network to the dense one's width: a 1x1 convolution, or a linear layer.

    Args:
        inputs, outputs: widths.
        dim: the dimension that they are along.
    """

    def __init__(self, inputs: int, outputs: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.movedim(self.dim, -1)).movedim(-1, self.dim)


class Teacher:
    """Losses of a network in training that learns from the dense one as well as from labels.

    A context manager: inside, hooks on the network in training keep its features; they come off at its end.
    The dense network runs on a private copy, in eval mode, without gradients, on the very images that the
    other one was given. Where features have other widths, a regressor is trained along; the result has none.
    Copies of the network in training that are made inside carry the hooks along: make the result's outside.

    Args:
        dense: the teacher; never changed, but its weights are not copied either: train another network.
        student: the network in training, of the same module names; widths may differ, modules may be missing.
        settings: weight, temperature, hints and layers.
        example_inputs: positional arguments of both networks' forward.
    Raises:
        ValueError: if a layer is named that the dense network does not have, or no layer is left whose
            features could be matched.
    Source: Hinton et al. 2015, arXiv:1503.02531; features: Romero et al. 2015, arXiv:1412.6550; after channel
        pruning: Hu et al. 2018, arXiv:1805.11394.
    """

    def __init__(
        self, dense: nn.Module, student: nn.Module, settings: Teach, example_inputs: Sequence[Any]
    ) -> None:
        self.settings = settings
        self.student = student
        self.dense = private_copy(dense, requires_grad=False)
        self.layers: tuple[str, ...] = ()
        self.regressors = nn.ModuleList()
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._taught: dict[str, Tensor] = {}
        self._learnt: dict[str, Tensor] = {}
        if settings.hints:
            pairs = _pairs(self.dense, student, settings.layers, tuple(example_inputs))
            self.layers = tuple(pairs)
            self.regressors = _regressors(pairs.values())

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those of the regressors: for the optimizer, and no part of the result."""
        return self.regressors.parameters()

    def __enter__(self) -> Self:
        try:
            for network, features in ((self.dense, self._taught), (self.student, self._learnt)):
                for name in self.layers:
                    self._handles.append(_keep(network.get_submodule(name), name, features))
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._taught.clear()
        self._learnt.clear()

    def loss(self, x: Tensor, student_logits: Tensor, y: Tensor, labels_loss: Tensor) -> dict[str, Tensor]:
        """The parts of the loss of one step; their sum is the loss.

        Args:
            x: (b, ...) images as the network in training was given them, just before.
            student_logits: (b, classes) its outputs.
            y: (b,) classes; nothing of ours depends on them.
            labels_loss: of these logits, in nats.
        Returns:
            "labels"; "distillation" unless its weight is 0: the Kullback-Leibler divergence of softened
            outputs times the squared temperature, so that gradients do not depend on it; "hints" unless
            their factor is 0: the mean over layers of the squared distance of features, as a share of the
            dense network's mean square, so that no layer counts more for its scale.
        """
        weight, temperature = self.settings.weight, self.settings.temperature
        parts = {"labels": (1 - weight) * labels_loss}
        if not weight and not self.layers:
            return parts
        with torch.no_grad():
            logits = first_tensor(self.dense(x))
        assert logits is not None
        if weight:
            distance = F.kl_div(
                F.log_softmax(student_logits.float() / temperature, 1),
                F.log_softmax(logits.float() / temperature, 1),
                reduction="batchmean",
                log_target=True,
            )
            parts["distillation"] = weight * temperature**2 * distance
        if self.layers:
            parts["hints"] = self.settings.hints * self._features()
        return parts

    def _features(self) -> Tensor:
        distances = []
        for name, regressor in zip(self.layers, self.regressors, strict=True):
            taught, learnt = self._taught[name].float(), regressor(self._learnt.pop(name)).float()
            scale = taught.square().mean().clamp_min(torch.finfo(taught.dtype).tiny)
            distances.append((learnt - taught).square().mean() / scale)
        self._taught.clear()
        return torch.stack(distances).mean()


def _keep(module: nn.Module, name: str, features: dict[str, Tensor]) -> torch.utils.hooks.RemovableHandle:
    """Keep a module's output at its last call; features are in the order in which those ended."""

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if (tensor := first_tensor(output)) is not None:
            features.pop(name, None)
            features[name] = tensor

    return module.register_forward_hook(after)


@dataclass(frozen=True)
class _Pair:
    """Shapes of what one module gives in the dense network and in the one in training, for the example."""

    dense: tuple[int, ...]
    student: tuple[int, ...]
    device: torch.device

    @property
    def differing(self) -> list[int]:
        return [d for d, (a, b) in enumerate(zip(self.dense, self.student, strict=True)) if a != b]

    @property
    def fits(self) -> bool:
        """Whether a regressor can bring one to the other: they differ in the width at most."""
        if len(self.dense) != len(self.student):
            return False
        return not self.differing or self.differing in ([1], [len(self.dense) - 1])

    @property
    def resolution(self) -> tuple[int, ...]:
        """Height and width of images; the number of tokens; () of plain features."""
        if len(self.dense) > 3:
            return self.dense[2:]
        return self.dense[1:-1]


def _pairs(
    dense: nn.Module, student: nn.Module, named: tuple[str, ...], example: tuple[Any, ...]
) -> dict[str, _Pair]:
    """Layer -> shapes of its features in both networks, for the layers that are matched."""
    modules = dict(dense.named_modules())
    if unknown := [name for name in named if name not in modules]:
        raise ValueError(
            f"The dense network has no layer {unknown[0]!r} whose features could be taught; "
            "leave it out, or leave all out to have layers chosen."
        )
    taught, learnt = _outputs(dense, example), _outputs(student, example)
    both = {
        name: _Pair(tuple(taught[name].shape), tuple(learnt[name].shape), learnt[name].device)
        for name in taught
        if name in learnt
    }
    common = {name: pair for name, pair in both.items() if pair.fits}
    found = {name: common[name] for name in named if name in common} if named else _one_each(common)
    if not found:
        raise ValueError(
            "No layer is left whose features could be taught, because none of them is in both networks; "
            "set hints to 0 or name other layers."
        )
    return found


def _one_each(common: Mapping[str, _Pair]) -> dict[str, _Pair]:
    """The last layer of each resolution; only those of several pixels or tokens, where there are any."""
    several = {name: pair for name, pair in common.items() if prod(pair.resolution) > 1}
    last = {pair.resolution: name for name, pair in (several or common).items()}
    return {name: common[name] for name in last.values()}


def _outputs(network: nn.Module, example: tuple[Any, ...]) -> dict[str, Tensor]:
    """Module -> what it gave, in the order in which they ended, but for what is the network's output."""
    outputs: dict[str, Tensor] = {}
    handles = [_keep(part, name, outputs) for name, part in network.named_modules() if name]
    try:
        with evaluating(network), torch.no_grad():
            result = first_tensor(network(*example))
    finally:
        for handle in handles:
            handle.remove()
    return {name: output for name, output in outputs.items() if output is not result and output.dim() > 1}


def _regressors(pairs: Iterable[_Pair]) -> nn.ModuleList:
    """One for each pair, with the same numbers every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.ModuleList(_regressor(pair) for pair in pairs)


def _regressor(pair: _Pair) -> nn.Module:
    if not pair.differing:
        return nn.Identity()
    dim = pair.differing[0]
    return Regressor(pair.student[dim], pair.dense[dim], dim).to(pair.device)
