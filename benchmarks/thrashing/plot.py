"""Plot the results: hit rate above, keys read from the source below, one column for each stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from benchmarks.thrashing.report import times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.thrashing.experiment import Comparison, Result

_EVICTING: Final = "#c8432b"
_FREE_ROOM: Final = "#1f6f8b"
_BASELINE: Final = "#333333"


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write the picture to ``path`` as SVG; the same results give the same bytes."""
    with rc_context({"svg.hashsalt": "thrashing", "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(4.8 * len(comparisons) + 0.6, 6.6), layout="constrained", facecolor="white")
        panels = figure.subplots(2, len(comparisons), squeeze=False, sharex="col", sharey="row")
        for column, comparison in enumerate(comparisons):
            _draw_hit_rate(panels[0][column], comparison)
            _draw_keys_read(panels[1][column], comparison)
        panels[0][0].set_ylabel("hit rate")
        panels[1][0].set_ylabel("keys read of the source (log scale)")
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw_hit_rate(panel: Axes, comparison: Comparison) -> None:
    stream = comparison.stream
    size = f"{len(stream.lookups):,} lookups, {len(stream.table):,} keys, cache of {comparison.capacity:,}"
    panel.set_title(f"{stream.title}\n{size}", fontsize=10)
    _draw_lines(panel, comparison, lambda result: result.hit_rate)
    evicting, baseline = comparison.evicting[0].hit_rate, comparison.baseline.hit_rate
    _annotate(panel, evicting, f"{evicting:.1%}", below=evicting < baseline)
    _annotate(panel, baseline, f"{baseline:.1%}", _BASELINE, below=evicting >= baseline)
    panel.set_ylim(0.0, 1.05)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0))


def _draw_keys_read(panel: Axes, comparison: Comparison) -> None:
    panel.set_yscale("log")
    _draw_lines(panel, comparison, lambda result: result.source_keys)
    worst = comparison.evicting[0]
    _annotate(panel, worst.source_keys, f"{times(worst, comparison.baseline):,.0f} times the baseline")
    panel.margins(y=0.12)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda keys, _: f"{keys:,.0f}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("share of misses that starts a backfill")


def _draw_lines(panel: Axes, comparison: Comparison, figure_of: Callable[[Result], float]) -> None:
    thresholds = [result.case.threshold for result in comparison.evicting]
    places = range(len(thresholds))
    for label, results, color, marker in (
        ("backfill may evict", comparison.evicting, _EVICTING, "o"),
        ("backfill in free room only (default)", comparison.in_free_room, _FREE_ROOM, "s"),
    ):
        figures = [figure_of(result) for result in results]
        panel.plot(places, figures, color=color, marker=marker, markersize=5, label=label)
    panel.axhline(figure_of(comparison.baseline), color=_BASELINE, linestyle=(0, (4, 3)), label="no backfill")
    panel.set_xticks(places, [f"{threshold:g}" if threshold else "0\n(refused)" for threshold in thresholds])
    panel.grid(axis="y", color="#e4e4e4")
    panel.set_axisbelow(True)


def _annotate(panel: Axes, height: float, text: str, color: str = _EVICTING, *, below: bool = False) -> None:
    """Write ``text`` beside the point at the first threshold."""
    panel.annotate(
        text,
        (0, height),
        xytext=(-4, -7 if below else 7),
        textcoords="offset points",
        va="top" if below else "bottom",
        color=color,
        fontsize=9,
    )
