import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import tiny
from torch import nn

from pruning.weights import (
    SortedScores,
    batch_norm_scales,
    channel_norms,
    histogram,
    kernels,
    matrix,
    ridgeline,
    summarise,
)
from pruning.weights.pieces import PIECE, pieces


@pytest.fixture
def values() -> torch.Tensor:
    return torch.randn(40, 25, generator=torch.Generator().manual_seed(1))


def test_histogram_is_numpys(values: torch.Tensor) -> None:
    ours = histogram(values, bins=17)
    counts, edges = np.histogram(values.double().numpy(), bins=17)
    assert np.array_equal(ours.counts, counts)
    np.testing.assert_allclose(ours.edges, edges, rtol=1e-6)
    assert ours.counts.sum() == values.numel()
    assert (ours.density * np.diff(ours.edges)).sum() == pytest.approx(1)


def test_histogram_counts_what_lies_beyond_in_the_outermost_bins() -> None:
    found = histogram(torch.tensor([-5.0, -0.5, 0.5, 0.6, 9]), bins=2, span=(-1, 1))
    assert found.counts.tolist() == [2, 3]
    assert found.centres.tolist() == [-0.5, 0.5]


@pytest.mark.parametrize("value", [0.0, 3.0, -2e-9])
def test_histogram_of_equal_values_is_one_bar(value: float) -> None:
    found = histogram(torch.full((7,), value), bins=5)
    assert sorted(found.counts.tolist()) == [0, 0, 0, 0, 7]
    assert found.edges[0] < value < found.edges[-1]
    assert np.isfinite(found.density).all()


def test_nothing_to_summarise_is_refused() -> None:
    for look in (histogram, summarise, SortedScores):
        with pytest.raises(ValueError, match="no values"):
            look(torch.zeros(0))
    with pytest.raises(ValueError, match="at least one bin"):
        histogram(torch.ones(3), bins=0)


def test_ridgeline_has_one_scale_that_an_outlier_does_not_stretch(values: torch.Tensor) -> None:
    narrow = values * 0.1
    narrow[0, 0] = 1000
    found = ridgeline({"wide": values, "narrow": narrow}, bins=20, tail=0.01)
    assert np.array_equal(found["wide"].edges, found["narrow"].edges)
    assert found["wide"].edges[0] == -found["wide"].edges[-1]
    assert 2 < found["wide"].edges[-1] < 4
    assert all(one.counts.sum() == 1000 for one in found.values())
    assert found["narrow"].counts[-1] == 1


def test_summary_by_plain_numpy(values: torch.Tensor) -> None:
    values = values.clone()
    values[0, :5] = 0
    values[0, 5] = 1e-9
    found, plain = summarise(values), values.numpy().astype(float).ravel()
    assert found.count == 1000
    assert found.mean == pytest.approx(plain.mean())
    assert found.std == pytest.approx(plain.std())
    assert found.kurtosis == pytest.approx(((plain - plain.mean()) ** 4).mean() / plain.var() ** 2)
    assert found.kurtosis == pytest.approx(3, abs=0.6)
    assert found.zeros == 0.005
    assert found.epsilon == pytest.approx(1e-3 * np.abs(plain).max())
    assert found.near_zero == (np.abs(plain) < found.epsilon).mean() >= 0.006
    for probability, quantile in found.quantiles.items():
        assert quantile == pytest.approx(np.quantile(plain, probability), abs=1e-6)
    assert summarise(values, epsilon=10).near_zero == 1
    assert summarise(values, epsilon=0).near_zero == 0.005  # zeros are near zero, whatever epsilon


def test_summary_of_equal_weights() -> None:
    assert summarise(torch.zeros(4)).near_zero == 1
    assert summarise(torch.full((4,), 2.0)).kurtosis == 0
    assert summarise(torch.full((4,), 1e30)).std == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40), st.floats(0, 1))
def test_the_threshold_parts_what_goes_from_what_stays(numbers: list[float], ratio: float) -> None:
    scores = SortedScores(torch.tensor(numbers))
    removed = round(ratio * len(numbers))
    threshold = scores.threshold_at(ratio)
    ordered = sorted(np.float32(numbers))
    assert all(score <= threshold for score in ordered[:removed])
    assert all(score >= threshold for score in ordered[removed:])
    assert ordered[0] <= threshold <= ordered[-1]


