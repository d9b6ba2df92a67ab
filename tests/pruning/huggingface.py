"""Architectures of Hugging Face at a small size, with random weights: name -> builder.

A builder takes a seed and returns (module in eval mode, example inputs). Nothing is downloaded: each network
is made from a configuration. Import this module only where `transformers` is installed
(requirements-test.txt).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn
from zoo import randomise

Built = tuple[nn.Module, tuple[Any, ...]]
NETWORKS: dict[str, Callable[[int], Built]] = {}

_IMAGE = {"image_size": 32, "num_channels": 3}
_ENCODER = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}
_TEXT = {"vocab_size": 37, "max_position_embeddings": 16}
_DECODER = {
    **_ENCODER,
    "num_key_value_heads": 2,
    "vocab_size": 37,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
}


class Named(nn.Module):
    """Hands positional inputs to a network by name, and returns the first result that is a tensor."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        results = self.network(**dict(zip(self.names, inputs, strict=True)))
        return next(value for value in results.values() if isinstance(value, Tensor))


def image(size: int = 32) -> Tensor:
    return torch.randn(2, 3, size, size)


def tokens(length: int = 6) -> Tensor:
    return torch.randint(3, 37, (2, length))


def network(name: str, *inputs: Callable[[], Tensor], names: tuple[str, ...]) -> Callable[..., Any]:
    """Register a function that makes the network, with what makes its inputs."""

    def add(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        def build(seed: int = 0) -> Built:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                module = Named(make().eval(), names).eval()
                randomise(module)
                return module, tuple(one() for one in inputs)

        NETWORKS[name] = build
        return make

    return add


def on_images(name: str) -> Callable[..., Any]:
    return network(name, image, names=("pixel_values",))


def on_text(name: str) -> Callable[..., Any]:
    return network(name, tokens, names=("input_ids",))


@on_images("ResNet")
def resnet() -> nn.Module:
    config = hf.ResNetConfig(
        embedding_size=8, hidden_sizes=[16, 24], depths=[2, 2], layer_type="bottleneck", num_labels=5
    )
    return hf.ResNetForImageClassification(config)


@on_images("ConvNeXt")
def convnext() -> nn.Module:
    config = hf.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 2], num_stages=2, num_labels=5, patch_size=4)
    return hf.ConvNextForImageClassification(config)


@on_images("MobileNetV2")
def mobilenet() -> nn.Module:
    return hf.MobileNetV2ForImageClassification(
        hf.MobileNetV2Config(image_size=32, depth_multiplier=0.35, num_labels=5)
    )


@on_images("ViT")
def vit() -> nn.Module:
    return hf.ViTForImageClassification(hf.ViTConfig(**_ENCODER, **_IMAGE, patch_size=8, num_labels=5))


@on_images("DeiT")
def deit() -> nn.Module:
    return hf.DeiTForImageClassification(hf.DeiTConfig(**_ENCODER, **_IMAGE, patch_size=8, num_labels=5))


@on_images("Swin")
def swin() -> nn.Module:
    config = hf.SwinConfig(
        **_IMAGE, patch_size=4, embed_dim=12, depths=[2, 2], num_heads=[2, 4], window_size=4, num_labels=5
    )
    return hf.SwinForImageClassification(config)


@on_images("Segformer")
def segformer() -> nn.Module:
    config = hf.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[4, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[2, 4],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        num_labels=5,
    )
    return hf.SegformerForSemanticSegmentation(config)


@on_images("DINOv2")
def dinov2() -> nn.Module:
    config = hf.Dinov2Config(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        mlp_ratio=2,
        patch_size=8,
        num_labels=5,
        **_IMAGE,
    )
    return hf.Dinov2ForImageClassification(config)


@on_text("BERT")
def bert() -> nn.Module:
    return hf.BertForSequenceClassification(hf.BertConfig(**_ENCODER, **_TEXT, num_labels=5))


@on_text("DistilBERT")
def distilbert() -> nn.Module:
    config = hf.DistilBertConfig(dim=24, n_layers=2, n_heads=4, hidden_dim=40, num_labels=5, **_TEXT)
    return hf.DistilBertForSequenceClassification(config)


@on_text("ALBERT")
def albert() -> nn.Module:
    return hf.AlbertForSequenceClassification(
        hf.AlbertConfig(**_ENCODER, **_TEXT, embedding_size=12, num_labels=5)
    )


@on_text("ModernBERT")
def modernbert() -> nn.Module:
    config = hf.ModernBertConfig(**_ENCODER, **_TEXT, num_labels=5, pad_token_id=0, local_attention=4)
    return hf.ModernBertForSequenceClassification(config)


@on_text("GPT-2")
def gpt2() -> nn.Module:
    config = hf.GPT2Config(n_embd=24, n_layer=2, n_head=4, vocab_size=37, n_positions=16, use_cache=False)
    return hf.GPT2LMHeadModel(config)


@on_text("OPT")
def opt() -> nn.Module:
    config = hf.OPTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, ffn_dim=40, word_embed_proj_dim=24,
        use_cache=False, **_TEXT,
    )  # fmt: skip
    return hf.OPTForCausalLM(config)


@on_text("Llama")
def llama() -> nn.Module:
    return hf.LlamaForCausalLM(hf.LlamaConfig(**_DECODER, use_cache=False))


@on_text("Qwen2")
def qwen2() -> nn.Module:
    return hf.Qwen2ForCausalLM(hf.Qwen2Config(**_DECODER, use_cache=False))


@on_text("Qwen3")
def qwen3() -> nn.Module:
    return hf.Qwen3ForCausalLM(hf.Qwen3Config(**_DECODER, head_dim=6, use_cache=False))


@on_text("Phi-3")
def phi3() -> nn.Module:
    return hf.Phi3ForCausalLM(hf.Phi3Config(**_DECODER, use_cache=False))


@on_text("Gemma")
def gemma() -> nn.Module:
    return hf.GemmaForCausalLM(hf.GemmaConfig(**_DECODER, head_dim=6, use_cache=False))


@network("T5", tokens, lambda: tokens(4), names=("input_ids", "decoder_input_ids"))
def t5() -> nn.Module:
    config = hf.T5Config(
        vocab_size=37, d_model=24, d_kv=6, d_ff=40, num_layers=2, num_heads=4, use_cache=False,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return hf.T5ForConditionalGeneration(config)


@network(
    "Whisper", lambda: torch.randn(2, 8, 32), lambda: tokens(4), names=("input_features", "decoder_input_ids")
)
def whisper() -> nn.Module:
    half = {"layers": 2, "attention_heads": 4, "ffn_dim": 40}
    halves = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in half.items()}
    config = hf.WhisperConfig(
        **halves,
        vocab_size=37,
        num_mel_bins=8,
        d_model=24,
        max_source_positions=16,
        max_target_positions=16,
        use_cache=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    return hf.WhisperForConditionalGeneration(config)


@network("CLIP", tokens, image, names=("input_ids", "pixel_values"))
def clip() -> nn.Module:
    text = hf.CLIPTextConfig(**_ENCODER, **_TEXT, eos_token_id=2, projection_dim=16)
    vision = hf.CLIPVisionConfig(**_ENCODER, **_IMAGE, patch_size=8, projection_dim=16)
    return hf.CLIPModel(
        hf.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    )
