"""The README is true: its code runs, its table agrees with the model cards, its pictures are there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CARDS = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "assets").glob("*.json"))]


BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(code: str, folder: Path) -> str:
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_python_runs_in_a_fresh_process(tmp_path: Path) -> None:
    first, second, third, fourth = BLOCKS
    told = run(f"{first}\nassert again is not small\n", tmp_path)
    assert re.search(r"\d+\.\d\d%, 95 % interval", told)
    told = run(f"{second}\nassert type(small) is type(network)\n", tmp_path)
    assert "head 4 Attention heads of `layers.0.self_attn`" in told
    assert "stays whole: it reads the network's input" in told
    assert (tmp_path / "small.pt2").stat().st_size > 0
    told = run(f"{third}\nassert found.recovered.accuracy > found.pruned.accuracy\n", tmp_path)
    assert re.search(r"pruned 0\.\d+ recovered 0\.\d+", told)
    told = run(fourth, tmp_path)
    size = (tmp_path / "small.prz").stat().st_size
    assert re.search(rf"Huffman coded +{size:,} bytes", told)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: str(card["name"]))
def test_its_table_agrees_with_the_cards(card: dict) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{card['name']}` |")]
    test = card["accuracy"]["test"]
    low, high = test["interval"]
    assert f"{card['parameters']:,}" in row
    assert f"{100 * test['accuracy']:.2f} % ({100 * low:.1f} to {100 * high:.1f})" in row


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_its_links_lead_somewhere(link: str) -> None:
    assert link.startswith("http") or (ROOT / link).exists()
