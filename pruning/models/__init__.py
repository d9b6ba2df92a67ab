"""Built-in networks: their architectures and how to load them."""

from pruning.models.builtin import MODELS, ModelSpec, build_model

__all__ = ["MODELS", "ModelSpec", "build_model"]
