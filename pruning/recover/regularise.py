"""Penalties that drive weights towards zero while a network trains, so that pruning them costs less."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod, sqrt
from typing import TypeVar

import torch
from torch import Tensor, nn

from pruning.groups import Group, Structure
from pruning.layers import WEIGHTED
from pruning.registry import Registry

T = TypeVar("T")


@dataclass(frozen=True)
class PenaltyView:
    """What a penalty is shown. Make a new one when the network gets smaller or other entries are to go.

    Args:
        module: the network in training.
        structure: its coupled channels.
        going: parameter name -> bool of its shape, True = is to go by the recipe (unlike masks, where True
            stays); names of buffers are passed over; may be empty.
        strength: the factor of the penalty in the loss.
        progress: how far the penalty's part of the run has come, in 0..1.
        known: what was looked up once; later steps of the same run share it.
    """

    module: nn.Module
    structure: Structure
    going: Mapping[str, Tensor]
    strength: float
    progress: float = 0.0
    known: dict[str, object] = field(default_factory=dict, repr=False)

    def at(self, progress: float) -> PenaltyView:
        """The same at a later step."""
        return replace(self, progress=progress)

    def once(self, name: str, find: Callable[[], T]) -> T:
        """What `find` gives, found at the first step only."""
        if name not in self.known:
            self.known[name] = find()
        return self.known[name]  # type: ignore[return-value]  # one name, one type


@dataclass(frozen=True)
class Regulariser:
    """One way to penalise.

    Args:
        name: the key in `REGULARISERS`.
        label: its name on a screen.
        description: what it drives to zero, and when that is a good idea; shown on the screen.
        source: paper and arXiv number.
        penalty: of the network as it is; a scalar >= 0 that gradients flow through.
        strength: a usual factor, to begin with.
        needs_going: whether it acts on what is to go by the recipe, and on nothing else.
    """

    name: str
    label: str
    description: str
    source: str
    penalty: Callable[[PenaltyView], Tensor]
    strength: float
    needs_going: bool = False


REGULARISERS: Registry[Regulariser] = Registry("regulariser")


def _register(regulariser: Regulariser) -> None:
    REGULARISERS.add(regulariser.name, regulariser)


def l1_penalty(view: PenaltyView) -> Tensor:
    """Strength times the sum of absolute weights of convolutions and linear layers, each shared one once.

    Raises:
        ValueError: if there is no such layer.
    """
    weights = view.once("weights", lambda: _weights(view.module))
    if not weights:
        raise ValueError("The network has no convolution and no linear layer; choose no L1 penalty.")
    return view.strength * _total([weight.abs().sum() for weight in weights])


def group_lasso(view: PenaltyView) -> Tensor:
    """Strength times the sum over units of sqrt(n) times the L2 norm of the n weights that produce the unit.

    Raises:
        ValueError: if no channels of the network can be removed.
    Source: Wen et al. 2016, arXiv:1608.03665; sqrt(n): Yuan and Lin 2006, J. R. Stat. Soc. B 68(1).
    """
    groups = view.once("units", lambda: _units(view.module, view.structure))
    if not groups:
        raise ValueError("The network has no channels that could be removed; choose another penalty.")
    rows: dict[tuple[int, int], Tensor] = {}  # a fused weight makes the units of several groups
    parts = []
    for group in groups:
        norms = []
        for weight, dim, index in group.producers:
            key = (id(weight), dim)
            if key not in rows:
                # vector_norm and not a root of squares: its gradient at zero is zero, where pruned rows are.
                rows[key] = torch.linalg.vector_norm(weight.movedim(dim, 0).flatten(1), dim=1)
            norms.append(rows[key][index])
        parts.append(group.factor * torch.linalg.vector_norm(torch.cat(norms, 1), dim=1).sum())
    return view.strength * _total(parts)


def scale_penalty(view: PenaltyView) -> Tensor:
    """Strength times the sum of absolute scales of all BatchNorms.

    Raises:
        ValueError: if there is no BatchNorm with scales.
    Source: Liu et al. 2017, arXiv:1708.06519.
    """
    scales = view.once("scales", lambda: _scales(view.module))
    if not scales:
        raise ValueError(
            "The network has no BatchNorm whose scales could be penalised; choose another penalty."
        )
    return view.strength * _total([scale.abs().sum() for scale in scales])


def growing_penalty(view: PenaltyView) -> Tensor:
    """Half the strength times the progress times the sum of squares of what is to go; 0 if nothing is.

    The gradient of a weight is then strength times progress times the weight, as that of weight decay.

    Source: Wang et al. 2021, arXiv:2012.09243, where the factor grows by equal steps up to 1.
    """
    going = view.once("going", lambda: _going(view.module, view.going))
    if not going:
        return torch.zeros((), device=next((p.device for p in view.module.parameters()), None))
    squares = [(parameter * goes).square().sum() for parameter, goes in going]
    return 0.5 * view.strength * view.progress * _total(squares)


def _total(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).sum()


def _weights(module: nn.Module) -> list[Tensor]:
    weights = [part.weight for part in module.modules() if isinstance(part, WEIGHTED)]
    return list({id(weight): weight for weight in weights}.values())


def _scales(module: nn.Module) -> list[Tensor]:
    norms = (part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm))
    return [norm.weight for norm in norms if norm.affine]


@dataclass(frozen=True)
class _Units:
    """Weights that produce the units of a group: (weight, dimension, (size, m) rows of each unit)."""

    producers: list[tuple[Tensor, int, Tensor]]
    factor: float


def _units(module: nn.Module, structure: Structure) -> list[_Units]:
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return [found for group in structure.groups if (found := _of_group(group, parameters)) is not None]


def _of_group(group: Group, parameters: Mapping[str, Tensor]) -> _Units | None:
    members = [
        m for m in group.members if m.role == "producer" and not m.divides and m.parameter in parameters
    ]
    members = [m for m in members if parameters[m.parameter].dim() > 1] or members  # biases are left out
    if not members:
        return None
    producers, size = [], 0
    for member in members:
        weight = parameters[member.parameter]
        producers.append((weight, member.dim, member.index.to(weight.device)))
        size += member.index.shape[1] * prod(n for d, n in enumerate(weight.shape) if d != member.dim)
    return _Units(producers, sqrt(size))


def _going(module: nn.Module, going: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each parameter of which something goes, and 1.0 where it does."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    found: list[tuple[Tensor, Tensor]] = []
    for name, goes in going.items():
        if name in parameters and bool(goes.any()):
            parameter = parameters[name]
            found.append((parameter, goes.to(parameter.device, parameter.dtype)))
    return found


_register(
    Regulariser(
        name="l1",
        label="L1 on weights",
        description=(
            "The sum of absolute weights of all convolutions and linear layers. It pulls every weight with "
            "the same force, so that many become small and few stay large. For masks of single weights."
        ),
        source="Tibshirani 1996, J. R. Stat. Soc. B 58(1); for pruning: Han et al. 2015, arXiv:1506.02626",
        penalty=l1_penalty,
        strength=1e-5,
    )
)

_register(
    Regulariser(
        name="group-lasso",
        label="Group lasso on channels",
        description=(
            "The norm of all weights that make a channel, over all layers of its group, times the root of "
            "their number. It drives whole channels to zero together, not single weights. For channels."
        ),
        source="Wen et al. 2016, arXiv:1608.03665",
        penalty=group_lasso,
        strength=1e-4,
    )
)

_register(
    Regulariser(
        name="bn-l1",
        label="L1 on BatchNorm scales (slimming)",
        description=(
            "The sum of absolute scales of all BatchNorms: a channel whose scale reaches zero is switched "
            "off. Made for the criterion BatchNorm scale. Needs BatchNorm."
        ),
        source="Liu et al. 2017, arXiv:1708.06519",
        penalty=scale_penalty,
        strength=1e-4,
    )
)

_register(
    Regulariser(
        name="growing",
        label="Growing regularisation",
        description=(
            "Squares of exactly what the recipe will remove, with a factor that grows from 0 to the "
            "strength: what stays takes over little by little, and the pruning itself changes little."
        ),
        source="Wang et al. 2021, arXiv:2012.09243",
        penalty=growing_penalty,
        strength=1.0,
        needs_going=True,
    )
)
