"""PyTorch's attention layer for fewer heads than its embedding has room for."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NarrowAttention(nn.MultiheadAttention):
    """`nn.MultiheadAttention` whose heads together may be narrower than the embedding.

    The original computes the width of a head as embedding / heads, so it cannot lose one. This class has the
    same parameters under the same names and the same arguments, and takes the width from `head_dim`. A pruned
    copy of a layer becomes one by `narrow`; nobody constructs it.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As the original: (n, b, e) or (b, n, e) or (n, e) -> the same shape, and weights if needed."""
        batched = query.dim() == 3
        parts = [self._batch_first(part, batched) for part in (query, key, value)]
        q, k, v = (self._heads(part) for part in self._project(*parts))
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        weights = None
        if need_weights:
            scores = (q * math.sqrt(1.0 / self.head_dim)) @ k.transpose(-2, -1)
            weights = torch.softmax(scores if mask is None else scores + mask, -1)
            mixed = F.dropout(weights, self.dropout, self.training) @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0)
        out = self.out_proj(mixed.transpose(1, 2).flatten(2))
        if not batched:
            return out[0], None if weights is None else weights[0]
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _batch_first(self, x: Tensor, batched: bool) -> Tensor:
        if not batched:
            return x.unsqueeze(0)
        return x if self.batch_first else x.transpose(0, 1)

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Queries, keys and values: (b, n, heads x width) each."""
        weights: Any
        if self.in_proj_weight is not None:
            weights = self.in_proj_weight.chunk(3)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases: Any = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return [
            F.linear(x, weight, bias)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        ]

    def _heads(self, x: Tensor) -> Tensor:
        """(b, n, heads x width) -> (b, heads, n, width)."""
        return x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

    def _mask(self, attention: Tensor | None, padding: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
        """Both masks as one that is added to the scores (b, heads, n, m); True in a mask means "not seen"."""
        total = None
        if attention is not None:
            total = _added(attention, q.dtype)
            if total.dim() == 3:
                total = total.unflatten(0, (len(q), -1))
        if padding is not None:
            rows = _added(padding, q.dtype).reshape(len(k), 1, 1, k.shape[2])
            total = rows if total is None else total + rows
        return total


def narrow(layer: nn.MultiheadAttention) -> None:
    """Bring a layer whose parameters were cut in line with them, in place; an uncut one stays as it is."""
    embedding, width = layer.out_proj.weight.shape
    weights: tuple[Any, ...] = (layer.in_proj_weight,) * 3
    if layer.in_proj_weight is None:
        weights = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
    read = tuple(weight.shape[1] for weight in weights)
    whole = (layer.embed_dim, layer.num_heads * layer.head_dim)
    if (embedding, width) == whole and read == (layer.embed_dim, layer.kdim, layer.vdim):
        return
    layer.embed_dim, layer.num_heads = embedding, width // layer.head_dim
    layer.kdim, layer.vdim = read[1:]
    layer._qkv_same_embed_dim = False  # keeps nn.TransformerEncoderLayer from its fused call
    layer.__class__ = NarrowAttention


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype is not torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)
