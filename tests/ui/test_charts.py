"""File names and titles of charts."""

from __future__ import annotations

import pytest

from ui.charts import file_stem, plain


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Digits CNN / parameters", "digits-cnn-parameters"),
        ("../../etc/passwd", "etc-passwd"),
        ("layer3.1.conv2 · l2", "layer3-1-conv2-l2"),
        ("<b>", "b"),
        ("\x00\n", "chart"),
        ("x" * 300, "x" * 80),
    ],
)
def test_file_stems_are_safe_everywhere(name: str, stem: str) -> None:
    assert file_stem(name) == stem


def test_a_title_without_its_markup() -> None:
    assert plain("Parameters <b>per layer</b><br>of all") == "Parameters per layer of all"
