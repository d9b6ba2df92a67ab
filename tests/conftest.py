"""What all tests share: a cache directory of their own, so that nothing of the user's is read or written, and
nothing that depends on chance, on the machine's speed, or on which tests have run before.

Tests that need MNIST or CIFAR-10 look for them where PRUNING_DATA_DIR says, else beside the project.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
DATA_BESIDE = ROOT.parent / "shared" / "data"

if "PRUNING_DATA_DIR" not in os.environ and DATA_BESIDE.is_dir():
    os.environ["PRUNING_DATA_DIR"] = str(DATA_BESIDE)


# Where CI is set, Hypothesis also tries the same examples in every run, by itself.
settings.register_profile("slow", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slow")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before any fixture: every test begins with the same random numbers, whichever came before it."""
    torch.manual_seed(0)
    random.seed(0)


@pytest.fixture(scope="session", autouse=True)
def own_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("PRUNING_CACHE_DIR")
    os.environ["PRUNING_CACHE_DIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["PRUNING_CACHE_DIR"]
    else:
        os.environ["PRUNING_CACHE_DIR"] = before
