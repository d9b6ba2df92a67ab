"""How small a .prz is and how fast it is written and read, beside zlib and numpy's own files.

    python benchmarks/coding.py

The weights are those of built-in networks, the smallest ones removed and the rest rounded to evenly spaced
levels, and a layer of four million random weights. No network is evaluated: `deep_compression.py` does that.

Sizes: *plain codes* is a .prz without codes by context; *entropy* the least that any code without context
could reach: positions as if each were drawn by itself, shared values by their frequencies, codebooks and
tensors that are not shared as they are; a .prz with codes by context may be smaller. Speeds are of float32
weights, the best of several runs; each file is decoded and compared bit for bit. Target: 20 MB/s decoded.
"""

from __future__ import annotations

import io
import os
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from pruning.coding import Coding, decode, encode  # noqa: E402
from pruning.coding.stream import entropy_bits  # noqa: E402
from pruning.models import load_model  # noqa: E402

Tensors = dict[str, np.ndarray]
RUNS_S = 2.0  # seconds that one kind of run is repeated for
LAYER = (2000, 2000)


def shared(weight: np.ndarray, kept: float, bits: int) -> np.ndarray:
    """The largest weights, in 2**bits evenly spaced values; exact zeros elsewhere."""
    large = np.abs(weight) >= np.quantile(np.abs(weight), 1 - kept)
    values = weight[large]
    levels = np.linspace(values.min(), values.max(), 2**bits, dtype="float32")
    middles = (levels[1:] + levels[:-1]) / 2
    found = np.zeros_like(weight)
    found[large] = levels[np.searchsorted(middles, values)]
    return found


def network(name: str, kept: float | None, bits: int) -> Tensors:
    """A built-in network's tensors, those of two and more dimensions pruned and shared."""
    state = {key: tensor.numpy() for key, tensor in load_model(name).module.state_dict().items()}
    if kept is None:
        return state
    return {key: shared(array, kept, bits) if array.ndim > 1 else array for key, array in state.items()}


def layer(kept: float, bits: int) -> Tensors:
    weight = np.random.default_rng(0).standard_normal(LAYER, dtype="float32")
    return {"weight": shared(weight, kept, bits) if bits < 32 else weight}


CASES: dict[str, Callable[[], Tensors]] = {
    "LeNet-300-100, 8 % kept, 6 bits": lambda: network("mnist-lenet-300-100", 0.08, 6),
    "LeNet-5, 8 % kept, 6 bits": lambda: network("mnist-lenet-5", 0.08, 6),
    "ResNet-20, 40 % kept, 5 bits": lambda: network("cifar10-resnet20", 0.4, 5),
    "ResNet-20, all kept, 8 bits": lambda: network("cifar10-resnet20", 1, 8),
    "ResNet-20 as it is": lambda: network("cifar10-resnet20", None, 32),
    "4 million weights, all kept, 8 bits": lambda: layer(1, 8),
    "4 million weights, 10 % kept, 5 bits": lambda: layer(0.1, 5),
    "4 million weights as they are": lambda: layer(1, 32),
}


def entropy_bytes(tensors: Tensors) -> int:
    """See *entropy* above."""
    total = 0.0
    for array in tensors.values():
        flat = array.reshape(-1)
        values = flat[flat != 0]
        book, often = np.unique(values, return_counts=True)
        if array.ndim > 1 and len(book) <= 256:
            places = entropy_bits(np.array([len(values), flat.size - len(values)]))
            total += (places + entropy_bits(often)) / 8 + book.nbytes
        else:
            total += array.nbytes
    return round(total)


def best_seconds(work: Callable[[], Any]) -> float:
    """Of as many runs as there is time for, two at least."""
    times: list[float] = []
    end = time.perf_counter() + RUNS_S
    while len(times) < 2 or time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def numpy_file(tensors: Tensors) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **tensors)  # type: ignore[arg-type]
    return buffer.getvalue()


def numpy_read(data: bytes) -> Tensors:
    with np.load(io.BytesIO(data)) as found:
        return dict(found)


def main() -> int:
    sizes = ["| | numpy, bytes | zlib | .prz, plain codes | **.prz** | entropy | numpy / .prz |"]
    speeds = [
        "| MB/s | .prz written | **.prz read** | zlib written | zlib read | numpy written | numpy read |"
    ]
    lines = (sizes, speeds)
    for rows in lines:
        rows.append("|---|--:|--:|--:|--:|--:|--:|")
    for name, make in CASES.items():
        tensors = make()
        raw = b"".join(array.tobytes() for array in tensors.values())
        ours, plain, file, packed = (
            encode(tensors),
            encode(tensors, {}, Coding(contexts=False)),
            numpy_file(tensors),
            zlib.compress(raw),
        )
        for found in (decode(ours)[0], decode(plain)[0], numpy_read(file)):
            if any(found[key].tobytes() != array.tobytes() for key, array in tensors.items()):
                print(f"{name}: what was read is not what was written", file=sys.stderr)
                return 1
        counts = (len(file), len(packed), len(plain), len(ours), entropy_bytes(tensors))
        sizes.append(f"| {name} | {' | '.join(f'{n:,}' for n in counts)} | {len(file) / len(ours):.2f} |")
        works: tuple[Callable[[], Any], ...] = (
            lambda tensors=tensors: encode(tensors),  # type: ignore[misc]
            lambda ours=ours: decode(ours),  # type: ignore[misc]
            lambda raw=raw: zlib.compress(raw),  # type: ignore[misc]
            lambda packed=packed: zlib.decompress(packed),  # type: ignore[misc]
            lambda tensors=tensors: numpy_file(tensors),  # type: ignore[misc]
            lambda file=file: numpy_read(file),  # type: ignore[misc]
        )
        rates = [len(raw) / 1e6 / best_seconds(work) for work in works]
        speeds.append(f"| {name} | {' | '.join(f'{rate:,.0f}' for rate in rates)} |")
    print("\n".join([*sizes, "", *speeds]))
    print(f"other work on this machine: load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
