"""Plot nanoseconds per operation over the size, beside the floor; one panel for each kind of work."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.scaling.all_hit import ALL_HIT
from benchmarks.scaling.crowds import INVALIDATE, PUT, WAITERS
from benchmarks.scaling.many import COLD, WARM
from benchmarks.scaling.sizes import FREE, FULL, HIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.scaling.report import Results

_COLORS: Final = {"fifo": "#1f6f8b", "lru": "#c8432b", "sieve": "#d9a441", "s3-fifo": "#6b8e4e"}
_CACHE: Final = "#1f6f8b"
_FLOOR: Final = "#999999"
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
_SLOWEST: Final = (FREE, FULL, ALL_HIT)


def draw(results: Results, path: Path) -> None:
    """Write the picture to ``path`` as SVG; the same results give the same bytes."""
    hits = [point for point in results.points if point.what == HIT]
    with rc_context({"svg.hashsalt": "scaling", "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(12.4, 7.5), layout="constrained", facecolor="white")
        panels = list(figure.subplots(3, 4).flat)
        for panel, (what, unit) in zip(panels, _MEANS.items(), strict=False):
            points = [point for point in results.points if point.what == what]
            costs = [(point.who, point.size, point.cost.median) for point in points]
            _draw(panel, what, unit, costs, [(point.size, point.floor.median) for point in points])
        for panel, what in zip(panels[len(_MEANS) :], _SLOWEST, strict=False):
            tails = [tail for tail in results.tails if tail.what == what]
            worst = [(tail.who, tail.size, tail.cost.worst) for tail in tails]
            _draw(
                panel, f"slowest {what}", "entries", worst, [(tail.size, tail.floor.worst) for tail in tails]
            )
        ratios = [(point.who, point.size, point.ratio.median) for point in hits]
        _draw(
            panels[-1], f"{HIT}, in times of the floor", "entries", ratios, [(one.size, 1.0) for one in hits]
        )
        panels[-1].set_ylabel("")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw(
    panel: Axes,
    title: str,
    unit: str,
    costs: Sequence[tuple[str, int, float]],
    floors: Sequence[tuple[int, float]],
) -> None:
    """Draw a line for each contender in ``costs``, and one for the median of ``floors``."""
    panel.set_title(title, fontsize=8)
    panel.set_xscale("log")
    panel.set_yscale("log")
    for who in dict.fromkeys(who for who, *_ in costs):
        line = [(size, figure) for whose, size, figure in costs if whose == who]
        panel.plot(*zip(*line, strict=True), color=_COLORS.get(who, _CACHE), marker=".", label=who)
    by_size: dict[int, list[float]] = {}
    for size, figure in floors:
        by_size.setdefault(size, []).append(figure)
    medians = [statistics.median(figures) for figures in by_size.values()]
    panel.plot(list(by_size), medians, color=_FLOOR, linestyle="--", marker=".", label="floor")
    figures = [*medians, *(figure for *_, figure in costs)]
    if figures:  # a decade at least, or noise looks like a mountain
        panel.set_ylim(10 ** (_decade(min(figures)) - 0.1), 10 ** (_decade(max(figures)) + 1.1))
    panel.set_xlabel(unit, fontsize=8)
    panel.set_ylabel("ns each", fontsize=8)
    panel.tick_params(labelsize=7)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_minor_locator(NullLocator())
    panel.grid(axis="y", color="#e4e4e4")


def _decade(figure: float) -> int:
    return len(str(int(figure))) - 1
