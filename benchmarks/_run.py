"""Runs benchmarks one after the other and writes what they print into RESULTS.md, each into its own section.

python benchmarks/_run.py [NAME ...]      all of this folder, or those named: scan live
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"


def main() -> None:
    wanted = sys.argv[1:] or [path.stem for path in sorted(FOLDER.glob("[a-z]*.py"))]
    failed = [name for name in wanted if not run(name)]
    if failed:
        sys.exit(f"Failed, and their results left as they were: {', '.join(failed)}.")


def run(name: str) -> bool:
    """Run one benchmark, show what it prints, and keep it if all went well."""
    print(f"\n== benchmarks/{name}.py ==", flush=True)
    command = [sys.executable, str(FOLDER / f"{name}.py")]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent), "PYTHONUNBUFFERED": "1"}
    printed = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            printed.append(line)
    if process.returncode:
        return False
    date = f"{datetime.date.today():%-d %B %Y}"
    section = f"## `{name}.py`, {date}\n\n{machine()}\n\n{as_markdown(''.join(printed))}\n"
    before = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Results\n"
    write(RESULTS, replaced(before, name, section))
    return True


def replaced(text: str, name: str, section: str) -> str:
    """The text with a benchmark's section in place of the old one, or at the end."""
    parts = re.split(r"(?m)^(?=## )", text)
    old = [number for number, part in enumerate(parts) if part.startswith(f"## `{name}.py`")]
    if old:
        parts[old[0]] = section + "\n"
        parts = [part for number, part in enumerate(parts) if number not in old[1:]]
    else:
        parts.append(section + "\n")
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def as_markdown(text: str) -> str:
    """Tables as they are, with what stands around them; anything else as it was printed."""
    text = text.strip()
    return text if re.search(r"(?m)^\|", text) else f"```\n{text}\n```"


def machine() -> str:
    """What the figures were measured on, in one line."""
    import torch

    names = re.findall(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    size = f", {int(memory.group(1)) / 2**20:.0f} GiB" if memory else ""
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    processor = names[0] if names else platform.machine()
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    return f"{processor}, {os.cpu_count()} cores{size}{device}; {versions}."


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
