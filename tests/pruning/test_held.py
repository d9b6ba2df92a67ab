"""Memory that tensors share counts once, and a view keeps all of it."""

import platform
import subprocess
import sys

import pytest
import torch

from pruning.held import blocks_of, held_bytes


def test_shared_memory_counts_once_and_whole() -> None:
    whole, other = torch.zeros(10, 4), torch.zeros(3, dtype=torch.float64)
    assert held_bytes([whole]) == 160
    assert held_bytes([whole[:2], whole.view(4, 10), whole.T, other]) == 160 + 24
    assert set(blocks_of([whole[5:], other])) == {whole.data_ptr(), other.data_ptr()}
    assert held_bytes([]) == held_bytes([torch.empty(0)]) == 0


PAGES = """
import resource, sys, torch
from pruning.held import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for size in range(1, 17):
    held = [torch.ones(size * 2**16) for _ in range(4)]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries are left alone")
def test_freed_memory_is_used_again() -> None:
    """Four tensors, larger each time, up to 16 MiB: their pages are asked for once, without it each time."""
    pages = {
        how: int(subprocess.run([sys.executable, "-c", PAGES, how], capture_output=True, check=True).stdout)
        for how in ("kept", "given back")
    }
    assert pages["given back"] > 3 * pages["kept"]
