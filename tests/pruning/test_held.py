"""Memory that tensors share counts once, and a view keeps all of it."""

import torch

from pruning.held import blocks_of, held_bytes


def test_shared_memory_counts_once_and_whole() -> None:
    whole, other = torch.zeros(10, 4), torch.zeros(3, dtype=torch.float64)
    assert held_bytes([whole]) == 160
    assert held_bytes([whole[:2], whole.view(4, 10), whole.T, other]) == 160 + 24
    assert set(blocks_of([whole[5:], other])) == {whole.data_ptr(), other.data_ptr()}
    assert held_bytes([]) == held_bytes([torch.empty(0)]) == 0
