"""Drop blocks: a small module in the place of each hands its input on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from torch import nn

from pruning.blocks.types import Block, Handing
from pruning.groups import Structure
from pruning.layers import duplicate, inside


class Skip(nn.Module):
    """Stands where a block was dropped: hands its input on in the form in which the block answered.

    It has no parameters. Plain attributes of the block (numbers, texts), and those of its parts, are kept,
    because the network around it may read them ("layer.attention_type", "layer.self_attn.batch_first").

    Args:
        handing: how it answers.
        block: whose place it takes.
    """

    def __init__(self, handing: Handing, block: nn.Module) -> None:
        super().__init__()
        self.handing = handing
        for name, value in _plain(block).items():
            if name not in dir(self):
                setattr(self, name, value)
        self.training = block.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The first tensor among the arguments, and whatever else the block answered with."""
        return self.handing.answer(args, kwargs)


def drop_blocks(module: nn.Module, blocks: Iterable[Block]) -> nn.Module:
    """A copy without these blocks.

    Args:
        module: the network that the blocks were found in, of any width; never changed.
        blocks: what to drop.
    Raises:
        ValueError: if the network has no module of that name.
    """
    smaller = duplicate(module)
    put_skips(smaller, blocks)
    return smaller


def put_skips(module: nn.Module, blocks: Iterable[Block]) -> None:
    """Put a `Skip` in the place of each block, in place; one that stands there already is put anew.

    Raises:
        ValueError: if the network has no module of that name.
    """
    skips = {}
    for block in blocks:
        try:
            held = module.get_submodule(block.id)
        except AttributeError:
            raise ValueError(f"The network has no module {block.id!r} that could be dropped.") from None
        skips[held] = Skip(block.handing, held)
    replace_modules(module, skips)


def replace_modules(module: nn.Module, others: Mapping[nn.Module, nn.Module]) -> None:
    """Put other modules in the places of some that the network holds, under each of their names, in place."""
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if child is not None and child in others:
                parent._modules[name] = others[child]


def without_blocks(structure: Structure, blocks: Sequence[Block]) -> Structure:
    """The structure of the network without these blocks; groups wholly inside them are gone.

    Channels that were coupled through a dropped block stay coupled, so that keys keep their meaning.

    Args:
        structure: of the whole network.
        blocks: those dropped, in the order of the forward pass.
    """
    if not blocks:
        return structure
    ids = [block.id for block in blocks]
    groups = []
    for group in structure.groups:
        members = tuple(member for member in group.members if not inside(member.parameter, ids))
        if members:
            groups.append(replace(group, members=members))
    averages = [
        replace(average, call=_renumbered(average.call, blocks))
        for average in structure.averages
        if not any(block.calls[0] <= average.call < block.calls[1] for block in blocks)
    ]
    return replace(
        structure,
        groups=tuple(groups),
        fixed=tuple(fixed for fixed in structure.fixed if not inside(fixed.parameter, ids)),
        shapes={name: shape for name, shape in structure.shapes.items() if not inside(name, ids)},
        work=tuple(work for work in structure.work if not inside(work.module, ids)),
        sizes=tuple(size for size in structure.sizes if not inside(size.module, ids)),
        averages=tuple(averages),
    )


def _renumbered(call: int, blocks: Sequence[Block]) -> int:
    """The number of a call once these blocks make none, but for the copy that some stand-ins make."""
    before = [block for block in blocks if block.calls[1] <= call]
    return call - sum(block.calls[1] - block.calls[0] - block.handing.copies for block in before)


def _plain(module: nn.Module) -> dict[str, Any]:
    """Public attributes that are numbers, texts or nothing; of parts too, as namespaces."""
    found: dict[str, Any] = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, (bool, int, float, str, type(None)))
    }
    for name, child in module.named_children():
        found.setdefault(name, SimpleNamespace(**_plain(child)))
    return found
