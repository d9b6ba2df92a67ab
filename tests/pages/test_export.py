"""The Export page without a browser: files at once, figures when measured, stop, failure, no data."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opened import Open, session_of, wait

from pruning import Recipe, Timing
from ui import cache, latencies, shell
from ui.export import files, work
from ui.jobs import Job

ROOT = Path(__file__).parents[2]
PROGRAM = b"a program, which takes torch.export seconds to write"


@pytest.fixture(autouse=True)
def brief(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured before; the file of a program is not written."""
    cache.jobs.clear()
    cache.timings.clear()
    monkeypatch.setattr(work, "program_of", lambda *_: PROGRAM)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The last stage waits until this event is set."""
    go, measure = threading.Event(), work.latencies.measure

    def waiting(*arguments: Any, **options: Any) -> Iterator[Any]:
        timings = measure(*arguments, **options)
        first = next(timings)
        yield first
        assert go.wait(60)
        yield first
        yield from timings

    monkeypatch.setattr(latencies, "measure", waiting)
    yield go
    go.set()


def metric(app: Any, label: str) -> Any:
    return next(found for found in app.metric if found.label.startswith(label))


def button(app: Any, label: str) -> Any:
    return next(found for found in app.button if found.label.startswith(label))


def download(app: Any, what: str) -> Any:
    return next(found.proto for found in app.get("download_button") if found.proto.label.startswith(what))


def the_job(app: Any) -> Job:
    """The measurement of what this visitor has decided now."""
    session = session_of(app)
    job = work.find(work.Choice(session.model_id, session.recipe, "dense")).job
    assert job is not None
    return job


def test_opens_with_the_dense_network(open_page: Open) -> None:
    app = wait(open_page("export"))
    assert any("Nothing is pruned yet" in info.value for info in app.info)
    assert metric(app, "MACs").delta == "same as dense"
    assert any("360 of 360 predictions the same" in found.value for found in app.success)
    assert download(app, "Network").help.count("dense") == 1  # in its name
    timing = latencies.known("digits-resnet", session_of(app).recipe)
    assert timing is not None
    assert timing.baseline is None
    assert any(f"{1000 * timing.median:.2f} ms; batch 1" in text.value for text in app.markdown)


def test_what_is_exact_is_there_before_anything_is_measured(open_page: Open, held: threading.Event) -> None:
    app = open_page("export", model="digits-mlp")
    session_of(app).set_ratios({"hidden.fc1": 0.5})
    app.run()
    assert metric(app, "File").delta.startswith("-")
    assert metric(app, "MACs").delta.startswith("-")
    assert metric(app, "Test accuracy").value == "measuring"
    waiting = {what: download(app, what).disabled for what in ("Network", "Recipe", "Loader", "Model", "All")}
    assert waiting == {"Network": False, "Recipe": False, "Loader": False, "Model": True, "All": True}
    assert any("load_checkpoint" in code.value for code in app.code)
    assert any(text.value.startswith("The model card holds what is measured") for text in app.caption)
    held.set()
    wait(app)
    assert metric(app, "Test accuracy").value.endswith("%")
    assert not any(download(app, what).disabled for what in waiting)
    (job,) = (job for job in cache.jobs()._jobs.values() if job.kind == work.KIND)
    wait(app)
    assert [job for job in cache.jobs()._jobs.values() if job.kind == work.KIND] == [job], "measured once"


def test_channels_give_a_smaller_file_that_loads(open_page: Open) -> None:
    app = open_page("export")
    session_of(app).set_ratios({"stages.stage3.0.conv1": 0.5})
    wait(app.run())
    wait(app)
    assert not app.error
    assert metric(app, "File").delta.startswith("-")
    assert any("identical bit for bit" in found.value for found in app.success)
    card = next(code.value for code in app.code if code.value.startswith("---"))
    assert "not measured" not in card
    assert metric(app, "Test accuracy").value.removesuffix("\u00a0%") in card


def test_stopped_it_stays_stopped_and_is_measured_on_demand(open_page: Open, held: threading.Event) -> None:
    app = open_page("export", model="digits-mlp")
    job = the_job(app)
    while not (job.parts and job.parts[-1].stage == "latency"):
        time.sleep(0.01)
    button(app, "Cancel").click().run()
    held.set()
    wait(app)
    assert any(text.value.startswith("The measurement was stopped.") for text in app.markdown)
    assert not download(app, "All").disabled
    assert any("Latency: not measured." in code.value for code in app.code)
    assert metric(app, "Test accuracy").value.endswith("%"), "this stage was whole"
    button(app, "Measure").click().run()
    wait(app)
    assert any("360 of 360 predictions the same" in found.value for found in app.success)


def test_a_failure_gets_one_sentence_and_a_second_try(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("The file is damaged.")

    with monkeypatch.context() as broken:
        broken.setattr(work, "load_checkpoint", fail)
        app = wait(open_page("export", model="digits-mlp"))
        assert [error.value for error in app.error] == ["The file is damaged."]
    button(app, "Try again").click().run()
    wait(app)
    assert not app.error
    assert any("360 of 360 predictions the same" in found.value for found in app.success)


def test_an_overlong_link_is_said_and_not_forgotten_while_measuring(open_page: Open) -> None:
    app = wait(open_page("export", model="digits-mlp", r="A" * 16_001))
    wait(app)
    assert any("the link is damaged" in info.value for info in app.info)
    session_of(app).set_ratios({"hidden.fc1": 0.5})
    app.run()
    assert not any("the link is damaged" in info.value for info in app.info)


def test_a_latency_that_the_prune_page_measured_is_not_measured_again(open_page: Open) -> None:
    cache.timings("digits-mlp")[Recipe(model="digits-mlp").digest] = Timing(0.123, 0.12, 0.13, 50, 1, 1)
    app = wait(open_page("export", model="digits-mlp"))
    assert any("123.00 ms; batch 1, 1 thread, CPU, 50 forwards." in text.value for text in app.markdown)
    assert any("50 forwards: median 123.000 ms" in code.value for code in app.code), "on the card too"


def test_a_doubtful_latency_can_be_measured_again(open_page: Open) -> None:
    app = wait(open_page("export", model="digits-mlp"))
    job = the_job(app)
    noisy = replace(job.result.timing, warning="The machine is noisy.")
    job.result = replace(job.result, timing=noisy)
    app.run()
    assert any(text.value == "The machine is noisy." for text in app.caption)
    button(app, "Measure again").click().run()
    wait(app)
    again = the_job(app).result
    assert again.timing is not noisy
    assert again.dense is job.result.dense, "kept"


def test_another_recipe_takes_the_place_of_the_one_before(open_page: Open, held: threading.Event) -> None:
    app = open_page("export", model="digits-mlp")
    first = the_job(app)
    session_of(app).set_ratios({"hidden.fc1": 0.5})
    app.run()
    assert first.stop.is_set()
    held.set()
    wait(app)
    assert any("360 of 360 predictions the same" in found.value for found in app.success)
    session_of(app).undo()
    wait(app.run())
    assert metric(app, "MACs").delta == "same as dense"
    assert any("360 of 360 predictions the same" in found.value for found in app.success)


def test_one_visitor_does_not_stop_another(open_page: Open, held: threading.Event) -> None:
    ann, bob = open_page("export", model="digits-mlp"), open_page("export", model="digits-mlp")
    button(ann, "Cancel").click().run()
    job = the_job(bob)
    assert not job.stop.is_set()
    assert job.owners == {session_of(bob).owner}
    held.set()
    wait(bob)
    assert any("360 of 360 predictions the same" in found.value for found in bob.success)


def test_a_fresh_process_checks_it_in_the_background(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, check = threading.Event(), work.self_check
    monkeypatch.setattr(work, "self_check", lambda *given, **how: go.wait(60) and check(*given, **how))
    app = wait(open_page("export", model="digits-mlp"))
    button(app, "Check again").click().run()
    assert button(app, "A fresh Python process is at work").disabled
    go.set()
    wait(app)
    assert any("loaded in a fresh Python process" in found.value for found in app.success)


def test_single_weights_offer_a_compact_form(open_page: Open) -> None:
    app = open_page("export", model="digits-mlp")
    session_of(app).set(granularity="weight")
    session_of(app).set_ratios({"hidden.fc1": 0.9, "hidden.fc2": 0.9})
    app.run()
    assert app.segmented_control(key="export-form").value == "sparse"
    compact = metric(app, "File").value
    assert f"Sparse · {compact}" in app.segmented_control(key="export-form").options, "as predicted"
    app.segmented_control(key="export-form").set_value("dense").run()
    wait(app)
    assert metric(app, "File").value != compact
    assert any("360 of 360 predictions the same" in found.value for found in app.success)


def test_a_prz_is_offered_for_any_network_with_its_size_on_disk(open_page: Open, tmp_path: Path) -> None:
    app = wait(open_page("export", model="digits-mlp"))
    choice = app.segmented_control(key="export-form-whole")
    assert [option.partition(" ")[0] for option in choice.options] == ["Dense", ".prz"]
    assert choice.value == "dense"
    choice.set_value("prz").run()
    wait(app)
    assert not app.error
    session = session_of(app)
    data = cache.exported(session.model_id, session.recipe, "prz")
    (tmp_path / "network.prz").write_bytes(data)
    size = shell.size((tmp_path / "network.prz").stat().st_size)
    assert metric(app, "File").value == size
    assert f".prz · {size}" in app.segmented_control(key="export-form-whole").options
    assert download(app, "Network").label == f"Network .prz · {size}"
    assert not download(app, "Reader").disabled
    assert any("360 of 360 predictions the same, outputs identical" in found.value for found in app.success)
    assert any("The file is a .prz" in code.value for code in app.code), "the card says what it is"
    button(app, "Check again").click().run()
    wait(app)
    assert any("loaded in a fresh Python process" in found.value for found in app.success)


def test_shared_weights_and_recipes_of_both_kinds_in_turns(open_page: Open) -> None:
    """The form that was chosen for masked weights is none for a network without; neither is an error."""
    app = open_page("export", model="digits-mlp")
    session_of(app).set(granularity="weight")
    session_of(app).set_ratios({"hidden.fc1": 0.9})
    app.run()
    sizes = dict(reversed(option.split(" · ")) for option in app.segmented_control(key="export-form").options)
    assert list(sizes.values()) == ["Dense", "Sparse", ".prz"]
    assert app.segmented_control(key="export-form").value == "sparse"
    session_of(app).undo()
    session_of(app).undo()
    wait(app.run())
    assert not app.exception
    assert app.segmented_control(key="export-form-whole").value == "dense"


def test_what_is_handed_out_with_a_prz_runs(open_page: Open, tmp_path: Path) -> None:
    """The archive unpacked in a folder of its own: loader and reader in fresh processes."""
    app = wait(open_page("export", model="digits-mlp"))
    app.segmented_control(key="export-form-whole").set_value("prz").run()
    wait(app)
    session = session_of(app)
    choice = work.Choice(session.model_id, session.recipe, "prz")
    export = files.write(session, choice)
    texts = files.texts(session, export, choice, work.find(choice))
    assert any(code.value.strip() == texts["-load.py"].strip() for code in app.code)
    assert any(code.value == files.reader_command(export) for code in app.code)
    _, packed = files.archive(export, texts, None)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(tmp_path)
    options: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True, "check": True}
    loader = [sys.executable, f"{export.stem}-load.py"]
    done = subprocess.run(loader, env={**os.environ, "PYTHONPATH": str(ROOT)}, **options)
    assert "predicted class: [" in done.stdout
    _, reader, name = shlex.split(files.reader_command(export))
    subprocess.run([sys.executable, "-I", reader, name], **options)
    wanted = cache.model(session.model_id).module.state_dict()
    with np.load(tmp_path / f"{export.stem}.npz") as found:
        assert list(found) == list(wanted)
        assert all(found[name].tobytes() == tensor.numpy().tobytes() for name, tensor in wanted.items())


def test_without_its_data_a_network_is_exported_all_the_same(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PRUNING_DATA_DIR", str(tmp_path))
    cache.task_named.clear()
    app = wait(open_page("export", model="mnist-lenet-300-100"))
    assert metric(app, "Test accuracy").value == "not measured"
    assert any("not checked" in info.value for info in app.info)
    assert any("load_checkpoint" in code.value for code in app.code)
    assert not download(app, "All").disabled
