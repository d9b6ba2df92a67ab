"""Load a checkpoint back: the architecture by name, sliced by what the file says survived, its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pruning.blocks import drop_blocks, find_blocks, without_blocks
from pruning.checkpoint.container import read_container
from pruning.checkpoint.layout import Form
from pruning.checkpoint.prz import is_prz, read_prz
from pruning.checkpoint.read import MAX_BYTES, Source, check_finite, read_bytes
from pruning.checkpoint.stored import Stored, read_stored
from pruning.checkpoint.text import and_more, quoted, shape_text
from pruning.groups import Choices, Structure, find_structure
from pruning.layers import duplicate
from pruning.lowrank.record import products, shapes_before, unfilled
from pruning.masks import named_tensors, survivors
from pruning.recipe import Recipe


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A pruned network from a file, and what the file says about it.

    Args:
        module: in eval mode, on the CPU, in the dtypes it was saved in.
        recipe: what was decided.
        keep: group id -> (size,), block id -> (1,), layer name -> the pruned weight's shape; bool, True =
            kept. In the dense form of single weights a kept weight that is exactly zero counts as removed.
            What went with a dropped block is not listed.
        architecture: name of the dense architecture, "" if it had none.
        form: of the masked tensors in the file.
        extra: metadata that the saver added.
        file_bytes: size of the file.
    """

    module: nn.Module
    recipe: Recipe
    keep: dict[str, Tensor]
    architecture: str
    form: Form
    extra: dict[str, str]
    file_bytes: int


def load_checkpoint(
    source: Source,
    module: nn.Module | None = None,
    example_inputs: tuple[Tensor, ...] | None = None,
    *,
    max_bytes: int = MAX_BYTES,
) -> LoadedCheckpoint:
    """Load a file of `save_checkpoint` or `save_prz`: the network computes bit for bit what was saved.

    Args:
        source: a path, the file's bytes, or an open binary file.
        module: the dense architecture, its weights do not matter and it is not changed; needed only if the
            file's architecture is not built in.
        example_inputs: arguments of one forward of `module`; needed only with a `module` that is not built in
            and a file whose channels or layers were removed. The network that comes back has answered them
            as the whole one does with zeros where channels are gone.
        max_bytes: larger files are refused by their size alone.
    Raises:
        ValueError: one sentence: not a checkpoint, damaged, changed, or of another architecture.
    """
    data = read_bytes(source, max_bytes)
    stored = _stored(data)
    dense = _architecture(stored.architecture) if module is None else duplicate(module)
    shapes, late = stored.shapes(), stored.factorised_last
    if late:
        shapes = shapes_before(late, shapes)
    elif stored.low_rank:
        dense = unfilled(dense, stored.low_rank)
    fitted = _fitted(dense, stored, shapes, example_inputs)
    state, masks = stored.tensors()
    check_finite(state)
    whole = products(late, state) if late else state
    _check_kinds(fitted.module, whole)
    pruned = fitted.settled(whole)
    if late:
        pruned = unfilled(pruned, late)
    pruned.load_state_dict(state, strict=True, assign=True)
    weights = {name.removesuffix(".weight"): mask for name, mask in masks.items()}
    return LoadedCheckpoint(
        module=pruned.eval(),
        recipe=stored.recipe,
        keep={**stored.keep, **weights},
        architecture=stored.architecture,
        form=stored.form,
        extra=dict(stored.extra),
        file_bytes=stored.file_bytes,
    )


def _stored(data: bytes | bytearray) -> Stored:
    """A checkpoint taken apart, whichever file it is."""
    if is_prz(data):
        return read_prz(data)
    if data[8:9] != b"{":
        raise ValueError("The file is neither a .safetensors nor a .prz checkpoint, by its first bytes.")
    return read_stored(data, *read_container(data))


def _architecture(name: str) -> nn.Module:
    """A built-in architecture, its weights about to be replaced; the caller's random numbers stay."""
    from pruning.models import MODELS, build_model

    if name not in MODELS:
        what = f"the architecture {quoted(name)}, not built in" if name else "an unnamed architecture"
        raise ValueError(f"The checkpoint is of {what}; give load_checkpoint a module of that architecture.")
    with torch.random.fork_rng(devices=[]):
        return build_model(name)


@dataclass(frozen=True)
class _Fitted:
    """The architecture with the shapes of the file's tensors, and how channels were cut out of it."""

    module: nn.Module
    whole: nn.Module
    structure: Structure | None = None
    keep: Mapping[str, Tensor] = field(default_factory=dict)
    inputs: tuple[Tensor, ...] = ()

    def settled(self, state: Mapping[str, Tensor]) -> nn.Module:
        """The network whose attributes, such as head counts, give the right answers with these tensors."""
        from pruning.shrink import shrink_masked

        if self.structure is None:
            return self.module
        masked = _with_zeros(self.whole, self.structure, self.keep, state)
        return shrink_masked(masked, self.structure, self.keep, self.inputs)


