"""Where a network looks: attribution maps, and whether a pruned network still looks at the same pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pruning.device import device_of
from pruning.evaluate import evaluating
from pruning.layers import first_tensor, private_copy
from pruning.registry import Registry

if TYPE_CHECKING:
    from pruning.tasks import Split

STEPS = 32  # points on the path of integrated gradients
AT_ONCE = 256  # samples that captum puts through the network together

Places = Callable[[nn.Module, Tensor], list[str]]


@dataclass(frozen=True)
class Explainer:
    """A way to say which pixels a network's answer comes from.

    Args:
        name: the key in `EXPLAINERS`.
        label: its name on a screen.
        description: what the map shows; for the screen.
        source: paper and arXiv number.
        needs: what a network must have for it: "", "a convolution" or "attention".
        attribute: (network, x (b, C, H, W), targets (b,), layer) -> map (b, h, w), not yet brought to (H, W).
        places: the layers that it can be asked about, in execution order; empty where the network lacks what
            it `needs`. None for methods that ask about the input itself.
        default: which of its places is taken if none is named, as an index.
        enlarge: how a coarser map is brought to the image's size: "bilinear" or "nearest".
    """

    name: str
    label: str
    description: str
    source: str
    needs: str
    attribute: Callable[[nn.Module, Tensor, Tensor, str], Tensor]
    places: Places | None = None
    default: int = 0
    enlarge: str = "bilinear"

    def misfit(self, module: nn.Module, x: Tensor) -> str:
        """Why it cannot explain this network on inputs like x (b, C, H, W), in a sentence; "" if it can."""
        if self.places is None or self.places(private_copy(module, requires_grad=False), x[:1]):
            return ""
        return f"{self.label} needs {self.needs}, which this network does not have; choose another method."


EXPLAINERS: Registry[Explainer] = Registry("explainer")


@dataclass(frozen=True)
class Comparison:
    """The maps of two networks for the same samples and the same classes.

    Args:
        method: name of the explainer.
        targets: (b,), long; the class that both were asked about.
        dense: (b, H, W), float32; maps of the first network.
        pruned: (b, H, W), float32; maps of the second.
        similarity: (b,), float32, in [-1, 1]; rank correlation of the two maps, nan where one is constant.
    """

    method: str
    targets: Tensor
    dense: Tensor
    pruned: Tensor
    similarity: Tensor

    def most_different(self, count: int) -> Tensor:
        """Positions of the `count` least similar samples, least similar first; undefined ones come last."""
        return self.similarity.nan_to_num(nan=2.0).argsort(stable=True)[:count]


def explain(
    module: nn.Module, x: Tensor, targets: Tensor, method: str, *, layer: str | None = None
) -> Tensor:
    """Map how much each pixel speaks for a class.

    Args:
        module: classifier of images; works on a private copy in eval mode, the module is never touched.
        x: (b, C, H, W), normalised images.
        targets: (b,), long; the class to be explained, for each image.
        method: name of an entry of `EXPLAINERS`.
        layer: one of `explainable_layers`, for methods that ask about a layer; the method's default if None.
    Returns:
        (b, H, W), float32, on the CPU; signs as the method's description says. Coarser maps are enlarged.
    Raises:
        ValueError: if the method or layer is unknown, or does not suit the network.
    """
    explainer, network = EXPLAINERS[method], private_copy(module, requires_grad=False)
    x, targets = x.to(device_of(module)), targets.to(device_of(module))
    place = _place(explainer, network, x, layer)
    # The input's gradient makes captum record a graph although no parameter asks for one.
    inputs = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        found = explainer.attribute(network, inputs, targets, place).detach().float().cpu()
    if found.shape[1:] == x.shape[2:]:
        return found
    size = x.shape[2:]
    return nn.functional.interpolate(found.unsqueeze(1), size=size, mode=explainer.enlarge).squeeze(1)


def explainable_layers(module: nn.Module, x: Tensor, method: str) -> list[str]:
    """The layers that a method can be asked about, in execution order; empty for methods about the input.

    Args:
        module: never touched.
        x: (b, C, H, W), an input to find shapes with.
        method: name of an entry of `EXPLAINERS`.
    """
    places = EXPLAINERS[method].places
    return places(private_copy(module, requires_grad=False), x[:1]) if places else []


def compare(
    dense: nn.Module,
    pruned: nn.Module,
    x: Tensor,
    method: str,
    *,
    targets: Tensor | None = None,
    layer: str | None = None,
) -> Comparison:
    """Explain the same samples with two networks.

    Args:
        dense, pruned: classifiers of the same images; never touched.
        x: (b, C, H, W), normalised images.
        method: name of an entry of `EXPLAINERS`.
        targets: (b,), the class that both are asked about; what `dense` predicts if None.
        layer: as in `explain`; the same name in both networks.
    Raises:
        ValueError: as `explain`.
    """
    if targets is None:
        with evaluating(dense), torch.no_grad():
            targets = dense(x.to(device_of(dense))).argmax(1).cpu()
    first, second = (explain(module, x, targets, method, layer=layer) for module in (dense, pruned))
    return Comparison(method, targets, first, second, rank_correlation(first, second))


def compare_batches(
    dense: nn.Module,
    pruned: nn.Module,
    split: Split,
    indices: Sequence[int],
    method: str,
    *,
    layer: str | None = None,
    batch_size: int = 16,
) -> Iterator[Comparison]:
    """As `compare` for chosen samples of a split, yielding a growing comparison after every batch.

    Args:
        split: of the task.
        indices: positions in the split; sample i of the comparison is indices[i].
        batch_size: samples per step.
    """
    parts: list[Comparison] = []
    for start in range(0, len(indices), batch_size):
        x = torch.stack([split[int(i)][0] for i in indices[start : start + batch_size]])
        parts.append(compare(dense, pruned, x, method, layer=layer))
        fields = ("targets", "dense", "pruned", "similarity")
        yield Comparison(method, *(torch.cat([getattr(part, field) for part in parts]) for field in fields))


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation of each sample's two maps; equal values share the mean of their ranks.

    Args:
        first, second: (b, ...), float, of one shape.
    Returns:
        (b,), float32, in [-1, 1]; nan where a map is constant.
    Source: C. Spearman 1904, "The proof and measurement of association between two things", American Journal
        of Psychology 15.
    """
    pairs = [(_ranks(a), _ranks(b)) for a, b in zip(first.flatten(1), second.flatten(1), strict=True)]
    return torch.tensor([_correlation(a, b) for a, b in pairs], dtype=torch.float32)


