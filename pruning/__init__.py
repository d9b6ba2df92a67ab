"""The engine of Pruning Explorer: score, plan, mask or shrink, measure and save pruned PyTorch networks.

It knows no screen: everything here works from a script, a notebook or the command line
(`python -m pruning --help`). A whole pruning is a few lines::

    loaded = pruning.load_model("digits-resnet")
    task = pruning.load_task("digits")
    groups = pruning.find_groups(loaded.module, loaded.example_inputs)
    recipe = pruning.Recipe(rules={group.id: pruning.Rule(ratio=0.5) for group in groups})
    plan = pruning.make_plan(loaded.module, recipe, example_inputs=loaded.example_inputs, task=task)
    small = pruning.shrink(loaded.module, plan, loaded.example_inputs)
    print(pruning.evaluate(small, task, split="test").accuracy)
    pruning.save_checkpoint("small.safetensors", small, plan, recipe)
"""

from pruning.allocation import ALLOCATIONS, Allocated, Allocation, Evidence, allocate, share_removed
from pruning.blocks import Block, BlockStructure, FixedBlock, drop_blocks, find_blocks, lowest
from pruning.checkpoint import (
    LoadedCheckpoint,
    checkpoint_size,
    load_checkpoint,
    loading_code,
    model_card,
    program_bytes,
    save_checkpoint,
    save_program,
    self_check,
)
from pruning.cost import Cost, CostModel
from pruning.criteria import (
    CRITERIA,
    Criterion,
    across_groups,
    score_blocks,
    score_groups,
    score_weights,
    unscorable,
)
from pruning.evaluate import (
    Difference,
    Report,
    evaluate,
    evaluate_batches,
    flipped,
    paired_difference,
    wilson,
)
from pruning.groups import Choices, Group, Member, Structure, find_groups, find_structure
from pruning.latency import (
    Memory,
    Timing,
    measure_latency,
    measure_layers,
    peak_memory,
    profile_layers,
)
from pruning.latency.table import ChannelTable, measure_channels
from pruning.layers import Layer, find_layers, summary_text
from pruning.masks import apply_masks
from pruning.models import MODELS, LoadedModel, ModelSpec, build_model, load_model
from pruning.plan import Plan, PlanEntry, make_plan
from pruning.recipe import Recipe, Rule
from pruning.reference import masked_outputs
from pruning.sensitivity import (
    LatencyScan,
    Precise,
    Scan,
    ScanPoint,
    iter_scan,
    latency_scan,
    scan_sensitivity,
)
from pruning.shrink import is_graph, shrink
from pruning.statistics import Statistics, collect_statistics
from pruning.tasks import TASKS, MissingData, Split, Task, load_task, set_data_dir

__all__ = [
    "ALLOCATIONS",
    "CRITERIA",
    "MODELS",
    "TASKS",
    "Allocated",
    "Allocation",
    "Block",
    "BlockStructure",
    "ChannelTable",
    "Choices",
    "Cost",
    "CostModel",
    "Criterion",
    "Difference",
    "Evidence",
    "FixedBlock",
    "Group",
    "LatencyScan",
    "Layer",
    "LoadedCheckpoint",
    "LoadedModel",
    "Member",
    "Memory",
    "MissingData",
    "ModelSpec",
    "Plan",
    "PlanEntry",
    "Precise",
    "Recipe",
    "Report",
    "Rule",
    "Scan",
    "ScanPoint",
    "Split",
    "Statistics",
    "Structure",
    "Task",
    "Timing",
    "across_groups",
    "allocate",
    "apply_masks",
    "build_model",
    "checkpoint_size",
    "collect_statistics",
    "drop_blocks",
    "evaluate",
    "evaluate_batches",
    "find_blocks",
    "find_groups",
    "find_layers",
    "find_structure",
    "flipped",
    "is_graph",
    "iter_scan",
    "latency_scan",
    "load_checkpoint",
    "load_model",
    "load_task",
    "loading_code",
    "lowest",
    "make_plan",
    "masked_outputs",
    "measure_channels",
    "measure_latency",
    "measure_layers",
    "model_card",
    "paired_difference",
    "peak_memory",
    "profile_layers",
    "program_bytes",
    "save_checkpoint",
    "save_program",
    "scan_sensitivity",
    "score_blocks",
    "score_groups",
    "score_weights",
    "self_check",
    "set_data_dir",
    "share_removed",
    "shrink",
    "summary_text",
    "unscorable",
    "wilson",
]
