"""2:4 linear layers on tensor cores against the same zeros in dense tensors, both in half precision, on CUDA.

Prints one line per size and batch: how many layers were converted, median milliseconds of both, measured in
turns, their ratio with its 95 % interval, and how far outputs differ as a share of the largest one.
Without a CUDA device of compute capability 8.0 or more it says so in one line.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from pruning.masks import apply_masks
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.sparsity.semi_structured import compare_two_four, eligible, half, obstacle, to_two_four

SIZES = {  # of the feed-forward parts of transformers: four of them, one after the other
    "768 - 3072 (ViT-Base)": (768, 3072),
    "1024 - 4096 (ViT-Large)": (1024, 4096),
    "4096 - 11008 (7 B language model)": (4096, 11008),
}
BLOCKS = 4
BATCHES = (64, 1024, 8192)  # tokens per forward


def feed_forward(inner: int, outer: int) -> nn.Sequential:
    """Linear layers inner -> outer -> inner ..., each with GELU."""
    widths = [inner, outer] * BLOCKS + [inner]
    return nn.Sequential(*(m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.GELU()))).eval()


def main() -> None:
    if why := obstacle():
        print(f"Nothing is measured: {why}")
        return
    print(torch.cuda.get_device_name())
    print(
        f"{'widths':36}{'tokens':>8}{'layers':>8}{'dense ms':>10}{'2:4 ms':>10}  {'measured (95 %)':22}differ"
    )
    for name, (inner, outer) in SIZES.items():
        torch.manual_seed(0)
        module, example = feed_forward(inner, outer), torch.randn(8, inner)
        layers = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]
        recipe = Recipe(rules={path: Rule(granularity="2:4", ratio=0.5) for path in layers})
        masked = apply_masks(module, make_plan(module, recipe, example_inputs=(example,)))
        converted = sum(not reason for reason in eligible(masked).values())
        far = difference(masked, example)
        for batch in BATCHES:
            timing = compare_two_four(masked, (example,), batch_size=batch)
            assert timing.baseline is not None
            assert timing.ratio_interval is not None
            low, high = timing.ratio_interval
            measured = f"{timing.ratio:.2f}x ({low:.2f} to {high:.2f})"
            print(
                f"{name:36}{batch:>8}{converted:>8}{1e3 * timing.baseline.median:>10.3f}"
                f"{1e3 * timing.median:>10.3f}  {measured:22}{far:.1e}  {timing.warning}"
            )


@torch.inference_mode()
def difference(masked: nn.Module, example: torch.Tensor) -> float:
    """Largest difference between both networks' outputs, as a share of the largest output."""
    given = example.to("cuda", torch.float16).repeat(8, 1)
    dense, sparse = half(masked, torch.float16)(given), to_two_four(masked)(given)
    return float((dense - sparse).abs().max() / dense.abs().max())


if __name__ == "__main__":
    main()