def _fitted(
    dense: nn.Module,
    stored: Stored,
    shapes: Mapping[str, tuple[int, ...]],
    example_inputs: tuple[Tensor, ...] | None,
) -> _Fitted:
    """The architecture with exactly these shapes of its tensors, sliced if need be.

    Shapes are compared before a packed tensor is unpacked: the file cannot claim more than the network has.
    """
    structure = None
    choices = stored.recipe.choices
    if stored.dropped:
        inputs = example_inputs or _example_inputs(stored.architecture)
        dense, structure = _without(dense, stored.dropped, inputs, choices)
    _check_names(dense, shapes)
    fitted = _Fitted(dense, dense)
    if _wrong(dense, shapes) and not all(bool(keep.all()) for keep in stored.channels.values()):
        inputs = example_inputs or _example_inputs(stored.architecture)
        structure = structure or find_structure(dense, inputs, choices)
        fitted = _Fitted(
            _sliced(dense, stored.channels, structure), dense, structure, stored.channels, tuple(inputs)
        )
    wrong = _wrong(fitted.module, shapes)
    if wrong:
        there = tuple(fitted.module.state_dict()[wrong[0]].shape)
        raise ValueError(
            f"The tensor {quoted(wrong[0])} has shape {shape_text(shapes[wrong[0]])}, but the architecture "
            f"keeps {shape_text(there)} of it{and_more(len(wrong))}."
        )
    return fitted


@torch.no_grad()
def _with_zeros(
    whole: nn.Module, structure: Structure, keep: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> nn.Module:
    """The whole architecture with the file's tensors where channels stay and zeros where they are gone."""
    masked, cut = duplicate(whole), survivors(structure, keep)
    first = {
        id(tensor): name for name, tensor in named_tensors(masked).items()
    }  # of tensors with several names
    for name, target in masked.state_dict(keep_vars=True).items():
        dims = cut.get(first[id(target)], {})
        if not dims:
            target.copy_(state[name])
            continue
        stays = [dims.get(dim, torch.ones(n, dtype=torch.bool)) for dim, n in enumerate(target.shape)]
        index = torch.meshgrid([torch.nonzero(mask).flatten() for mask in stays], indexing="ij")
        target.fill_(first[id(target)] in structure.divisors)  # ones there
        target[index] = state[name].to(target.dtype)
    return masked


def _without(
    dense: nn.Module, dropped: Sequence[str], example_inputs: tuple[Tensor, ...], choices: Choices
) -> tuple[nn.Module, Structure]:
    """The architecture without the blocks that the file drops, and its structure."""
    structure = find_structure(dense, example_inputs, choices)
    found = find_blocks(dense, example_inputs, structure)
    blocks = sorted(map(found.block, dropped), key=lambda block: block.order)
    return drop_blocks(dense, blocks), without_blocks(structure, blocks)


def _check_kinds(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() != state[name].is_floating_point():
            raise ValueError(f"The tensor {quoted(name)} is {state[name].dtype}, expected is {tensor.dtype}.")


def _wrong(module: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    return [name for name, tensor in module.state_dict().items() if tuple(tensor.shape) != shapes[name]]


def _check_names(module: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> None:
    expected = module.state_dict()
    missing = [name for name in expected if name not in shapes]
    extra = [name for name in shapes if name not in expected]
    if missing:
        raise ValueError(f"The checkpoint lacks the tensor {quoted(missing[0])}{and_more(len(missing))}.")
    if extra:
        raise ValueError(f"The checkpoint has a tensor too many, {quoted(extra[0])}{and_more(len(extra))}.")


def _example_inputs(architecture: str) -> tuple[Tensor, ...]:
    from pruning.models import MODELS
    from pruning.models.loading import example_inputs

    if architecture not in MODELS:
        raise ValueError(
            "Channels or layers were removed from this network; give load_checkpoint its example_inputs too."
        )
    return example_inputs(MODELS[architecture])


def _sliced(dense: nn.Module, keep: Mapping[str, Tensor], structure: Structure) -> nn.Module:
    """The dense architecture with only the units that the file keeps."""
    from pruning.shrink import slice_module

    sizes = {group.id: group.size for group in structure.groups}
    for key, mask in keep.items():
        if sizes.get(key) != len(mask):
            there = f"{sizes[key]:,} units" if key in sizes else "no such group"
            raise ValueError(
                f"The checkpoint is for {len(mask):,} units of the group {quoted(key)}, the architecture has "
                f"{there}."
            )
    return slice_module(dense, structure, keep)
