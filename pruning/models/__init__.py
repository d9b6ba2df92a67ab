"""Built-in networks: their architectures and how to load them."""

from pruning.models.builtin import MODELS, ModelSpec, build_model
from pruning.models.loading import ASSETS, LoadedModel, load_model, read_card

__all__ = ["ASSETS", "MODELS", "LoadedModel", "ModelSpec", "build_model", "load_model", "read_card"]
