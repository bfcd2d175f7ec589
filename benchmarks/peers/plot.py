"""Plot all workloads: one panel for each, one bar for each contender."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.peers.results import Result, Row

_COLUMNS: Final = 2
_OURS: Final = "#1f6f8b"
_FLOOR: Final = "#999999"
_OTHERS: Final = "#d9a441"


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the picture to ``path`` as SVG; the same results give the same bytes."""
    # All that matters about the slow load is a count.
    shown = [
        result for result in results if result.rows and result.baseline and result.workload != "slow-load"
    ]
    if not shown:
        return
    lines = [shown[start : start + _COLUMNS] for start in range(0, len(shown), _COLUMNS)]
    heights = [1.2 + 0.16 * max(len(result.rows) for result in line) for line in lines]
    with rc_context(
        {
            "svg.hashsalt": "peers",
            "svg.fonttype": "none",  # as outlines, the many names are half a megabyte
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        figure = Figure(figsize=(11.0, sum(heights)), layout="constrained", facecolor="white")
        panels = figure.subplots(
            len(lines), _COLUMNS, squeeze=False, gridspec_kw={"height_ratios": heights}
        ).ravel()
        for panel, result in zip(panels, shown, strict=False):
            _draw(panel, result)
        for panel in panels[len(shown) :]:
            panel.set_axis_off()
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw(panel: Axes, result: Result) -> None:
    panel.set_title(f"{result.workload}\n{result.summary}", fontsize=7, loc="left")
    rows = result.ranked()[::-1]
    places = range(len(rows))
    spreads = [result.times(row) for row in rows]
    medians = [each.median for each in spreads if each is not None]
    panel.set_xscale("log")
    panel.barh(places, medians, color=[_color(row) for row in rows])
    for place, median in zip(places, medians, strict=True):
        panel.annotate(
            f"{median:.3g}",
            (median, place),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    panel.set_yticks(places, [row.title.replace("async_backfill", "ours:") for row in rows], fontsize=7)
    panel.set_xlabel(f"times {result.baseline} (log scale)", fontsize=8)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda times, _: f"{times:g}"))
    panel.minorticks_off()
    panel.tick_params(axis="x", labelsize=7)


def _color(row: Row) -> str:
    if row.is_floor:
        return _FLOOR
    return _OURS if row.is_ours else _OTHERS
