"""Which entries stay when ratios rise in the middle of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pruning.groups import Group, Structure
from pruning.known_scores import KnownScores, weight_name
from pruning.plan import Plan, make_plan
from pruning.recipe import Recipe
from pruning.sparsity import masks_weights
from pruning.sparsity.pattern import NAME as PATTERN

if TYPE_CHECKING:
    from pruning.blocks import BlockStructure
    from pruning.tasks import Task


class Movement:
    """How far training moves weights away from zero: minus weight times gradient, summed over the steps.

    Where the sum is high the loss wants the weight larger, whatever its size. A weight that is masked does
    not move, so it keeps its sum (the hard variant of the paper, without scores of their own to learn).

    Args:
        module: the network in training.
    Source: Sanh et al. 2020, arXiv:2005.07683, equation 2.
    """

    def __init__(self, module: nn.Module) -> None:
        self._of = dict(module.named_parameters())
        self.scores = {name: torch.zeros_like(parameter) for name, parameter in self._of.items()}
        self.steps = 0

    @torch.no_grad()
    def add(self) -> None:
        """Count the gradients as they are now, before the step."""
        moving = [(self.scores[name], p, p.grad) for name, p in self._of.items() if p.grad is not None]
        torch._foreach_addcmul_(
            [s for s, _, _ in moving], [p for _, p, _ in moving], [g for _, _, g in moving], -1.0
        )
        self.steps += 1

    def load(self, scores: Mapping[str, Tensor], steps: int) -> None:
        """Take up sums that were kept."""
        for name, value in scores.items():
            self.scores[name].copy_(value)
        self.steps = steps

    def of_group(self, group: Group) -> Tensor:
        """(size,): the sum over all parameters of each unit."""
        total = torch.zeros(group.size)
        for member in group.members:
            if member.parameter in self.scores:
                moved = self.scores[member.parameter].cpu().movedim(member.dim, 0)
                total += moved.reshape(len(moved), -1).sum(1)[member.index].sum(1)
        return total


def plan_at(
    module: nn.Module,
    asked: Recipe,
    *,
    example_inputs: Sequence[Any],
    structure: Structure,
    blocks: BlockStructure | None,
    task: Task | None,
    before: Plan | None,
    movement: Movement | None = None,
) -> Plan:
    """What stays of a network in training; of what went before, nothing comes back.

    Only to keep counts exact does something return, at zero: single weights, if the channels that go take
    more of those left than their rule does; entries of kernels whose pattern is no longer common.

    Args:
        module: at full size, what went before being zero.
        asked: the recipe as far as it is asked for by now.
        example_inputs, structure, blocks, task: as `make_plan` takes them.
        before: the last plan; what it removes is removed again, before anything else.
        movement: scores by it instead of by the rules' criteria.
    """
    scores: dict[str, Tensor] = {}
    known = KnownScores(module, asked, tuple(example_inputs), task, structure, {})
    # Without either `make_plan` scores by itself, and says what is wrong with a recipe.
    for key, rule in asked.rules.items() if before or movement else ():
        if rule.granularity == "channel" and not rule.removed:
            group = structure.by_id[key]
            found = movement.of_group(group) if movement else known.of_group(group, rule.criterion)
            scores[key] = _lowered(found, before, key, rule.granularity)
        elif masks_weights(rule.granularity):
            name, weight = weight_name(key), module.get_submodule(key).weight
            assert isinstance(weight, Tensor)
            found = movement.scores[name].cpu() if movement else known.of_weight(key, weight, rule.criterion)
            scores[name] = _lowered(found, before, key, rule.granularity)
    return make_plan(
        module,
        asked,
        example_inputs=example_inputs,
        task=task,
        structure=structure,
        scores=scores,
        blocks=blocks,
    )


def _lowered(scores: Tensor, before: Plan | None, key: str, granularity: str) -> Tensor:
    """Scores with what is gone below all others."""
    if before is None or key not in before.keep:
        return scores
    if granularity == PATTERN:  # its scores are added up, times 0 and 1
        return torch.where(before.keep[key], scores, -1e6 * scores.abs().max().clamp_min(1e-30))
    return scores.masked_fill(~before.keep[key], -math.inf)


def exchange(plan: Plan, module: nn.Module, gradients: Mapping[str, Tensor], share: float) -> Plan:
    """Let the smallest weights that stay go, and as many that are gone come back where the loss asks for it.

    Args:
        plan: of single weights only.
        module: the network in training, what is gone being zero.
        gradients: parameter -> gradient of the loss with all weights in place, like the parameter.
        share: of the weights that stay, in 0..1.
    Returns:
        A plan with the same counts. What comes back begins at zero.
    Source: Evci et al. 2020, arXiv:1911.11134.
    """
    keep = dict(plan.keep)
    for layer, mask in plan.weights.items():
        name = weight_name(layer)
        weight = module.get_submodule(layer).weight
        assert isinstance(weight, Tensor)
        count = min(int(share * int(mask.sum())), int((~mask).sum()))
        if count:
            stays = mask.flatten().clone()
            size = weight.detach().cpu().abs().flatten().masked_fill(~stays, math.inf)
            stays[size.topk(count, largest=False).indices] = False
            wanted = gradients[name].detach().cpu().abs().flatten().masked_fill(stays, -math.inf)
            stays[wanted.topk(count).indices] = True
            keep[layer] = stays.reshape(mask.shape)
    return replace(plan, keep=keep)


def exchange_share(regrow: float, progress: float) -> float:
    """Half a cosine from `regrow` down to 0 (Evci et al. 2020, arXiv:1911.11134, section 3)."""
    return 0.5 * regrow * (1 + math.cos(math.pi * min(1.0, progress)))
