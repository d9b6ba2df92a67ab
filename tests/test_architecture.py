"""The layout holds: dependencies point one way, and each of Streamlit's stores has one user."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {  # part of the project -> what it must not import
    "pruning": {"streamlit", "plotly", "ui", "pages", "app"},
    "ui/figures": {"streamlit", "pages", "app"},
    "ui": {"pages", "app"},
    "pages": {"app"},
}
PARTS = sorted(path for part in ("pruning", "ui", "pages") for path in (ROOT / part).rglob("*.py"))
SOURCES = [*PARTS, ROOT / "app.py"]
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_PAGE = 420, 55, 160
ONE_FILE = {"pruning/coding/reader.py": 680}  # handed out beside a .prz: it must be whole in itself


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function; relative imports resolved."""
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def attributes(path: Path, prefix: str) -> set[str]:
    """Attributes of `st` that a file uses whose names begin with the prefix."""
    return {
        node.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("st", "streamlit")
        and node.attr.startswith(prefix)
    } | {
        alias.name
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("streamlit")
        for alias in node.names
        if alias.name.startswith(prefix)
    }


def length(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    documented = ast.get_docstring(function, clean=False)
    return (function.end_lineno or 0) - function.lineno - len((documented or "").splitlines())


@pytest.mark.parametrize("part", FORBIDDEN)
def test_dependencies_point_one_way(part: str) -> None:
    wrong = {
        (name_of(path), module)
        for path in (ROOT / part).rglob("*.py")
        for module in imported(path)
        if module.split(".")[0] in FORBIDDEN[part]
    }
    assert not wrong


@pytest.mark.parametrize(
    ("prefix", "owner"),
    [("session_state", "ui/state.py"), ("query_params", "ui/state.py"), ("cache_", "ui/cache/keeping.py")],
)
def test_each_store_has_one_user(prefix: str, owner: str) -> None:
    users = {name_of(path) for path in SOURCES if attributes(path, prefix)}
    assert users == {owner}


def test_only_the_cache_looks_into_itself() -> None:
    """Everybody else says `cache.model`, whichever file has it; none can cache in secret."""
    users = {path for path in SOURCES for module in imported(path) if module.startswith("ui.cache.")}
    assert {path.parent.relative_to(ROOT).as_posix() for path in users} == {"ui/cache"}


def test_jobs_know_no_streamlit() -> None:
    assert not [module for module in imported(ROOT / "ui/jobs.py") if module.startswith("streamlit")]


def test_the_engine_stays_light_to_import() -> None:
    heavy = "('streamlit', 'plotly', 'pandas', 'sklearn', 'captum', 'torchinfo', 'matplotlib', 'sqlalchemy')"
    code = f"import sys, pruning; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_stay_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    longest = LONGEST_PAGE if path.parent.name == "pages" else ONE_FILE.get(name_of(path), LONGEST_FILE)
    assert lines <= longest
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
    assert not {f.name: length(f) for f in functions if length(f) > LONGEST_FUNCTION}


def test_app_stays_an_entry() -> None:
    assert len((ROOT / "app.py").read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "pages").glob("*.py")))
def test_pages_begin_with_the_guard(name: str) -> None:
    """Else a deep link right after the server's start shows the page without app.py."""
    statements = [
        node
        for node in tree(ROOT / "pages" / f"{name}.py").body
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
    ]
    docstring, first = statements[:2]
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(first) == "shell.guard()"


def test_every_dependency_has_its_reason() -> None:
    """CONTRIBUTING.md says of each requirement what it is for."""
    reasons = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = [
        line
        for file in ("requirements.txt", "requirements-test.txt")
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(("-", "#"))
    ]
    assert all("==" in line for line in lines), "requirements are pinned exactly"
    assert not [line for line in lines if f"| `{line.split('==')[0]}` |" not in reasons]
