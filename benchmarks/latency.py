"""Measured against theoretical speedup: half of every group of each built-in network removed.

Prints one line per network and batch size: median milliseconds of the dense and of the smaller network,
measured in turns, their ratio with its 95 % interval, and the ratio of MACs that it should be compared with.
"""

from __future__ import annotations

from pruning.cost import CostModel
from pruning.groups import find_structure
from pruning.latency import measure_latency
from pruning.models import MODELS, build_model
from pruning.models.loading import example_inputs
from pruning.plan import make_plan
from pruning.recipe import Recipe, Rule
from pruning.shrink import shrink

RATIO = 0.5
BATCHES = (1, 64)


def main() -> None:
    print(f"{'network':22}{'batch':>6}{'dense ms':>10}{'pruned ms':>10}  {'measured (95 %)':22}{'MACs':>6}")
    for name, spec in MODELS.items():
        module, inputs = build_model(name).eval(), example_inputs(spec)  # weights change no time
        structure = find_structure(module, inputs)
        recipe = Recipe(rules={group.id: Rule(ratio=RATIO) for group in structure.groups})
        plan = make_plan(module, recipe, example_inputs=inputs, structure=structure)
        small = shrink(module, plan, inputs)
        costs = CostModel(module, inputs, structure)
        macs = costs.cost().macs / costs.cost({key: int(keep.sum()) for key, keep in plan.keep.items()}).macs
        for batch in BATCHES:
            timing = measure_latency(small, inputs, baseline=module, batch_size=batch, budget_s=3.0)
            assert timing.baseline is not None
            assert timing.ratio_interval is not None
            low, high = timing.ratio_interval
            measured = f"{timing.ratio:.2f}x ({low:.2f} to {high:.2f})"
            print(
                f"{name:22}{batch:>6}{1e3 * timing.baseline.median:>10.2f}{1e3 * timing.median:>10.2f}"
                f"  {measured:22}{macs:>5.1f}x  {timing.warning}"
            )


if __name__ == "__main__":
    main()
