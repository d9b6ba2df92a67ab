"""Runs benchmarks one after the other and writes what they print into RESULTS.md, each into its own section.

    python benchmarks/_run.py [NAME ...]      all of this folder, or those named: scan live

One that fails, or says that it can measure nothing here, leaves its section as it was; the others still run.
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"
NOTHING = "Nothing is measured"  # begins what a benchmark prints that cannot run on this machine


def main() -> None:
    known = [path.stem for path in sorted(FOLDER.glob("[a-z]*.py"))]
    wanted = sys.argv[1:] or known
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(f"There is no benchmark {unknown[0]!r}; choose from {', '.join(known)}.")
    failed = [name for name in wanted if not run(name)]
    if failed:
        sys.exit(f"Failed, and their results left as they were: {', '.join(failed)}.")


def run(name: str) -> bool:
    """Run one benchmark, show what it prints, and keep it if all went well."""
    print(f"\n== benchmarks/{name}.py ==", flush=True)
    command = [sys.executable, str(FOLDER / f"{name}.py")]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        return False
    printed = "".join(lines)
    if not printed.startswith(NOTHING):
        date = f"{datetime.date.today():%-d %B %Y}"
        section = f"## `{name}.py`, {date}\n\n{machine()}\n\n{as_markdown(printed)}\n"
        before = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Results\n"
        write(RESULTS, replaced(before, name, section))
    return True


def replaced(text: str, name: str, section: str) -> str:
    """The text with a benchmark's section in place of the old one, or at the end."""
    parts = re.split(r"(?m)^(?=## )", text)
    old = [number for number, part in enumerate(parts) if part.startswith(f"## `{name}.py`")]
    if old:
        parts[old[0]] = section
        parts = [part for number, part in enumerate(parts) if number not in old[1:]]
    else:
        parts.append(section)
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def as_markdown(text: str) -> str:
    """Tables as they are, headings below that of the section, anything else as it was printed."""
    blocks = []
    for kind, group in groupby(text.rstrip().splitlines(), kind_of):
        block = "\n".join(group).strip("\n")
        if kind == "heading":
            block = re.sub(r"(?m)^#+", "###", block)
        if block.strip():
            blocks.append(f"```\n{block}\n```" if kind == "text" else block)
    return "\n\n".join(blocks)


def kind_of(line: str) -> str:
    if line.startswith("|"):
        return "table"
    return "heading" if re.match(r"#+ ", line) else "text"


def machine() -> str:
    """What the figures were measured on, in one line."""
    import torch

    names = re.findall(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    size = f", {int(memory.group(1)) / 2**20:.0f} GiB" if memory else ""
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    processor = names[0] if names else platform.machine()
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    load = f"load average {os.getloadavg()[0]:.1f}"
    return f"{processor}, {os.cpu_count()} cores{size}{device}; {versions}; {load}."


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def write(path: Path, text: str) -> None:
    """All or nothing."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


if __name__ == "__main__":
    main()
