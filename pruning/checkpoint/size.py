"""The exact size of a checkpoint before it exists."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod
from typing import TYPE_CHECKING

from torch import nn

from pruning.checkpoint.container import Entry, header_bytes
from pruning.checkpoint.layout import Contents, Form, digits_of, switches
from pruning.checkpoint.write import describe, pruned_shapes, weight_masks
from pruning.recipe import Recipe

if TYPE_CHECKING:
    from pruning.groups import Structure
    from pruning.plan import Plan


def checkpoint_size(
    module: nn.Module,
    plan: Plan,
    recipe: Recipe,
    *,
    form: Form = "dense",
    extra: Mapping[str, str] | None = None,
) -> int:
    """Bytes of the file that `save_checkpoint` would write with the same arguments, exact.

    Raises:
        ValueError: as `save_checkpoint`.
    """
    masks = weight_masks(module.state_dict(), plan)
    return describe(module, plan, recipe, masks=masks, form=form, extra=extra).size


class SizeModel:
    """The size of a checkpoint from counts alone, fast enough to follow a hand that drags.

    Args:
        module: the dense network.
        structure: its groups (`pruning.groups.find_structure`).
    """

    def __init__(self, module: nn.Module, structure: Structure) -> None:
        self.architecture = str(getattr(module, "architecture", ""))
        self.structure = structure
        self._dtypes = {name: tensor.dtype for name, tensor in module.state_dict().items()}
        self._shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}

    def size(
        self,
        recipe: Recipe,
        kept: Mapping[str, int] | None = None,
        nonzero: Mapping[str, int] | None = None,
        *,
        dropped: Collection[str] = (),
        form: Form = "dense",
        extra: Mapping[str, str] | None = None,
    ) -> int:
        """Bytes of the checkpoint of a network pruned to these counts.

        Args:
            recipe: as it would be saved; its text is part of the file.
            kept: group id -> units kept, of each group that the plan names.
            nonzero: layer name -> weights kept, of each layer whose single weights the plan masks, counted in
                the pruned network.
            dropped: ids of blocks that are dropped.
            form: of the masked tensors.
            extra: as it would be saved.
        Returns:
            Exactly the size of the file that `save_checkpoint` writes.
        Raises:
            ValueError: if a name is unknown or a count is impossible.
        """
        kept = kept or {}
        shapes = pruned_shapes(self._shapes, self.structure, kept, dropped)
        masked = {f"{layer}.weight": count for layer, count in (nonzero or {}).items()}
        for name, count in masked.items():
            there = prod(shapes[name]) if name in shapes else 0
            if not 0 <= count <= there:
                raise ValueError(f"{count:,} weights of {name!r} cannot be kept; it has {there:,}.")
        sizes = {key: self.structure.group(key).size for key in kept}
        sizes |= dict.fromkeys(switches(recipe), 1)
        return Contents(
            tensors=tuple(Entry(name, self._dtypes[name], shape) for name, shape in shapes.items()),
            masked=masked,
            groups={key: (size, "0" * digits_of(size)) for key, size in sizes.items()},
            architecture=self.architecture,
            recipe=recipe,
            form=form,
            extra=dict(extra or {}),
        ).size


def dense_size(module: nn.Module) -> int:
    """Bytes of a network's state dict as a plain .safetensors without metadata: what pruning is compared to.

    Args:
        module: the dense network.
    """
    entries = [Entry(name, t.dtype, tuple(t.shape)) for name, t in module.state_dict().items()]
    return len(header_bytes(entries, {})) + sum(entry.nbytes for entry in entries)