def test_thresholds_and_shares() -> None:
    scores = SortedScores(torch.tensor([[4.0, 1.0], [2.0, 2.0]]))
    assert [scores.threshold(k) for k in range(5)] == [1, 1.5, 2, 3, 4]
    assert scores.share_below(2) == 0.25
    assert scores.share_below(3) == 0.75
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match="From 4 scores"):
            scores.threshold(wrong)
    with pytest.raises(ValueError, match="between 0 and 1"):
        scores.quantile(1.5)


def test_the_moving_threshold_stands_where_the_bars_left_of_it_hold_what_goes(values: torch.Tensor) -> None:
    for tensor in (values.abs(), values.abs() ** 8):  # an even spread, and a heavy tail
        scores = SortedScores(tensor)
        bars = scores.compact(bins=50)
        for ratio in (0.1, 0.5, 0.9):
            left = bars.counts[: round(50 * bars.position(scores.threshold_at(ratio)))].sum()
            assert left / len(scores) == pytest.approx(ratio, abs=0.07)
        positions = [bars.position(scores.threshold(k)) for k in range(0, 1001, 10)]
        assert positions == sorted(positions)
        assert (positions[0], positions[-1]) == (pytest.approx(0, abs=0.2), 1)


def test_compact_chooses_the_axis_that_shows_something(values: torch.Tensor) -> None:
    assert not SortedScores(values).compact().log
    assert not SortedScores(values.abs()).compact().log
    heavy = values.abs() ** 8
    heavy[0, :10] = 0
    bars = SortedScores(heavy).compact(bins=30)
    assert bars.log
    assert bars.counts.sum() == 1000
    assert bars.counts[0] >= 10
    assert bars.counts[:15].sum() < 900
    assert not SortedScores(heavy).compact(scale="linear").log
    assert SortedScores(values.abs()).compact(scale="log").log
    assert SortedScores(torch.zeros(5)).compact(scale="log").counts.sum() == 5
    assert SortedScores(torch.ones(1)).compact().counts.sum() == 1


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-4, 2.0**100, width=32) | st.just(0.0), min_size=1, max_size=30),
    st.sampled_from(["auto", "linear", "log"]),
)
def test_compact_stands_any_scores(numbers: list[float], scale: str) -> None:
    scores = SortedScores(torch.tensor(numbers))
    bars = scores.compact(bins=7, scale=scale)
    assert bars.counts.sum() == len(numbers)
    assert (np.diff(bars.edges) > 0).all()
    assert all(0 <= bars.position(scores.threshold(k)) <= 1 for k in range(len(numbers) + 1))


def test_channel_norms_are_sorted_and_say_whose_they_are() -> None:
    weight = torch.zeros(3, 2, 1, 2)
    weight[0, 0] = 3
    weight[0, 1, 0, 0] = 4
    weight[2] = -9
    found = channel_norms(weight)
    assert found.channels.tolist() == [2, 0, 1]
    assert found.norms.tolist() == pytest.approx([18, 34**0.5, 0])
    assert channel_norms(weight, order=1).norms.tolist() == [36, 10, 0]
    assert channel_norms(weight, dim=1).norms.tolist() == pytest.approx([180**0.5, 178**0.5])
    assert channel_norms(torch.tensor([1.0, -2.0])).norms.tolist() == [2, 1]


def test_kernels_as_pictures() -> None:
    weight = torch.arange(5 * 3 * 4.0).reshape(5, 3, 2, 2)
    found = kernels(weight, limit=7)
    assert found.images.shape == (7, 2, 2)
    assert found.places.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0]]
    assert np.array_equal(found.images[4], weight[1, 1].numpy())
    assert found.total == 15
    assert kernels(weight, outputs=[4], limit=7).places.tolist() == [[4, 0], [4, 1], [4, 2]]
    assert kernels(weight[..., 0]).images.shape == (15, 1, 2)
    with pytest.raises(ValueError, match="as a matrix"):
        kernels(torch.zeros(3, 4))


def test_matrix_keeps_the_strongest_weight_of_each_cell() -> None:
    weight = torch.tensor([[1.0, -2, 3], [0, 1, -4], [5, 0, 0]])
    assert np.array_equal(matrix(weight), weight.numpy())
    assert matrix(weight, limit=2).tolist() == [[-2, -4], [5, 0]]
    assert matrix(torch.zeros(8, 4, 3, 3)).shape == (8, 36)
    assert matrix(torch.zeros(700, 5), limit=256).shape == (234, 5)


