"""The judges of `benchmarks/groups.py`: prune one network, and compare it with its masked original."""

from __future__ import annotations

import copy
import resource
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map
from zoo import ZOO, ratio_plan

from pruning.groups import Choices, find_structure
from pruning.layers import duplicate
from pruning.masks import apply_masks
from pruning.reference import masked_outputs
from pruning.shrink import is_graph, shrink, slice_module

WIDE = Choices(norms="statistics")
_OUTPUTS = "its outputs are the network's outputs"


def names() -> list[str]:
    """The zoo, then the small Hugging Face networks where `transformers` is installed."""
    try:
        from huggingface import NETWORKS
    except ImportError:
        NETWORKS = {}
    return [*ZOO, *(f"hf:{name}" for name in NETWORKS)]


def built(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    """A network in float64 with its example inputs."""
    if name.startswith("hf:"):
        from huggingface import NETWORKS

        module, inputs = NETWORKS[name.removeprefix("hf:")](0)
    else:
        module, inputs = ZOO[name](0)

    def wide(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    return module.double(), tree_map(wide, inputs)


def judge_ours(name: str) -> tuple[str, str]:
    """Verdict and remark on this engine."""
    module, inputs = built(name)
    structure = find_structure(module, inputs, WIDE)
    plan = ratio_plan(structure, 0.5)
    if not any(not mask.all() for mask in plan.channels.values()):
        return "nothing", ""
    small = shrink(module, plan, inputs)
    with torch.no_grad():
        expected = masked_outputs(apply_masks(module, plan), inputs, structure, plan.channels)
        same = _equal(small(*inputs), expected, structure.precision)
    changed = any(group.grade == "statistics" for group in structure.groups)
    remark = "graph, " if is_graph(small) else ""
    left = _size(small) / _size(module)
    return ("statistics" if changed else "exact") if same else "wrong", f"{remark}{left:.0%} left"


def judge_theirs(name: str) -> tuple[str, str]:
    """Verdict and remark on Torch-Pruning."""
    import torch_pruning as tp

    module, inputs = built(name)
    precision = find_structure(module, inputs, WIDE).precision
    small = copy.deepcopy(module)
    pruner = tp.pruner.BasePruner(
        small,
        inputs,
        importance=tp.importance.RandomImportance(),
        pruning_ratio=0.5,
        ignored_layers=_outputs(module, small, inputs),
    )
    torch.manual_seed(0)
    values = _numbered(small)
    pruner.step()
    kept = _restored(small, values)
    if _size(small) == _size(module):
        return "nothing", ""
    masked = _masked(module, kept)
    remark = f"{_size(small) / _size(module):.0%} left"
    with torch.no_grad():
        got = small(*inputs)
        if _equal(got, masked(*inputs), precision):
            return "exact", remark
        _over_kept(masked, small)
        return ("statistics" if _equal(got, masked(*inputs), precision) else "wrong"), remark


def _outputs(module: nn.Module, small: nn.Module, inputs: tuple[Any, ...]) -> list[nn.Module]:
    """The layers of the copy that make the outputs, those that share such a weight too."""
    held = find_structure(module, inputs, WIDE).fixed
    names = {fixed.parameter for fixed in held if fixed.reason == _OUTPUTS}
    tensors = {id(tensor) for name, tensor in small.named_parameters() if name in names}
    made: list[tuple[nn.Module, Any]] = []
    leaves = [part for part in small.modules() if not list(part.children())]
    hooks = [part.register_forward_hook(lambda part, _, y: made.append((part, y))) for part in leaves]
    with torch.no_grad():
        results = {id(leaf) for leaf in tree_leaves(small(*inputs))}
    for hook in hooks:
        hook.remove()
    last = {id(part) for part, result in made if id(result) in results}
    return [
        part
        for part in small.modules()
        if id(part) in last or any(id(own) in tensors for own in part.parameters(recurse=False))
    ]


@torch.no_grad()
def _numbered(module: nn.Module) -> Tensor:
    """Write a number of its own into each entry of each tensor; returns what was there, by number."""
    values, start = [], 0
    for tensor in _tensors(module):
        values.append(tensor.flatten().clone())
        tensor.copy_(torch.arange(start, start + tensor.numel(), dtype=torch.float64).view_as(tensor))
        start += tensor.numel()
    return torch.cat(values)


@torch.no_grad()
def _restored(module: nn.Module, values: Tensor) -> Tensor:
    """Put the values back; returns which numbers are left."""
    kept = torch.zeros(len(values), dtype=torch.bool)
    for tensor in _tensors(module):
        numbers = tensor.long()
        kept[numbers.flatten()] = True
        tensor.copy_(values[numbers])
    return kept


@torch.no_grad()
def _masked(module: nn.Module, kept: Tensor) -> nn.Module:
    """A copy with zeros where numbers are missing; what is divided by stays."""
    masked, start = duplicate(module), 0
    divisors = {id(t) for name, t in masked.named_buffers() if name.endswith("running_var")}
    for tensor in _tensors(masked):
        own = kept[start : start + tensor.numel()].view_as(tensor)
        start += tensor.numel()
        if id(tensor) not in divisors:
            tensor.masked_fill_(~own, 0)
        tensor._kept = own  # type: ignore[attr-defined]
    return masked


def _tensors(module: nn.Module) -> list[Tensor]:
    found = [*module.parameters(), *module.buffers()]
    return [tensor for tensor in found if tensor.dtype is torch.float64]


def _over_kept(masked: nn.Module, small: nn.Module) -> None:
    """Let the masked network's norms see the kept channels alone, its attention have the new temperature."""
    for name, norm in masked.named_modules():
        weight = getattr(norm, "weight", None)
        if isinstance(norm, nn.MultiheadAttention):
            _same_temperature(norm, small.get_submodule(name))
        elif "Norm" in type(norm).__name__ and isinstance(weight, Tensor) and weight.ndim == 1:
            if isinstance(norm, nn.modules.batchnorm._NormBase):
                continue
            dim = 1 if isinstance(norm, nn.GroupNorm) else -1
            norm.forward = _narrow(small.get_submodule(name), weight._kept, dim)  # type: ignore[attr-defined]


def _narrow(norm: nn.Module, kept: Tensor, dim: int) -> Any:
    index = torch.nonzero(kept).flatten()

    def forward(x: Tensor, *rest: Any) -> Tensor:
        return torch.zeros_like(x).index_copy(dim, index, norm(x.index_select(dim, index), *rest))

    return forward


def _same_temperature(attention: nn.MultiheadAttention, small: nn.Module) -> None:
    share = (attention.head_dim / small.head_dim) ** 0.5  # type: ignore[operator]
    for tensor in (attention.in_proj_weight, attention.in_proj_bias):
        if tensor is not None:
            tensor[: attention.embed_dim] *= share
    if attention.in_proj_weight is None:
        attention.q_proj_weight *= share


def _equal(got: Any, expected: Any, precision: torch.dtype) -> bool:
    """All tensors equal to 1e-10 of the largest entry, or 1e-5 where the network computes in less."""
    share = 1e-10 if precision is torch.float64 else 1e-5
    pairs = list(zip(tree_leaves(got), tree_leaves(expected), strict=True))
    for a, b in pairs:
        if isinstance(b, Tensor) and b.numel():
            if a.shape != b.shape:
                return False
            a, b = a.double(), b.double()
            if not torch.allclose(a, b, rtol=0, atol=share * float(b.abs().max()), equal_nan=True):
                return False
    return True


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def speed(size: str) -> str:
    """Seconds and memory at full size; run it in a process of its own."""
    import transformers as hf
    from huggingface import Named

    if size == "ResNet-50":
        network: nn.Module = hf.ResNetForImageClassification(hf.ResNetConfig(num_labels=1000))
    else:
        network = hf.ViTForImageClassification(hf.ViTConfig(num_labels=1000))
    module, inputs = Named(network, ("pixel_values",)).eval(), (torch.randn(1, 3, 224, 224),)
    with torch.no_grad():
        begin = perf_counter()
        module(*inputs)
        forward = perf_counter() - begin
    own = sum(tensor.nbytes for tensor in module.parameters()) / 2**20
    before = _peak()
    begin = perf_counter()
    structure = find_structure(module, inputs)
    found, with_groups = perf_counter() - begin, _peak()
    begin = perf_counter()
    plan = ratio_plan(structure, 0.5)
    shrink(module, plan, inputs)
    shrunk, with_small = perf_counter() - begin, _peak()
    begin = perf_counter()
    slice_module(module, structure, plan.channels)
    cut = perf_counter() - begin
    return (
        f"{size}: {own:.0f} MiB, {len(structure.groups)} groups, {torch.get_num_threads()} threads; "
        f"one forward {forward:.2f} s; find_structure {found:.2f} s and {with_groups - before:.0f} MiB more; "
        f"shrink {shrunk:.2f} s, {cut:.2f} s without its checks, and {with_small - before:.0f} MiB more"
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
