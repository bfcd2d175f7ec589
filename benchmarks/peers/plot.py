"""All workloads in one picture: a panel each, a bar for each contender."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

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
    shown = [result for result in results if result.rows and result.baseline is not None]
    if not shown:
        return
    lines = -(-len(shown) // _COLUMNS)
    with rc_context({"svg.hashsalt": "peers", "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11.0, 4.0 * lines), layout="constrained", facecolor="white")
        panels = figure.subplots(lines, _COLUMNS, squeeze=False).flat
        for panel, result in zip(panels, shown, strict=False):
            _draw(panel, result)
        for panel in panels:
            panel.set_axis_off()
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw(panel: Axes, result: Result) -> None:
    panel.set_title(f"{result.workload}\n{result.summary}", fontsize=8, loc="left")
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
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.tick_params(axis="x", labelsize=7)


def _color(row: Row) -> str:
    if row.is_floor:
        return _FLOOR
    return _OURS if row.is_ours else _OTHERS