def test_batch_norm_scales_of_a_network() -> None:
    module = tiny("residual")
    found = batch_norm_scales(module)
    assert list(found) == ["norm", "norm1", "norm2", "norm3"]
    assert np.array_equal(found["norm2"], module.norm2.weight.detach().numpy())
    assert batch_norm_scales(nn.BatchNorm2d(3, affine=False)) == {}


def test_summaries_do_not_hold_on_to_the_network() -> None:
    module = tiny("plain")
    scales, picture = batch_norm_scales(module)["norm1"], matrix(module.head.weight)
    shown = scales.copy(), picture.copy()
    with torch.no_grad():
        module.norm1.weight.zero_()
        module.head.weight.zero_()
    assert np.array_equal(scales, shown[0])
    assert np.array_equal(picture, shown[1])


AWKWARD = {
    "ties": torch.tensor([1.0, 2, 2, 2, 3, 3]).repeat(50),
    "constant": torch.full((300,), 0.1),
    "zeros of both signs": torch.tensor([0.0, -0.0, 1e-45, -1e-45, 1]),
    "float16": torch.randn(37, 11, generator=torch.Generator().manual_seed(0)).half(),
    "bfloat16": torch.randn(37, 11, generator=torch.Generator().manual_seed(0)).bfloat16(),
    "float64": torch.randn(37, 11, generator=torch.Generator().manual_seed(0)).double(),
    "transposed": torch.randn(19, 23, generator=torch.Generator().manual_seed(1)).T,
    "every other": torch.randn(20, 9, 4, generator=torch.Generator().manual_seed(2))[::2, :, ::3],
    "channels last": torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last),
    "expanded": torch.randn(1, 50, generator=torch.Generator().manual_seed(3)).expand(30, 50),
    "one value": torch.tensor(-3.0),
    "largest": torch.tensor([-3.4028235e38, 3.4028235e38, 0]),
    "a column": torch.randn(64, 3)[:, 1],
    "needs a gradient": torch.randn(8, 8, requires_grad=True),
}


def plainly(values: torch.Tensor) -> np.ndarray:
    return values.detach().float().numpy().astype(np.float64).ravel()


def counted(values: np.ndarray, edges: np.ndarray) -> list[int]:
    """Counts between float64 edges, one comparison at a time."""
    below = [int((values < edge).sum()) for edge in edges[1:-1]]
    return np.diff([0, *below, len(values)]).tolist()


