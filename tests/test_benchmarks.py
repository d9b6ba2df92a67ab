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


def test_a_file_without_sections_keeps_its_text(runner: ModuleType) -> None:
    assert runner.replaced("# Results\n\nIntro.\n", "a", "## `a.py`, 1 May\n") == (
        "# Results\n\nIntro.\n\n## `a.py`, 1 May\n"
    )


def test_a_section_with_headings_is_replaced_as_a_whole(runner: ModuleType) -> None:
    def section(figure: int) -> str:
        return "## `a.py`, 1 May\n\n" + runner.as_markdown(
            f"## Part\n| {figure} |\n\n## More\n| {figure} |\n"
        )

    text = runner.replaced("# Results\n", "a", section(1))
    assert text.count("### ") == 2
    again = runner.replaced(text, "a", section(2))
    assert again == text.replace("| 1 |", "| 2 |")


def test_tables_stay_tables(runner: ModuleType) -> None:
    assert runner.as_markdown("words\n\n| a |\n|---|\n") == "```\nwords\n```\n\n| a |\n|---|"
    assert runner.as_markdown("  a  1\nbb  2\n") == "```\n  a  1\nbb  2\n```"
    assert runner.as_markdown("| a |\n\n\n| b |\n") == "| a |\n\n| b |"


def test_the_machine_is_told_in_one_line_without_its_name(runner: ModuleType) -> None:
    line = runner.machine()
    assert "PyTorch" in line
    assert "cores" in line
    assert "\n" not in line


def test_one_that_fails_or_measures_nothing_keeps_its_results_and_the_others_run(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "RESULTS.md"
    monkeypatch.setattr(runner, "FOLDER", tmp_path)
    monkeypatch.setattr(runner, "RESULTS", results)
    monkeypatch.setattr("sys.argv", ["_run.py"])
    results.write_text("# Results\n\n## `bad.py`, 1 May\n\n| 1 |\n\n## `none.py`, 1 May\n\n| 2 |\n")
    (tmp_path / "bad.py").write_text("print('| half |'); raise SystemExit(1)")
    (tmp_path / "good.py").write_text("print('| ± |')")
    (tmp_path / "none.py").write_text("print('Nothing is measured: no device.')")
    (tmp_path / "_part.py").write_text("raise SystemExit(1)")
    with pytest.raises(SystemExit, match=r"left as they were: bad\.$"):
        runner.main()
    text = results.read_text(encoding="utf-8")
    assert text.startswith(
        "# Results\n\n## `bad.py`, 1 May\n\n| 1 |\n\n## `none.py`, 1 May\n\n| 2 |\n\n## `good.py`, "
    )
    assert text.endswith("\n\n| ± |\n")
    assert "_part" not in text
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".py") == ["RESULTS.md"]


def test_an_unknown_name_is_told(runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["_run.py", "scam"])
    (tmp_path / "scan.py").touch()
    with pytest.raises(SystemExit, match="no benchmark 'scam'; choose from scan"):
        runner.main()
