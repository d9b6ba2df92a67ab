"""How results of benchmarks are kept."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_run", FOLDER / "_run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_section_is_replaced_and_the_others_stay(runner: ModuleType) -> None:
    text = "# Results\n\nIntro.\n\n## `a.py`, 1 May\n\nold\n\n## `b.py`, 2 May\n\n| kept |\n"
    new = runner.replaced(text, "a", "## `a.py`, 3 May\n\nnew\n")
    assert new == "# Results\n\nIntro.\n\n## `a.py`, 3 May\n\nnew\n\n## `b.py`, 2 May\n\n| kept |\n"
    assert runner.replaced(new, "a", "## `a.py`, 3 May\n\nnew\n") == new
    assert runner.replaced(text, "c", "## `c.py`, 4 May\n\nmore\n").endswith(
        "| kept |\n\n## `c.py`, 4 May\n\nmore\n"
    )


def test_tables_stay_tables(runner: ModuleType) -> None:
    assert runner.as_markdown("words\n\n| a |\n|---|\n") == "words\n\n| a |\n|---|"
    assert runner.as_markdown("a  1\nb  2\n") == "```\na  1\nb  2\n```"


def test_the_machine_is_told_in_one_line_without_its_name(runner: ModuleType) -> None:
    line = runner.machine()
    assert "PyTorch" in line
    assert "cores" in line
    assert "\n" not in line


def test_a_benchmark_that_fails_leaves_its_results(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "FOLDER", tmp_path)
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "RESULTS.md")
    (tmp_path / "bad.py").write_text("print('half'); raise SystemExit(1)")
    (tmp_path / "good.py").write_text("print('| a |')")
    assert not runner.run("bad")
    assert not (tmp_path / "RESULTS.md").exists()
    assert runner.run("good")
    assert "| a |" in (tmp_path / "RESULTS.md").read_text()