@pytest.fixture(params=[7, PIECE])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Pieces so small that every tensor here has many, and the usual ones."""
    for name in ("histogram", "summary"):
        module = sys.modules[f"pruning.weights.{name}"]
        monkeypatch.setattr(module, "pieces", partial(pieces, size=request.param))
    return int(request.param)


@pytest.mark.parametrize("name", AWKWARD)
def test_pieces_hold_every_value_once(name: str, piece: int) -> None:
    parts = list(pieces(AWKWARD[name], piece))
    assert all(part.dtype == np.float32 and part.ndim == 1 and 0 < len(part) <= piece for part in parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.sort(plainly(AWKWARD[name])))


def test_pieces_are_not_copied_where_they_need_not_be() -> None:
    whole = torch.zeros(30, 20)
    for view in (whole, whole.T, whole.reshape(5, 6, 20).permute(2, 0, 1)):
        assert all(np.shares_memory(part, whole.numpy()) for part in pieces(view, 64))
    assert list(pieces(torch.zeros(0, 3))) == []


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.usefixtures("piece")
def test_counts_are_exact_on_awkward_tensors(name: str) -> None:
    values = AWKWARD[name]
    plain = plainly(values)
    for span in (None, (-0.1, 0.7)):
        found = histogram(values, 23, span)
        assert found.counts.tolist() == counted(plain, found.edges)
        again = SortedScores(values).histogram(23, span)
        assert np.array_equal(again.counts, found.counts)
        assert np.array_equal(again.edges, found.edges)


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.usefixtures("piece")
def test_figures_are_exact_on_awkward_tensors(name: str) -> None:
    values = AWKWARD[name]
    plain, found = plainly(values), summarise(values)
    assert found.mean == pytest.approx(plain.mean(), abs=1e-12 * np.abs(plain).max())
    assert found.std == pytest.approx(plain.std(), abs=1e-12 * np.abs(plain).max())
    assert found.zeros == (plain == 0).mean()
    assert found.near_zero == ((np.abs(plain) < found.epsilon) | (plain == 0)).mean()
    for probability, quantile in found.quantiles.items():
        assert quantile == pytest.approx(np.quantile(plain, probability), rel=1e-12)
    if np.ptp(plain) == 0:
        assert (found.std, found.kurtosis) == (0, 0)


@pytest.mark.parametrize("tail", [0.0, 0.01, 0.3, 0.999])
@pytest.mark.parametrize("name", ["ties", "bfloat16", "every other", "one value"])
@pytest.mark.usefixtures("piece")
def test_the_scale_of_a_ridgeline_is_an_exact_order_statistic(name: str, tail: float) -> None:
    ordered = np.sort(np.abs(plainly(AWKWARD[name])))
    limit = ordered[max(round((1 - tail) * len(ordered)) - 1, 0)]
    assert ridgeline({name: AWKWARD[name]}, tail=tail)[name].edges[-1] == limit


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-4, 4, width=16) | st.sampled_from([0.1, 0.7, -0.7]), min_size=1, max_size=60),
    st.floats(-4, 4),
    st.integers(1, 9),
)
def test_looking_up_is_counting(numbers: list[float], value: float, bins: int) -> None:
    values = torch.tensor(numbers)
    scores, plain = SortedScores(values), plainly(values)
    for cut in (value, 0.1, 0.7):  # float32(0.1) is above 0.1 and float32(0.7) below 0.7
        assert scores.share_below(cut) == (plain < cut).mean()
        assert scores.share_nearer(cut) == (np.abs(plain) < cut).mean()
    bars = scores.compact(bins)
    assert bars.counts.tolist() == counted(plain, bars.edges)


def test_many_equal_weights_are_all_counted() -> None:
    """A float32 counter, such as torch.histc's, ends at 2^24."""
    values = torch.zeros(1).expand(2**24 + 5)
    assert histogram(values, 1, (-1, 1)).counts.tolist() == [2**24 + 5]


def test_scores_are_sorted_in_a_copy_unless_they_may_be_used_up() -> None:
    scores = torch.tensor([3.0, 1, 2])
    assert SortedScores(scores).ordered.tolist() == [1, 2, 3]
    assert scores.tolist() == [3, 1, 2]
    assert SortedScores(scores).nbytes == 12
    assert np.shares_memory(SortedScores(scores, reuse=True).ordered, scores.numpy())


@pytest.mark.parametrize("shape", [(70, 300), (1000, 3), (5, 64, 3, 3), (4097,)])
def test_a_large_matrix_is_pooled_band_by_band(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    whole = matrix(weight, limit=32)
    monkeypatch.setattr("pruning.weights.pictures.BAND", 100)
    assert np.array_equal(matrix(weight, limit=32), whole)
    assert max(whole.shape) <= 32
    assert np.abs(whole).max() == weight.abs().max()


def test_kernels_are_limited_by_their_weights_too() -> None:
    weight = torch.randn(4, 5, 6, 6)
    assert len(kernels(weight, cells=100).images) == 2
    assert len(kernels(weight, cells=1).images) == 1
    assert kernels(weight, cells=1).total == 20


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone limits what a process may allocate")
def test_all_layers_need_a_small_part_of_the_networks_memory() -> None:
    """In a process that gets no more than a half: one sorted copy of a layer is a sixth. What lies in memory
    cannot be looked at instead, for the system may take some of it away and bring it back at any time."""
    code = """
import re, resource, torch
from pathlib import Path
from pruning import weights
torch.set_num_threads(1)  # a thread's stack is memory, too
values = {str(i): torch.rand(2048, 2048) for i in range(6)}
look = lambda found: (weights.ridgeline(found), [weights.summarise(v) for v in found.values()])
look({"0": torch.rand(64, 64)})
data = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
half = sum(v.nbytes for v in values.values()) // 2
resource.setrlimit(resource.RLIMIT_DATA, (data + half, resource.RLIM_INFINITY))
look(values)
try:
    copies = [v.clone() for v in values.values()]
except RuntimeError:
    print("no room for all")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "no room for all\n", done.stderr
