"""One panel for each kind of work: nanoseconds an operation over the size, beside the floor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.scaling.all_hit import ALL_HIT
from benchmarks.scaling.crowds import INVALIDATE, PUT, WAITERS
from benchmarks.scaling.many import COLD, WARM
from benchmarks.scaling.sizes import FREE, FULL, HIT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.scaling.report import Results

_COLORS: Final = {"fifo": "#1f6f8b", "lru": "#c8432b", "sieve": "#d9a441", "s3-fifo": "#6b8e4e"}
_CACHE: Final = "#1f6f8b"
_FLOOR: Final = "#999999"
_COLUMNS: Final = 4
_MEANS: Final = {
    HIT: "entries",
    FREE: "entries",
    FULL: "entries",
    WAITERS: "tasks",
    COLD: "keys in the call",
    WARM: "keys in the call",
    PUT: "keys loading",
    INVALIDATE: "keys loading",
}


def draw(results: Results, path: Path) -> None:
    """Write the picture to ``path`` as SVG; the same results give the same bytes."""
    worst = (FREE, FULL, ALL_HIT)
    rows = -(-(len(_MEANS) + len(worst)) // _COLUMNS)
    with rc_context({"svg.hashsalt": "scaling", "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(3.1 * _COLUMNS, 2.5 * rows), layout="constrained", facecolor="white")
        panels = list(figure.subplots(rows, _COLUMNS).flat)
        for panel, (what, unit) in zip(panels, _MEANS.items(), strict=False):
            points = [point for point in results.points if point.what == what]
            costs: dict[str, dict[int, float]] = {}
            for point in points:
                costs.setdefault(point.who, {})[point.size] = point.cost.median
            floor = {point.size: point.floor.median for point in points}
            _draw(panel, what, unit, costs, floor)
        for panel, what in zip(panels[len(_MEANS) :], worst, strict=False):
            tails = [tail for tail in results.tails if tail.what == what]
            slowest: dict[str, dict[int, float]] = {}
            for tail in tails:
                slowest.setdefault(tail.who, {})[tail.size] = tail.cost.worst
            floor = {tail.size: tail.floor.worst for tail in tails}
            _draw(panel, f"slowest {what}", "entries", slowest, floor)
        for panel in panels[len(_MEANS) + len(worst) :]:
            panel.remove()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw(
    panel: Axes, title: str, unit: str, costs: Mapping[str, Mapping[int, float]], floor: Mapping[int, float]
) -> None:
    panel.set_title(title, fontsize=8)
    panel.set_xscale("log")
    panel.set_yscale("log")
    for who, line in costs.items():
        color = _COLORS.get(who, _CACHE)
        panel.plot(list(line), list(line.values()), color=color, marker=".", linewidth=1.2, label=who)
    panel.plot(list(floor), list(floor.values()), color=_FLOOR, linestyle="--", marker=".", label="floor")
    figures = [value for line in (*costs.values(), floor) for value in line.values()]
    if figures:  # a decade at least, or noise looks like a mountain
        panel.set_ylim(10 ** (_decade(min(figures)) - 0.1), 10 ** (_decade(max(figures)) + 1.1))
    panel.set_xlabel(unit, fontsize=8)
    panel.set_ylabel("ns each", fontsize=8)
    panel.tick_params(labelsize=7)
    panel.xaxis.set_minor_locator(NullLocator())
    panel.grid(axis="y", color="#e4e4e4")


def _decade(figure: float) -> int:
    return len(str(int(figure))) - 1
