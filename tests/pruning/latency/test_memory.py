import pytest
import torch
from torch import Tensor, nn

from pruning.latency import peak_memory
from pruning.models import MODELS, build_model
from pruning.models.loading import example_inputs

FLOAT = 4


def test_the_peak_is_that_of_the_tensors_alive_at_once() -> None:
    net = nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(inplace=True))
    found = peak_memory(net, (torch.zeros(1, 10),), batch_size=3)
    assert found.held == FLOAT * (10 * 100 + 100 + 100 * 50 + 50 + 3 * 10)
    assert found.activations == FLOAT * 3 * (100 + 100)  # around the first ReLU; the second is in place
    assert (found.batch_size, found.how) == (3, "counted")
    assert peak_memory(net, (torch.zeros(1, 10),), batch_size=3) == found


class Skip(nn.Module):
    """Holds on to its input until the end; a view takes nothing; one weight is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(8, 8, bias=False)
        self.b = self.a

    def forward(self, x: Tensor) -> Tensor:
        kept = x * 2
        y = self.b(self.a(kept).view(-1, 8))
        return y + kept


def test_what_a_skip_holds_counts_and_shared_memory_counts_once() -> None:
    net = Skip().train()
    found = peak_memory(net, (torch.zeros(4, 8),), batch_size=4)
    assert found.held == FLOAT * (64 + 32)
    assert found.activations == FLOAT * 32 * 3  # kept, the first product, the second
    assert net.training


@pytest.mark.parametrize("name", ["digits-cnn", "digits-vit"])
def test_more_images_take_as_much_more(name: str) -> None:
    module, inputs = build_model(name), example_inputs(MODELS[name])
    one, four = (peak_memory(module, inputs, batch_size=n) for n in (1, 4))
    image = inputs[0].nbytes
    assert four.held - one.held == 3 * image
    assert four.activations == pytest.approx(4 * one.activations, rel=0.05)


def test_a_batch_must_hold_something() -> None:
    with pytest.raises(ValueError, match="positive"):
        peak_memory(nn.Linear(2, 2), (torch.zeros(1, 2),), batch_size=0)
