"""Presets, settings in the address, the cards, files: everything of Fine-tune that needs no page."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from pruning import MODELS
from pruning.recover import SCHEDULES, Fit, Pruning, Recovery, Regularise, Teach
from pruning.recover.optimise import LR_SCHEDULES
from pruning.recover.regularise import REGULARISERS
from ui import address
from ui.finetune import choice, presets, result


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_is_a_run_that_exists(name: str, model: str) -> None:
    made = presets.make(name, model)
    assert made.pruning.schedule in SCHEDULES
    assert made.fit.lr_schedule in LR_SCHEDULES
    assert made.regularise is None or made.regularise.name in REGULARISERS
    assert 1 <= made.epochs <= 300
    assert presets.named(made, model) == name
    seeded = choice.changed(made, "fit.seed", 7)
    assert presets.named(seeded, model) == name, "a seed makes no other preset"
    assert presets.named(choice.changed(made, "fit.batch_size", 17), model) is None


def test_presets_name_their_source_and_what_they_need() -> None:
    assert all("arXiv" in preset.source for preset in presets.PRESETS.values())
    assert not presets.misfit(presets.PRESETS["slimming"], has_norm=True)
    assert "BatchNorm" in presets.misfit(presets.PRESETS["slimming"], has_norm=False)
    assert not presets.misfit(presets.PRESETS["gradual"], has_norm=False)


def test_one_setting_changes_and_the_others_stay() -> None:
    before = Recovery(teach=Teach(weight=0.3))
    after = choice.changed(before, "teach.temperature", 2.0)
    assert after == before.model_copy(update={"teach": Teach(weight=0.3, temperature=2.0)})
    assert choice.changed(after, "teach", None).teach is None


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            "pruning.rewind",
            3,
            "Weights cannot go back to epoch 3: pruning begins after 0; give stabilise more",
        ),
        ("pruning.recover", 9_999, "The phases have 10,003 epochs together; at most 10,000 can be run."),
        ("fit.lr", -1.0, "Lr: Input should be greater than 0."),
    ],
)
def test_what_is_not_possible_is_one_sentence(path: str, value: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        choice.changed(Recovery(), path, value)


def test_settings_survive_the_address() -> None:
    settings = Recovery(
        pruning=Pruning(schedule="iterative", rewind=0, start="initial"),
        fit=Fit(layer_lr={"conv <b>": 0.5}, clip=1.0),
        regularise=Regularise(name="l1"),
    )
    packed = address.pack_recovery(settings)
    assert len(packed) < 300
    assert address.unpack_recovery(packed) == settings
    query = address.write("digits-mlp", None, address.Draft(), recovery=settings, run="0123456789ab")
    found = address.parse(query)
    assert (found.recovery, found.run) == (settings, "0123456789ab")


@pytest.mark.parametrize("damaged", ["", "x", "eNo", "AAAA", "%%", "a" * 20_000])
def test_damaged_settings_in_an_address_count_as_none(damaged: str) -> None:
    assert address.unpack_recovery(damaged) is None
    assert address.parse({"f": damaged, "run": "../../etc"}).run == ""


def test_an_address_that_would_unpack_to_very_much_is_refused() -> None:
    import base64
    import zlib

    bomb = base64.urlsafe_b64encode(zlib.compress(b" " * 5_000_000, 9)).decode().rstrip("=")
    assert len(bomb) < address.MAX_CHARS
    assert address.unpack_recovery(bomb) is None


def test_the_zip_holds_the_files_and_is_the_same_each_time(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.safetensors", "load.py")]
    for file in files:
        file.write_bytes(file.name.encode())
    data = result.archive(files)
    assert data == result.archive(files)
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == {
            f.name: f.name.encode() for f in files
        }
