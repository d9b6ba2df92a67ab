"""Find the blocks of a network that can be dropped, and say of the other parts why they cannot."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from pruning.blocks.path import Flow, has_attention
from pruning.blocks.skip import put_skips
from pruning.blocks.types import Block, BlockKind, BlockStructure, FixedBlock, Handing
from pruning.cost import CostModel, LayerCost
from pruning.groups import Structure
from pruning.groups.record import UNCOUNTED, Call, Ref, Visit, record
from pruning.layers import inside, private_copy, qualified

_CONSTANTS = (type(None), bool, int, float, str)


def find_blocks(
    module: nn.Module, example_inputs: Sequence[Any], structure: Structure | None = None
) -> BlockStructure:
    """Find the parts of a network that can be dropped, an identity in the place of each.

    A part is a block if the forward pass calls it once, it has parameters of its own, its first tensor
    argument and first tensor result have the same shape and type, and its result is that argument plus
    something, up to norms and activations after the addition: a residual block, a transformer layer. That is
    read off a recording of the forward pass. At last the network is run without them.

    Of blocks within blocks the outermost is listed, but nothing that is only a chain of them: no stage of a
    ResNet, no whole encoder. A block's second branch of layers is no block by itself.

    Args:
        module: any module; it is copied, never touched.
        example_inputs: positional arguments of its forward, a batch of any size.
        structure: of this network, if already found; for the MACs.
    Raises:
        ValueError: if it does not run on these inputs, or returns something other than tensors.
    Source: dropping residual blocks: Veit et al. 2016, arXiv:1605.06431; transformer layers: Men et al. 2024
        (ShortGPT), arXiv:2403.03853.
    """
    inputs = tuple(example_inputs)
    flow = Flow(record(module, inputs))
    parts = _Parts(module, flow)
    rows = CostModel(module, inputs, structure).layer_table()
    blocks = [_block(module, parts.candidates[name], rows) for name in parts.choose()]
    failing = _failing(module, inputs, blocks)
    for name, cause in failing.items():
        parts.reasons[name] = f"without it the network does not run: {cause}"
    left = [block for block in blocks if block.id not in failing]
    numbered = tuple(replace(block, order=order) for order, block in enumerate(left))
    return BlockStructure(numbered, tuple(_fixed(module, parts, [b.id for b in numbered])))


@dataclass(frozen=True)
class _Candidate:
    """A module that could be dropped."""

    name: str
    additions: list[Call]
    handing: Handing
    calls: list[Call]
    numbers: tuple[int, int]
    shape: tuple[int, ...]


class _Parts:
    """Every module of a network: whether it could be dropped, else the reason as a clause."""

    def __init__(self, module: nn.Module, flow: Flow) -> None:
        self.modules = dict(module.named_modules())
        self.flow, self.recording = flow, flow.recording
        counted = (call.op != UNCOUNTED for call in self.recording.calls)
        self._counted = list(accumulate(counted, initial=0))  # numbers of calls as a structure has them
        self.visits: dict[str, list[Visit]] = defaultdict(list)
        order = sorted(self.recording.visits, key=lambda v: (v.start, -v.end, v.module.count(".")))
        for visit in order:  # outer ones first
            self.visits[visit.module].append(visit)
        self._names: dict[int, set[str]] = defaultdict(set)
        for tensors in (module.named_parameters, module.named_buffers):
            for name, tensor in tensors(remove_duplicate=False):
                self._names[id(tensor)].add(name)
        self.candidates: dict[str, _Candidate] = {}
        self._chains: dict[str, bool] = {}
        self.reasons: dict[str, str] = {}
        for name in self.visits:
            if name and next(self.modules[name].parameters(), None) is not None:
                try:
                    self.candidates[name] = self._candidate(name)
                except _No as no:
                    self.reasons[name] = str(no)

    def choose(self) -> list[str]:
        """The outermost candidates that are more than a chain of others."""
        chosen: list[str] = []
        for name in self.candidates:
            if not inside(name, chosen) and not self._is_chain(name):
                chosen.append(name)
        return chosen

    def _is_chain(self, name: str) -> bool:
        if name not in self._chains:
            self._chains[name] = self._only_strings(name)
        return self._chains[name]

    def _only_strings(self, name: str) -> bool:
        """Whether all that a candidate adds, candidates inside it add, and these are alike or only one."""
        within = [other for other in self.candidates if other != name and inside(other, [name])]
        if any(not inside(call.scope, within) for call in self.candidates[name].additions):
            return False
        parts = [other for other in within if not self._is_chain(other)]
        outermost = [part for part in parts if not inside(part, [p for p in parts if p != part])]
        kinds = Counter(type(self.modules[part]) for part in outermost)
        return len(outermost) < 2 or max(kinds.values()) > 1

    def _candidate(self, name: str) -> _Candidate:
        visits = self.visits[name]
        if len(visits) > 1:
            raise _No(f"it is called {len(visits)} times in one forward pass")
        visit = visits[0]
        given = next((n for n, leaf in enumerate(visit.given) if isinstance(leaf, Ref)), None)
        main = next((n for n, leaf in enumerate(visit.returned) if isinstance(leaf, Ref)), None)
        if given is None or main is None:
            raise _No("it does not take a tensor and return one")
        before, after = visit.given[given], visit.returned[main]
        one, other = self.recording.tensors[before.index], self.recording.tensors[after.index]
        if one.shape != other.shape:
            raise _No(f"its input has shape {_words(one.shape)} and its output {_words(other.shape)}")
        if one.dtype != other.dtype:
            raise _No("its output is of another type than its input")
        additions = self.flow.additions(visit, before, after)
        if not additions:
            raise _No("its output is not its input plus something, so nothing that fits would be left")
        if shared := self._shared(name):
            raise _No(f"`{shared}` is also used outside it")
        handing = self._handing(visit, given, main)
        calls = self.recording.calls[visit.start : visit.end]
        numbers = self._counted[visit.start], self._counted[visit.end]
        return _Candidate(name, additions, handing, calls, numbers, one.shape)

    def _shared(self, name: str) -> str:
        """A parameter or buffer of a module that another one holds too, "" if there is none."""
        part = self.modules[name]
        own = [*part.named_parameters(prefix=name), *part.named_buffers(prefix=name)]
        for full, tensor in own:
            if any(not inside(other, [name]) for other in self._names[id(tensor)]):
                return full
        return ""

    def _handing(self, visit: Visit, given: int, main: int) -> Handing:
        """How a stand-in could answer."""
        sources: list[int | None] = []
        values: list[Any] = []
        for n, leaf in enumerate(visit.returned):
            place = given if n == main else _place(visit.given, leaf)
            if place is None and isinstance(leaf, Ref) and self._needed(leaf, visit.end):
                raise _No("it also returns a tensor that is needed later")
            if place is None and not isinstance(leaf, (Ref, *_CONSTANTS)):
                raise _No(f"it also returns a {type(leaf).__name__}")
            sources.append(place)
            values.append(None if place is not None or isinstance(leaf, Ref) else leaf)
        copies = any(call.op.endswith("_") for call in self.recording.calls[visit.end :])
        return Handing(visit.form, tuple(sources), tuple(values), main, copies)

    def _needed(self, ref: Ref, end: int) -> bool:
        """Whether a tensor is used after a call, or is an output of the network."""
        later = self.recording.calls[end:]
        return ref in self.recording.outputs or any(ref in call.inputs for call in later)


class _No(Exception):
    """Why a module cannot be dropped, as a clause."""


def _place(given: Sequence[Any], leaf: Any) -> int | None:
    """Where among the arguments a part of the result stands, if it was only handed on."""
    if isinstance(leaf, _CONSTANTS):
        return None
    alike = [each is leaf or (isinstance(leaf, Ref) and each == leaf) for each in given]
    return alike.index(True) if any(alike) else None


def _block(module: nn.Module, found: _Candidate, rows: Sequence[LayerCost]) -> Block:
    own = [row for row in rows if inside(row.name, [found.name])]
    kind, features = _kind(found)
    makers = {"residual block": "its convolutions", "transformer layer": "its attention and perceptron"}
    adds = f"{makers.get(kind, 'its layers')} compute"
    return Block(
        id=found.name,
        kind=kind,
        parameters=sum(parameter.numel() for parameter in module.get_submodule(found.name).parameters()),
        macs=sum(row.macs for row in own),
        why=(
            f"`{found.name}` only adds what {adds} to its own input, so without it the next layer still gets "
            f"that input, in the shape {_words(found.shape)} that it expects."
        ),
        order=0,
        features=features,
        handing=found.handing,
        calls=found.numbers,
    )


def _kind(found: _Candidate) -> tuple[BlockKind, int]:
    """What a block is, and the dimension of its features."""
    attention = has_attention(found.calls)
    convolution = any("convolution" in call.op for call in found.calls)
    images = convolution and (len(found.shape) > 3 or not attention)
    kind: BlockKind = "transformer layer" if attention else "residual block" if convolution else "layer"
    return kind, 1 if images and len(found.shape) > 2 else -1


@torch.no_grad()
def _failing(module: nn.Module, inputs: tuple[Any, ...], blocks: Sequence[Block]) -> dict[str, str]:
    """The blocks without which the network does not run, each with the first line of what it says."""

    def trouble(dropped: Sequence[Block]) -> str:
        probe = private_copy(module)  # shares its memory
        put_skips(probe, dropped)
        try:
            probe(*inputs)
        except Exception as error:
            return (str(error).strip() or type(error).__name__).splitlines()[0]
        return ""

    if not trouble(blocks):
        return {}
    return {block.id: cause for block in blocks if (cause := trouble([block]))}


def _fixed(module: nn.Module, parts: _Parts, blocks: Sequence[str]) -> Iterator[FixedBlock]:
    """The outermost modules with parts that are no block, hold none and lie in none."""

    def look(name: str, held: nn.Module) -> Iterator[FixedBlock]:
        if name in blocks:
            return
        holds = any(inside(block, [name]) for block in blocks)
        if name and not holds and name in parts.visits and next(held.children(), None) is not None:
            if name in parts.reasons:
                yield FixedBlock(name, parts.reasons[name])
            return
        for own, child in held.named_children():
            yield from look(qualified(name, own), child)

    yield from look("", module)


def _words(shape: Sequence[int]) -> str:
    """A shape without its batch dimension."""
    return f"({', '.join(map(str, shape[1:]))})"
