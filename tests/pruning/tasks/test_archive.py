"""Archives in Keras' layout: read without copying, refused in one sentence."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pruning.tasks import MissingData, data_dir, load_task, set_data_dir
from pruning.tasks.archive import open_archive

IMAGE = (4, 4, 3)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_CACHE_DIR", str(tmp_path / "cache"))


def arrays() -> dict[str, np.ndarray]:
    numbers = np.random.RandomState(0)
    return {
        "x_train": numbers.randint(0, 256, (20, *IMAGE), dtype=np.uint8),
        "y_train": np.arange(20, dtype=np.uint8)[:, None] % 10,
        "x_test": numbers.randint(0, 256, (10, *IMAGE), dtype=np.uint8),
        "y_test": np.arange(10),
    }


def write(directory: Path, **changes: np.ndarray | None) -> Path:
    content = {name: array for name, array in (arrays() | changes).items() if array is not None}
    path = directory / "tiny.npz"
    np.savez_compressed(path, **content)
    return path


def test_arrays_come_back_as_they_were_and_mapped(tmp_path: Path) -> None:
    write(tmp_path)
    found = open_archive("tiny.npz", 20, 10, IMAGE, tmp_path)
    for name, array in arrays().items():
        assert np.array_equal(found[name], array.reshape(-1) if name.startswith("y") else array)
    assert isinstance(found["x_train"], np.memmap)
    assert found["y_train"].dtype == np.int64


def test_the_second_opening_unpacks_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    open_archive("tiny.npz", 20, 10, IMAGE, tmp_path)
    copies = sorted((tmp_path / "cache" / "data").iterdir())
    before = [copy.stat().st_mtime_ns for copy in copies]
    open_archive("tiny.npz", 20, 10, IMAGE, tmp_path)
    assert sorted((tmp_path / "cache" / "data").iterdir()) == copies
    assert [copy.stat().st_mtime_ns for copy in copies] == before
    assert [copy.suffix for copy in copies] == [".npy", ".npy"]


def test_a_changed_archive_is_unpacked_again(tmp_path: Path) -> None:
    write(tmp_path)
    open_archive("tiny.npz", 20, 10, IMAGE, tmp_path)
    other = np.full((20, *IMAGE), 7, dtype=np.uint8)
    write(tmp_path, x_train=other)
    assert np.array_equal(open_archive("tiny.npz", 20, 10, IMAGE, tmp_path)["x_train"], other)


def test_without_a_cache_the_arrays_are_read_into_memory(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "cache").write_text("a file where the directory should be")
    found = open_archive("tiny.npz", 20, 10, IMAGE, tmp_path)
    assert np.array_equal(found["x_train"], arrays()["x_train"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"x_test": None}, "has no array x_test"),
        ({"x_train": np.zeros((19, *IMAGE), np.uint8)}, "x_train .* must be uint8"),
        ({"x_train": np.zeros((20, *IMAGE), np.float32)}, "it is float32"),
        ({"x_train": np.asfortranarray(arrays()["x_train"])}, "C order"),
        ({"y_train": np.zeros(20, np.float64)}, "must be 20 integers"),
        ({"y_train": np.zeros((20, 2), np.uint8)}, "must be 20 integers"),
        ({"y_test": np.full(10, 11)}, "must be 0 to 9"),
        ({"y_test": np.full(10, -1)}, "must be 0 to 9"),
        ({"y_test": np.array([None] * 10, dtype=object)}, "must be 10 integers"),
    ],
)
def test_a_wrong_array_is_named_in_one_sentence(tmp_path: Path, changes: dict, says: str) -> None:
    write(tmp_path, **changes)
    with pytest.raises(ValueError, match=says) as caught:
        open_archive("tiny.npz", 20, 10, IMAGE, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["cut off", "changed inside", "no archive", "no array inside"])
def test_a_damaged_archive_is_refused_in_one_sentence(tmp_path: Path, how: str) -> None:
    path = write(tmp_path)
    data = bytearray(path.read_bytes())
    if how == "cut off":
        path.write_bytes(data[: len(data) // 2])
    elif how == "changed inside":
        data[300:340] = bytes(40)
        path.write_bytes(data)
    elif how == "no archive":
        path.write_text("<html>not found</html>")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name in arrays():
                archive.writestr(f"{name}.npy", b"text")
    with pytest.raises(ValueError, match=r"damaged|cannot be read") as caught:
        open_archive("tiny.npz", 20, 10, IMAGE, tmp_path)
    assert "\n" not in str(caught.value)
    folder = tmp_path / "cache" / "data"
    assert not folder.exists() or not list(folder.glob("*.part"))


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_missing_data_says_what_to_put_where(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingData, match=rf"{name}\.npz is not in .*PRUNING_DATA_DIR\.$"):
        load_task(name, tmp_path)


def test_the_data_directory_is_chosen_by_call_then_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNING_DATA_DIR", "/somewhere")
    assert data_dir() == Path("/somewhere")
    set_data_dir(tmp_path)
    try:
        assert data_dir() == tmp_path
    finally:
        set_data_dir(None)
    assert data_dir() == Path("/somewhere")
    monkeypatch.delenv("PRUNING_DATA_DIR")
    assert data_dir() == Path("data")
