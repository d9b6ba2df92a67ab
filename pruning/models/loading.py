"""Load a built-in network with its shipped weights, or with somebody's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruning.models.builtin import MODELS, ModelSpec, build_model

ASSETS = Path(__file__).resolve().parents[2] / "assets"


@dataclass(frozen=True)
class LoadedModel:
    """A network that is ready to be looked at and pruned.

    Args:
        name: of its architecture in `MODELS`.
        module: in eval mode, float32; on the CPU until `pruning.device.on_device` moves it.
        example_inputs: arguments of one forward, batch 1, on the module's device.
        provenance: where the weights come from, in a few words.
        task: name in `TASKS` of the data that the architecture is for.
        card: the model card as written by the training; empty for weights that are not ours.
    """

    name: str
    module: nn.Module
    example_inputs: tuple[Tensor, ...]
    provenance: str
    task: str
    card: dict[str, Any]


def load_model(name: str, weights: Path | str | bytes | None = None) -> LoadedModel:
    """A built-in architecture with weights.

    Args:
        name: of an entry of `MODELS`.
        weights: a `.safetensors`, `.prz` or `.pt` state dict of it, as a path or as the file's bytes;
            the shipped weights if not given. Other float types are converted to float32.
    Raises:
        ValueError: in one sentence, if there is no such model, or its file is unreadable, hostile, of another
            architecture, or holds a value that is not finite.
    """
    from pruning.checkpoint.read import check_state_dict, read_state_dict

    spec = MODELS[name]
    source = _shipped(name) if weights is None else weights
    state = read_state_dict(source)
    module = build_model(name)
    check_state_dict(module, state)
    module.load_state_dict(state)
    inputs = example_inputs(spec)
    _check_outputs(module.eval(), inputs)
    return LoadedModel(
        name=name,
        module=module,
        example_inputs=inputs,
        provenance=_provenance(name, weights),
        task=spec.task,
        card=read_card(name) if weights is None else {},
    )


def example_inputs(spec: ModelSpec) -> tuple[Tensor]:
    """Arguments of one forward: noise of one image's shape, batch 1, always the same."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(1, *spec.input_shape, generator=generator),)


def read_card(name: str) -> dict[str, Any]:
    """The model card of shipped weights; empty if they are not shipped.

    Raises:
        ValueError: if there is no such model.
    """
    path = ASSETS / f"{MODELS[name].name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _shipped(name: str) -> Path:
    path = ASSETS / f"{name}.safetensors"
    if not path.is_file():
        raise ValueError(
            f"The weights of {name} are not in {ASSETS}; make them with: python -m pruning train {name}"
        )
    return path


def _check_outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Finite tensors can still make a broken network, by a negative variance for one."""
    with torch.inference_mode():
        outputs = module(*inputs)
    if not torch.isfinite(outputs).all():
        raise ValueError("The weights give NaN or infinite outputs on an example image; the file is damaged.")


def _provenance(name: str, weights: Path | str | bytes | None) -> str:
    if weights is None:
        return f"trained by this project, assets/{name}.safetensors"
    return "uploaded file" if isinstance(weights, bytes) else f"file {Path(weights).name}"
