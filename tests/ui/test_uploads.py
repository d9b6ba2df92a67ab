"""Uploads on disk: found by digest, bounded in number, and nothing else can be named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ui import uploads


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    return tmp_path / "uploads"


def test_an_upload_is_found_by_its_digest(folder: Path) -> None:
    digest = uploads.keep("digits-cnn", b"weights")
    found = uploads.find("digits-cnn", digest)
    assert found is not None
    assert found.read_bytes() == b"weights"
    assert uploads.find("digits-mlp", digest) is None
    assert [file.name for file in folder.iterdir()] == [found.name]


def test_identity_is_split_as_it_was_joined() -> None:
    assert uploads.split_id(uploads.model_id("digits-cnn", "abc")) == ("digits-cnn", "abc")
    assert uploads.split_id(uploads.model_id("digits-cnn", None)) == ("digits-cnn", None)
    for weights in ("abc", None):
        identity = uploads.model_id("digits-cnn", weights, "cuda:1")
        assert uploads.split_id(identity) == ("digits-cnn", weights)
        assert uploads.device_in(identity) == "cuda:1"
        assert uploads.device_in(uploads.model_id("digits-cnn", weights)) == "cpu"


def test_the_least_recently_used_goes_first(folder: Path) -> None:
    digests = [uploads.keep("digits-cnn", bytes([number])) for number in range(uploads.KEPT)]
    for age, digest in enumerate(digests):
        os.utime(folder / f"digits-cnn@{digest}.weights", (1000 + age, 1000 + age))
    assert uploads.find("digits-cnn", digests[0])  # used just now
    uploads.keep("digits-cnn", b"one more")
    assert uploads.find("digits-cnn", digests[0])
    assert uploads.find("digits-cnn", digests[1]) is None
