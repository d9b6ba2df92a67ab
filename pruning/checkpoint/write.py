"""Write a pruned network to a file that loads elsewhere, bit for bit the same network."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pruning.checkpoint.container import Entry, tensor_bytes
from pruning.checkpoint.layout import POSITIONS, VALUES, Contents, Form, digest, digest_place, switches
from pruning.checkpoint.read import check_finite
from pruning.checkpoint.sparse import encode_positions
from pruning.checkpoint.text import quoted, shape_text
from pruning.layers import inside
from pruning.lowrank.geometry import PARTS
from pruning.lowrank.record import Record, record_of, shapes_before
from pruning.masks import cut, survivors
from pruning.recipe import Recipe

if TYPE_CHECKING:
    from pruning.groups import Structure
    from pruning.plan import Plan


def save_checkpoint(
    path: Path | str,
    module: nn.Module,
    plan: Plan,
    recipe: Recipe,
    *,
    form: Form = "dense",
    extra: Mapping[str, str] | None = None,
) -> Path:
    """Write a pruned network as one file, whole or not at all.

    Args:
        path: of the file; its folder must exist. An existing file is replaced.
        module: the network that `shrink` or `apply_masks` made with this plan, possibly trained further.
        plan: what was removed.
        recipe: what was decided.
        form: of tensors whose single weights were pruned: "dense" keeps the zeros, "sparse" stores only the
            kept weights and their positions. All other tensors are the same in both. These are .safetensors
            files; "prz" codes all tensors into a .prz, which is the smallest and needs this project or its
            reader (`save_prz` with its own settings).
        extra: metadata of your own, for instance the measured accuracy.
    Returns:
        The path.
    Raises:
        ValueError: if the module does not fit the plan or holds NaN, or if the file cannot be written.
    """
    return write_atomically(Path(path), checkpoint_bytes(module, plan, recipe, form=form, extra=extra))


def write_atomically(target: Path, data: bytes) -> Path:
    """Write a file whole or not at all.

    Raises:
        ValueError: in one sentence, if it cannot be written.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise ValueError(f"The checkpoint cannot be written to {quoted(target)}: {error.strerror}.") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return target


def checkpoint_bytes(
    module: nn.Module,
    plan: Plan,
    recipe: Recipe,
    *,
    form: Form = "dense",
    extra: Mapping[str, str] | None = None,
) -> bytes:
    """The file that `save_checkpoint` writes, in memory, for a download.

    Raises:
        ValueError: as `save_checkpoint`.
    """
    if form == "prz":
        from pruning.checkpoint.prz import prz_bytes

        return prz_bytes(module, plan, recipe, extra=extra)
    state = {name: tensor.cpu() for name, tensor in module.state_dict().items()}
    check_finite(state)
    masks = weight_masks(state, plan)
    contents = describe(module, plan, recipe, masks=masks, form=form, extra=extra)
    pieces: dict[str, bytes] = {}
    for name, tensor in state.items():
        encoding = contents.encodings.get(name, "plain")
        if encoding == "plain":
            pieces[name] = tensor_bytes(tensor)
        else:
            pieces[name + VALUES] = tensor_bytes(tensor[masks[name]])
            pieces[name + POSITIONS] = encode_positions(encoding, masks[name])
    data = bytearray(contents.header())
    for entry in contents.entries:
        data += pieces[entry.name]
    place = digest_place(data)
    assert place is not None  # the header has just been written with one
    data[place : place + 64] = digest(data, place).encode()
    return bytes(data)


