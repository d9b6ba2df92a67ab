"""The whole pipeline: stages on and off, exact files, settings, what cannot be."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

import pruning
from pruning.checkpoint import load_checkpoint
from pruning.clustering import centroids_of
from pruning.compress import Compressed, Compression, Packing, Sharing, Stage, compress
from pruning.lowrank import LowRank
from pruning.recover import Fit, Pruning, Recovery, Teach

NAME = "digits-mlp"
LAYERS = ("hidden.fc1", "hidden.fc2", "head")
HALF = pruning.Recipe(
    rules={name: pruning.Rule(ratio=0.5, granularity="weight", criterion="l1") for name in LAYERS}, model=NAME
)
NARROW = pruning.Recipe(rules={"hidden.fc1": pruning.Rule(ratio=0.5)}, model=NAME)
SHORT = Fit(lr=1e-3)
TUNE = Recovery(pruning=Pruning(prune=0, recover=2), fit=SHORT, teach=Teach(weight=0.5))


def run(**settings: object) -> tuple[Compressed, list[Stage]]:
    loaded, task = pruning.load_model(NAME), pruning.load_task("digits")
    told: list[Stage] = []
    before = {name: value.clone() for name, value in loaded.module.state_dict().items()}
    found = compress(
        loaded.module,
        task,
        Compression.model_validate(settings),
        example_inputs=loaded.example_inputs,
        on_stage=told.append,
    )
    assert all(torch.equal(value, loaded.module.state_dict()[name]) for name, value in before.items())
    assert tuple(told) == found.stages
    return found, told


def check_file(found: Compressed) -> None:
    """The file's bytes are all told, and it is the network."""
    assert found.stages[-1].file == found.file
    assert found.stages[-1].size.total == len(found.file)
    again = load_checkpoint(found.file).module.state_dict()
    state = found.module.state_dict()
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], value) for name, value in state.items())


@pytest.mark.parametrize("method", ["cluster", "uniform", "clip-q"])
def test_all_stages_one_after_the_other(method: str) -> None:
    prune = Recovery(recipe=HALF, pruning=Pruning(schedule="one-shot", prune=0, recover=1), fit=SHORT)
    share = Sharing(method=method, bits={"hidden.fc1": 3, "hidden.fc2": 4})  # type: ignore[arg-type]
    found, stages = run(prune=prune, share=share, tune=TUNE)
    assert [stage.name for stage in stages] == ["dense", "pruned", "shared", "tuned", "coded"]
    check_file(found)
    sizes = [stage.size.total for stage in stages]
    assert sizes[0] > sizes[1] > sizes[2] > sizes[-1]
    before, pruned_weight = stages[0].size.weights, stages[1].size.weights
    assert pruned_weight < 0.52 * before, "what is masked is all zeros, not -0.0"
    assert found.ratio > 8
    assert stages[-1].report.accuracy == pruning.evaluate(found.module, pruning.load_task("digits")).accuracy
    for name, bits in share.bits.items():
        weight = found.module.get_submodule(name).weight
        assert len(centroids_of(weight)) <= 2**bits
        assert not weight[~found.plan.weights[name]].any()
    head = found.module.get_submodule("head").weight
    assert not head[~found.plan.weights["head"]].any(), "masks hold where nothing is shared, too"
    assert len(found.centroids) == (3 if method == "cluster" else 0)


def test_each_stage_alone_and_none() -> None:
    found, stages = run()
    assert [stage.name for stage in stages] == ["dense", "coded"]
    check_file(found)
    assert stages[0].report == stages[1].report
    assert stages[0].breakdown is None
    found, stages = run(share=Sharing(bits=dict.fromkeys(LAYERS, 4)), packing=Packing(huffman=False))
    assert [stage.name for stage in stages] == ["dense", "shared", "coded"]
    check_file(found)
    found, stages = run(low_rank=LowRank(method="svd", ranks={"hidden.fc1": 8}))
    assert [stage.name for stage in stages] == ["dense", "low-rank", "coded"]
    check_file(found)


def test_channels_that_are_gone_and_low_rank_before_sharing() -> None:
    prune = Recovery(recipe=NARROW, pruning=Pruning(schedule="one-shot", prune=0, recover=1), fit=SHORT)
    found, _ = run(prune=prune, share=Sharing(bits=dict.fromkeys(LAYERS, 4)), tune=TUNE)
    check_file(found)
    assert len(found.module.get_submodule("hidden.fc1").weight) == 150
    bits = {"hidden.fc1.first": 4, "hidden.fc1.last": 4}
    low_rank = LowRank(method="svd", ranks={"hidden.fc1": 8})
    found, _ = run(low_rank=low_rank, share=Sharing(bits=bits), tune=TUNE)
    check_file(found)
    assert len(centroids_of(found.module.get_submodule("hidden.fc1.last").weight)) <= 16


def test_a_fresh_process_predicts_the_same(tmp_path: Path) -> None:
    found, _ = run(share=Sharing(bits=dict.fromkeys(LAYERS, 2)), tune=TUNE)
    file, seen = tmp_path / "network.prz", tmp_path / "outputs.pt"
    file.write_bytes(found.file)
    task = pruning.load_task("digits")
    with torch.no_grad():
        outputs = torch.cat([found.module(x) for x, _ in task.test.batches(512)])
    code = f"""
import torch, pruning
module = pruning.load_checkpoint({str(file)!r}).module
with torch.no_grad():
    outputs = [module(x) for x, _ in pruning.load_task("digits").test.batches(512)]
torch.save(torch.cat(outputs), {str(seen)!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert torch.equal(torch.load(seen, weights_only=True), outputs)


def test_stopped_trainings_are_cut_short_and_a_file_comes_out() -> None:
    loaded, stop = pruning.load_model(NAME), threading.Event()
    stop.set()
    settings = Compression(share=Sharing(bits=dict.fromkeys(LAYERS, 3)), tune=TUNE)
    found = compress(
        loaded.module, pruning.load_task("digits"), settings, example_inputs=loaded.example_inputs, stop=stop
    )
    assert found.stopped
    check_file(found)


def test_settings_come_back_and_refuse_what_makes_no_sense() -> None:
    settings = Compression(
        prune=Recovery(recipe=HALF), share=Sharing(bits={"head": 3}, init="exact"), tune=TUNE, low_rank=None
    )
    assert Compression.from_json(settings.to_json()) == settings
    assert Compression.from_json(settings.to_json()).digest == settings.digest
    assert settings.model_copy(update={"packing": Packing(huffman=False)}).digest != settings.digest
    for wrong, sentence in (
        ({"tune": Recovery()}, "nothing shared to train"),
        ({"share": Sharing(bits={"head": 3}), "tune": Recovery(recipe=HALF)}, "prunes nothing"),
        ({"share": {"bits": {"head": 9}}}, "less than or equal to 8"),
        ({"share": {"init": "sideways"}}, "no initialisation"),
        ({"share": {"range": "sideways"}}, "sideways"),
        ({"packing": {"gap_bits": 0}}, "greater than or equal to 1"),
    ):
        with pytest.raises(ValidationError, match=sentence):
            Compression.model_validate(wrong)
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        run(share=Sharing(bits={"nowhere": 3}))
