"""The app with a network of very many layers, very many outputs and very large kernels, and no other."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from pruning.models import builtin, loading  # noqa: E402
from pruning.store import cache_dir  # noqa: E402
from ui import shell  # noqa: E402


class Huge(nn.Module):
    """94 layers, 5.8 million weights."""

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Conv2d(1, 4, 129, padding=64)
        self.patch = nn.Conv2d(4, 64, 31, padding=15)
        self.convs = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=1, bias=False) for _ in range(90))
        self.norms = nn.ModuleList(nn.BatchNorm2d(64) for _ in range(90))
        self.wide = nn.Linear(64, 30_000)
        self.head = nn.Linear(30_000, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(self.large(x))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = torch.relu(norm(conv(x)))
        return self.head(torch.relu(self.wide(x.mean((2, 3)))))


if "huge" not in builtin.MODELS:
    folder = cache_dir() / "huge"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    save_file(Huge().state_dict(), folder / "huge.safetensors")
    spec = builtin.ModelSpec("huge", "Huge", Huge, (1, 8, 8), "digits", "made up", "Too much of everything.")
    builtin.MODELS.add("huge", spec)
    loading.ASSETS = folder

page = shell.boot()
shell.model_bar()
page.run()
shell.settle()