def describe(
    module: nn.Module,
    plan: Plan,
    recipe: Recipe,
    *,
    masks: Mapping[str, Tensor],
    form: Form = "dense",
    extra: Mapping[str, str] | None = None,
) -> Contents:
    """A checkpoint's contents without its tensors' values.

    Args:
        module, plan, recipe, form, extra: as for `save_checkpoint`.
        masks: of `weight_masks`.
    """
    record = record_of(module)
    if record is not None:
        record = record.model_copy(update={"after_pruning": not record.known_to(plan.structure.shapes)})
    _check_shapes(module, plan, record)
    if {key for key, keep in switches(recipe).items() if not keep} != {block.id for block in plan.blocks}:
        raise ValueError("The recipe drops other layers than the plan; save the recipe that made it.")
    return Contents(
        tensors=tuple(Entry(name, t.dtype, tuple(t.shape)) for name, t in module.state_dict().items()),
        masked={name: int(mask.sum()) for name, mask in masks.items()},
        groups={
            key: (keep.numel(), keep_digits(keep))
            for key, keep in {**plan.channels, **switches(recipe)}.items()
        },
        architecture=str(getattr(module, "architecture", "")),
        recipe=recipe,
        form=form,
        extra=dict(extra or {}),
        low_rank=record.model_dump_json() if record else "",
    )


def pruned_shapes(
    shapes: Mapping[str, tuple[int, ...]],
    structure: Structure,
    kept: Mapping[str, int],
    dropped: Collection[str] = (),
) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's tensors once only so many units of each group are left, and not all blocks.

    Args:
        shapes: parameter or buffer -> its dense shape.
        structure: the network's groups.
        kept: group id -> units kept; groups not named are whole.
        dropped: ids of blocks that are gone.
    Raises:
        ValueError: if a group is unknown or a count impossible.
    """
    left = {name: list(shape) for name, shape in shapes.items() if not inside(name, dropped)}
    for key, count in kept.items():
        group = structure.group(key)
        if not 0 <= count <= group.size:
            raise ValueError(f"{count:,} units of the group {key!r} cannot be kept; it has {group.size:,}.")
        for member in group.members:
            entries_per_unit = member.index.numel() // group.size
            if member.parameter in left:
                left[member.parameter][member.dim] -= (group.size - count) * entries_per_unit
    return {name: tuple(shape) for name, shape in left.items()}


def keep_digits(keep: Tensor) -> str:
    """A keep mask (n,) as hexadecimal digits, unit 0 in the highest bit of the first."""
    return np.packbits(keep.detach().cpu().numpy()).tobytes().hex()


def weight_masks(state: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """The masks of single weights as they lie in the pruned network, whose tensors may also have shrunk.

    Returns:
        parameter -> bool of that parameter's shape, True = kept.
    Raises:
        ValueError: if a mask has no tensor of its shape, or the tensor is not zero where the mask removes.
    """
    masks: dict[str, Tensor] = {}
    for layer, dense_mask in plan.weights.items():
        name = f"{layer}.weight"
        if name not in state and f"{layer}.{PARTS[0]}.weight" in state:
            continue  # factorised after pruning: its zeros are gone
        if name not in state:
            raise ValueError(f"The plan prunes {quoted(name)}, which this network does not have.")
        mask = dense_mask.cpu()
        if mask.shape != state[name].shape:
            mask = cut(mask, survivors(plan.structure, plan.channels).get(name, {}))
        if mask.shape != state[name].shape:
            raise ValueError(
                f"The plan's mask of {quoted(name)} has shape {shape_text(mask.shape)}, the tensor has "
                f"{shape_text(state[name].shape)}; save the network with the plan that made it."
            )
        if torch.count_nonzero(state[name][~mask]):
            raise ValueError(
                f"The tensor {quoted(name)} has weights where the plan removes them; prune the network with "
                "apply_masks or shrink before saving it."
            )
        masks[name] = mask
    return masks


def _check_shapes(module: nn.Module, plan: Plan, record: Record | None) -> None:
    """The network must have the plan's shapes, or all its dense ones: masked, but no channels removed.

    What was factorised after that is looked at as it was before.
    """
    dropped = [block.id for block in plan.blocks]
    kept = {key: int(keep.sum()) for key, keep in plan.channels.items()}
    found = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if record is not None and record.after_pruning:
        found = shapes_before(record, found)
    dense = {name: plan.structure.shapes.get(name, shape) for name, shape in found.items()}
    if found not in (
        pruned_shapes(dense, plan.structure, {}, dropped),
        pruned_shapes(dense, plan.structure, kept, dropped),
    ):
        raise ValueError(
            "The network has other shapes than the plan makes; save it with the plan that made it."
        )
