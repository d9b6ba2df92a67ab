import os
from pathlib import Path

import pytest
import torch
from torch import nn

from pruning import store
from pruning.sensitivity import Measured, Precise, Scan, ScanPoint
from pruning.store import cache_dir, find, find_scan, save, save_scan, scan_digest, weights_digest

NAME = "0123456789abcdef"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("PRUNING_CACHE_MB", raising=False)
    return tmp_path


def upper(text: str) -> str:
    if text.startswith("bad"):
        raise ValueError("damaged")
    return text.upper()


def test_what_was_saved_is_found(folder: Path) -> None:
    assert find("scans", NAME, upper) is None
    assert save("scans", NAME, "word é")
    assert find("scans", NAME, upper) == "WORD É"
    assert find("latency", NAME, upper) is None
    assert [path.name for path in (folder / "scans").iterdir()] == [f"{NAME}.json"]


def test_a_damaged_file_is_as_if_absent_and_goes(folder: Path) -> None:
    for content in (b"bad", b"\xff\xfe\xff"):
        save("scans", NAME, "good")
        path = folder / "scans" / f"{NAME}.json"
        path.write_bytes(content)
        assert find("scans", NAME, upper) is None
        assert not path.exists()


def test_an_interrupted_write_leaves_the_old_text_and_no_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("scans", NAME, "old")

    def fails(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "replace", fails)
        assert not save("scans", NAME, "new")
    assert find("scans", NAME, upper) == "OLD"
    assert len(list((folder / "scans").iterdir())) == 1


def test_a_place_that_cannot_be_written_keeps_nothing_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").write_text("not a folder")
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(folder / "file"))
    assert not save("scans", NAME, "text")
    assert find("scans", NAME, upper) is None


def test_the_least_recently_used_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_CACHE_MB", "0.0025")  # 2,500 bytes
    names = [f"{i:016x}" for i in range(3)]
    for i, name in enumerate(names[:2]):
        save("scans", name, "x" * 1000)
        os.utime(folder / "scans" / f"{name}.json", (i, i))
    assert find("scans", names[0], upper)  # now the older one was used last
    save("scans", names[2], "x" * 1000)
    assert [find("scans", name, len) for name in names] == [1000, None, 1000]
    assert not save("scans", NAME, "x" * 2501)
    assert find("scans", names[0], len) == 1000


def test_wrong_names_and_bounds_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, digest in (("scans", "../../etc/passwd"), ("../scans", NAME), ("scans", "")):
        with pytest.raises(ValueError, match="hex digest"):
            save(kind, digest, "text")
    for bound in ("many", "nan", "inf"):
        monkeypatch.setenv("PRUNING_CACHE_MB", bound)
        with pytest.raises(ValueError, match="number of megabytes"):
            save("scans", NAME, "text")


@pytest.mark.parametrize(
    ("platform", "expected"),
    [("linux", "home/.cache"), ("darwin", "home/Library/Caches"), ("win32", "home/AppData/Local")],
)
def test_the_default_is_the_platforms_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, expected: str
) -> None:
    for name in ("PRUNING_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(store.sys, "platform", platform)
    monkeypatch.setattr(store.Path, "home", lambda: tmp_path / "home")
    assert cache_dir() == tmp_path / expected / "pruning-explorer"


def test_a_scan_is_found_again() -> None:
    dense = Measured(accuracy=0.9, interval=(0.8, 1.0), loss=0.1)
    point = ScanPoint(key="a", ratio=0.5, kept=1, size=2, accuracy=0.7, interval=(0.6, 0.8), loss=None)
    scan = Scan(
        model=None,
        task="digits",
        split="validation",
        granularity="channel",
        criterion="l2",
        seed=0,
        n=10,
        classes=10,
        keys=("a",),
        ratios=(0.5,),
        dense=dense,
        points=(point,),
    )
    assert find_scan(NAME) is None
    assert save_scan(NAME, scan)
    assert find_scan(NAME) == scan
    path = cache_dir() / "scans" / f"{NAME}.json"
    path.write_text(path.read_text()[:-20])
    assert find_scan(NAME) is None
    assert not path.exists()


def test_a_digest_names_its_parts_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    one = store.digest("a", (1, 2.5), None, store.machine())
    assert one == store.digest("a", [1, 2.5], None, list(store.machine()))
    assert len({one, store.digest(None, (1, 2.5), "a"), store.digest("a1", 2.5), store.digest()}) == 4
    assert save("scans", one, "text")
    monkeypatch.setattr(store.platform, "node", lambda: "another")
    moved = store.digest("a", (1, 2.5), None, store.machine())
    monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    assert len({one, moved, store.digest("a", (1, 2.5), None, store.machine())}) == 3


def test_weights_digest_names_the_weights() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    first = weights_digest(net)
    assert len(first) == 32
    assert weights_digest(net) == first
    net[1].running_mean[0] += 1e-6  # type: ignore[index, operator]
    second = weights_digest(net)
    assert second != first
    with torch.no_grad():
        net[0].weight[0, 0] += 1  # type: ignore[index, operator]
    assert weights_digest(net) not in (first, second)
    assert weights_digest(net.half()) not in (first, second)


def test_weights_digest_sees_shapes_names_and_strides() -> None:
    def net(weight: torch.Tensor, name: str = "a") -> nn.Module:
        module = nn.Module()
        module.register_buffer(name, weight)
        return module

    x = torch.arange(6.0)
    digests = [
        weights_digest(net(value, name))
        for value, name in ((x, "a"), (x.view(2, 3), "a"), (x.view(2, 3).t(), "a"), (x, "b"))
    ]
    assert len(set(digests)) == 4
    assert weights_digest(net(x.view(2, 3).t())) == weights_digest(net(x.view(2, 3).t().contiguous()))


def test_scan_digest_depends_on_all_that_decides_the_result() -> None:
    base: dict = {
        "weights": "w",
        "task": "digits",
        "split": "validation",
        "granularity": "channel",
        "criterion": "l2",
        "ratios": [0.1, 0.5],
        "seed": 0,
        "n": 360,
    }
    changes: dict = {
        "weights": "v",
        "task": "mnist",
        "split": "test",
        "granularity": "weight",
        "criterion": "l1",
        "ratios": [0.1],
        "seed": 1,
        "n": 100,
    }
    digests = {scan_digest(**base)} | {scan_digest(**{**base, key: changes[key]}) for key in changes}
    assert len(digests) == 9
    assert scan_digest(**{**base, "ratios": [0.5, 0.1, 0.5]}) == scan_digest(**base)
    precisions = (None, Precise(), Precise(2), Precise(confidence=0.9), Precise(strict=True))
    assert len({scan_digest(**base, precise=precise) for precise in precisions}) == 5
