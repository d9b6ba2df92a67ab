"""Figures of measured time."""

from __future__ import annotations

from pruning.latency import LayerTime
from pruning.latency.table import ChannelPoint, ChannelTable
from ui.figures import latency as figures
from ui.figures import theme


def point(kept: int, seconds: float, step: tuple[float, float] | None) -> ChannelPoint:
    ratio = 1e-3 / seconds
    return ChannelPoint(
        kept=kept,
        macs=100 * kept,
        seconds=seconds,
        q1=seconds,
        q3=seconds,
        ratio=ratio,
        interval=(0.99 * ratio, 1.01 * ratio),
        step=step,
        turns=50,
    )


TABLE = ChannelTable(
    model="net",
    key="<b>hostile",
    batch_size=1,
    threads=1,
    way="eager",
    points=(
        point(16, 0.8e-3, (1.2, 1.3)),
        point(17, 0.99e-3, (1.0, 1.02)),
        point(32, 1e-3, None),
    ),
)


def test_time_stands_beside_macs_with_good_counts_and_what_is_decided() -> None:
    figure, data = figures.channels(TABLE, 24, theme.LIGHT)
    lines = {trace.name: trace for trace in figure.data if trace.name}
    assert list(lines["MACs"].y) == [50.0, 53.125, 100.0]
    assert [round(y) for y in lines["time, with its 95 % interval"].y] == [80, 99, 100]
    assert list(lines["good count: one more costs a step"].x) == [16]
    assert figure.layout.shapes[0].x0 == 24
    assert "<b>" not in figure.layout.title.text
    assert list(data["good"]) == [True, False, False]
    without, _ = figures.channels(TABLE.model_copy(update={"points": TABLE.points[1:]}), None, theme.DARK)
    assert not [trace for trace in without.data if trace.name and trace.name.startswith("good")]
    assert not without.layout.shapes


def test_bars_of_both_networks_sum_to_their_whole() -> None:
    dense = [LayerTime(f"layer{i}", "Linear", 1e-6 * (i + 1), 0.1) for i in range(40)]
    pruned = [LayerTime(layer.name, layer.kind, layer.seconds / 2, 0.1) for layer in dense]
    figure, data = figures.layers(dense, pruned, theme.LIGHT)
    for bar, times in zip(figure.data, (dense, pruned), strict=True):
        assert len(bar.y) == figures.MOST_LAYERS + 1
        assert bar.y[-1] == "16 others"
        assert abs(sum(bar.x) - 1e6 * sum(time.seconds for time in times)) < 1e-6
    assert len(data) == 40
    alone, _ = figures.layers(dense[:3], None, theme.LIGHT)
    assert [bar.name for bar in alone.data] == ["dense, 0.01 ms"]
