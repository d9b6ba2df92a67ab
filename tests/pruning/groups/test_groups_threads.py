"""Recording changes settings of the whole process; threads that record at once leave them as they were."""

import torch

from pruning.groups.record import recording_settings


def settings() -> tuple[bool, bool]:
    return torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()


def test_recordings_that_overlap_leave_the_settings_as_they_were() -> None:
    before = settings()
    assert any(before)
    first, second = recording_settings(), recording_settings()
    first.__enter__()
    second.__enter__()  # of another thread: both begin before either ends
    assert settings() == (False, False)
    first.__exit__(None, None, None)
    assert settings() == (False, False)
    second.__exit__(None, None, None)
    assert settings() == before