def _ranks(values: Tensor) -> Tensor:
    """(n,), double: ranks from 1, ties sharing their mean rank."""
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    return (count.cumsum(0).double() - (count - 1).double() / 2)[place]


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    spread = float((a @ a) * (b @ b))
    return max(-1.0, min(1.0, float(a @ b) / math.sqrt(spread))) if spread > 0 else math.nan


def _place(explainer: Explainer, network: nn.Module, x: Tensor, layer: str | None) -> str:
    """The layer to ask about; "" for methods about the input."""
    if explainer.places is None:
        if layer:
            raise ValueError(f"{explainer.label} asks about the input; leave the layer out.")
        return ""
    places = explainer.places(network, x[:1])
    if not places:
        raise ValueError(explainer.misfit(network, x))
    if layer is None:
        return places[explainer.default]
    if layer not in places:
        raise ValueError(
            f"{explainer.label} cannot ask about {layer[:80]!r}; choose one of {', '.join(places)}."
        )
    return layer


def _shapes(network: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """Output shape of every module that ran and gave a tensor, in the order in which they ended."""
    shapes: dict[str, tuple[int, ...]] = {}

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            if (tensor := first_tensor(output)) is not None:
                shapes[name] = tuple(tensor.shape)

        return after

    handles = [part.register_forward_hook(watch(name)) for name, part in network.named_modules()]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _has_attention(module: nn.Module) -> bool:
    return hasattr(module, "num_heads")


def _convolutions(network: nn.Module, x: Tensor) -> list[str]:
    """Convolutions that give a map of more than one position; none in a transformer, whose only ones cut the
    image into patches."""
    if any(_has_attention(part) for part in network.modules()):
        return []
    parts = dict(network.named_modules())
    return [
        name
        for name, shape in _shapes(network, x).items()
        if isinstance(parts[name], nn.Conv2d) and math.prod(shape[2:]) > 1
    ]


def _token_blocks(network: nn.Module, x: Tensor) -> list[str]:
    """Modules directly around an attention, from tokens (b, n, E) that lie on a square grid to tokens."""
    shapes, parts = _shapes(network, x), dict(network.named_modules())
    return [
        name
        for name, shape in shapes.items()
        if len(shape) == 3
        and _grid(shape[1])
        and any(_has_attention(child) for child in parts[name].children())
    ]


def _grid(tokens: int) -> int:
    """Side of a square grid of tokens, with or without one class token before it; 0 if neither."""
    for patches in (tokens, tokens - 1):
        if patches > 0 and math.isqrt(patches) ** 2 == patches:
            return math.isqrt(patches)
    return 0


def _integrated_gradients(network: nn.Module, x: Tensor, targets: Tensor, layer: str) -> Tensor:
    from captum.attr import IntegratedGradients

    found = IntegratedGradients(network).attribute(
        x, target=targets, n_steps=STEPS, internal_batch_size=max(AT_ONCE, len(x))
    )
    return found.sum(1)


def _saliency(network: nn.Module, x: Tensor, targets: Tensor, layer: str) -> Tensor:
    from captum.attr import Saliency

    return Saliency(network).attribute(x, target=targets).amax(1)


def _grad_cam(network: nn.Module, x: Tensor, targets: Tensor, layer: str) -> Tensor:
    from captum.attr import LayerGradCam

    place = network.get_submodule(layer)
    return LayerGradCam(network, place).attribute(x, target=targets, relu_attributions=True).squeeze(1)


def _token_gradients(network: nn.Module, x: Tensor, targets: Tensor, layer: str) -> Tensor:
    from captum.attr import LayerIntegratedGradients

    found = LayerIntegratedGradients(network, network.get_submodule(layer)).attribute(
        x,
        target=targets,
        n_steps=STEPS,
        internal_batch_size=max(AT_ONCE, len(x)),
        attribute_to_layer_input=True,
    )
    tokens = (found[0] if isinstance(found, tuple) else found).sum(2)
    side = _grid(tokens.shape[1])
    return tokens[:, -side * side :].unflatten(1, (side, side))


def _add(*explainers: Explainer) -> None:
    for explainer in explainers:
        EXPLAINERS.add(explainer.name, explainer)


_add(
    Explainer(
        "integrated-gradients",
        "Integrated gradients",
        "How much each pixel adds to the class's output on the way from the average image to this one. "
        "Positive pixels speak for the class, negative ones against it; all together they sum to the change "
        "of the output.",
        "Sundararajan et al. 2017, arXiv:1703.01365",
        "",
        _integrated_gradients,
    ),
    Explainer(
        "saliency",
        "Saliency",
        "How strongly the class's output reacts to a small change of each pixel, whatever its sign: the size "
        "of the gradient, the largest over the colours.",
        "Simonyan et al. 2013, arXiv:1312.6034",
        "",
        _saliency,
    ),
    Explainer(
        "grad-cam",
        "Grad-CAM",
        "Where the feature maps of a convolution speak for the class, enlarged to the image: the channels "
        "are summed with their mean gradients as weights, and only what speaks for the class is kept.",
        "Selvaraju et al. 2016, arXiv:1610.02391",
        "convolutions throughout",
        _grad_cam,
        places=_convolutions,
        default=-1,
    ),
    Explainer(
        "token-gradients",
        "Token attribution",
        "How much each image patch, as a token entering a block of a transformer, adds to the class's "
        "output: integrated gradients of that layer, summed over the token's entries. Positive patches speak "
        "for the class. The class token's own share is not shown.",
        "Sundararajan et al. 2017, arXiv:1703.01365, at a layer as in captum's LayerIntegratedGradients",
        "attention",
        _token_gradients,
        places=_token_blocks,
        enlarge="nearest",
    ),
)
