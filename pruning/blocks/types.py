"""What is known about a network's droppable blocks: plain records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_leaves, tree_unflatten

from pruning.layers import inside

BlockKind = Literal["residual block", "transformer layer", "layer"]


@dataclass(frozen=True)
class Handing:
    """How the stand-in of a dropped block answers: each part of the result is an argument or a constant.

    Args:
        form: how the block's result is made of its parts: a tensor, a tuple, a dict.
        sources: for each part the place of the argument handed on, counting all arguments and then all
            keyword arguments, tuples and dicts taken apart; None where `values` holds a constant.
        values: for each part the constant, None where an argument is handed on.
        main: which part is the hidden state.
        copies: whether the hidden state is copied, because something later in the network works in place.
    """

    form: TreeSpec
    sources: tuple[int | None, ...]
    values: tuple[Any, ...]
    main: int = 0
    copies: bool = False

    @property
    def source(self) -> int:
        """The place of the hidden state among the arguments."""
        place = self.sources[self.main]
        assert place is not None  # the hidden state is never a constant
        return place

    def __deepcopy__(self, _: object) -> Handing:
        return self  # nothing in it changes, and copying PyTorch's form of a single tensor warns

    def answer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result that takes the place of the block's."""
        given = tree_leaves((args, kwargs))
        pairs = zip(self.sources, self.values, strict=True)
        parts = [value if at is None else given[at] for at, value in pairs]
        if self.copies and isinstance(parts[self.main], Tensor):
            parts[self.main] = parts[self.main].clone()
        return tree_unflatten(parts, self.form)


@dataclass(frozen=True)
class Block:
    """A part of a network that can be dropped: its input then goes on in the place of its output.

    Args:
        id: module path.
        kind: "transformer layer" if it holds attention, else "residual block" if it holds convolutions.
        parameters: trainable values that go with it.
        macs: multiply-accumulates that go with it, for one sample.
        why: one sentence, for a reader who knows PyTorch, on why it can be dropped.
        order: its place among the blocks, in the order of the forward pass.
        features: the dimension of its input along which one position's values lie: 1 for images (b, C, H, W),
            -1 for tokens (b, n, d).
        handing: how its stand-in answers.
        calls: of the recorded forward pass it makes those from the first number to before the second, as
            `groups.Structure` numbers them.
    """

    id: str
    kind: BlockKind
    parameters: int
    macs: int
    why: str
    order: int
    features: int
    handing: Handing
    calls: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class FixedBlock:
    """A part of a network that cannot be dropped, and the reason as a clause."""

    id: str
    reason: str


@dataclass(frozen=True)
class BlockStructure:
    """All blocks of a network, and what cannot be dropped.

    Args:
        blocks: in the order of the forward pass; none lies inside another.
        fixed: the outermost parts beside them that have parts of their own.
    """

    blocks: tuple[Block, ...]
    fixed: tuple[FixedBlock, ...] = ()

    @cached_property
    def by_id(self) -> dict[str, Block]:
        """Block id -> block."""
        return {block.id: block for block in self.blocks}

    def block(self, name: str) -> Block:
        """The block of that id.

        Raises:
            ValueError: if there is none; the sentence says why, or lists the ids.
        """
        if name in self.by_id:
            return self.by_id[name]
        held = next((each for each in self.fixed if each.id == name), None)
        if held is not None:
            raise ValueError(f"{name!r} cannot be dropped, because {held.reason}.")
        outer = next((each.id for each in self.blocks if inside(name, [each.id])), None)
        if outer is not None:
            raise ValueError(f"{name[:80]!r} is a part of the block {outer!r}; use that id as the key.")
        ids = [block.id for block in self.blocks]
        more = f" and {len(ids) - 12} more" if len(ids) > 12 else ""
        listing = ", ".join(ids[:12]) + more if ids else "none"
        raise ValueError(f"There is no block {name[:80]!r} in this network; its blocks are {listing}.")
