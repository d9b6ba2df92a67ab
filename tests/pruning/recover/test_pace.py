"""How long a run would take: a prediction from a few steps, which leave no trace."""

from __future__ import annotations

import torch

from pruning import load_model, load_task
from pruning.recover import Fit, Recovery, Teach
from pruning.recover.pace import Pace, measure_pace


def test_a_few_steps_are_timed_and_nothing_is_changed() -> None:
    loaded, task = load_model("digits-mlp"), load_task("digits")
    before = {name: value.clone() for name, value in loaded.module.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    settings = Recovery(fit=Fit(lr=10.0), teach=Teach(hints=0.1))
    pace = measure_pace(loaded.module, task, settings, example_inputs=loaded.example_inputs, budget_s=0.02)
    assert torch.rand(1) == expected, "the caller's random numbers stay"
    assert pace.steps >= 1
    assert pace.train > 0 < pace.evaluate
    assert all(torch.equal(value, before[name]) for name, value in loaded.module.state_dict().items())
    assert not any(module._forward_hooks for module in loaded.module.modules())


def test_seconds_are_those_of_training_and_evaluation() -> None:
    task = load_task("digits")
    pace = Pace(train=len(task.train) / 2, evaluate=len(task.validation) / 0.5, steps=9)
    assert pace.seconds(4, task) == 4 * 2.5
