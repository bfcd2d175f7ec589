"""Plot the hit rate before and after a restart, one panel for each trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from benchmarks.recovery.experiment import STRIDE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.recovery.experiment import Restart, Way

_STYLES: Final[dict[Way, tuple[str, str]]] = {
    "never restarted": ("#999999", "--"),
    "no backfill": ("#c8432b", "-"),
    "source order": ("#d9a441", "-"),
    "history": ("#1f6f8b", "-"),
}
_BEFORE: Final = 10


def draw(results: Sequence[Restart], path: Path) -> None:
    """Write the picture to ``path`` as SVG; the same results give the same bytes."""
    with rc_context({"svg.hashsalt": "recovery", "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(4.6 * len(results) + 0.6, 3.6), layout="constrained", facecolor="white")
        panels = figure.subplots(1, len(results), squeeze=False, sharey="row")[0]
        for panel, result in zip(panels, results, strict=True):
            _draw(panel, result)
        panels[0].set_ylabel(f"hit rate of each {STRIDE} lookups")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw(panel: Axes, result: Restart) -> None:
    panel.set_title(f"{result.trace}, {result.eviction}, {result.capacity:,} entries", fontsize=10)
    for run in result.runs:
        color, style = _STYLES[run.way]
        rates = run.hit_rates[: _BEFORE + 20]
        places = [(number - _BEFORE + 0.5) * STRIDE for number in range(len(rates))]
        panel.plot(places, rates, color=color, linestyle=style, label=run.way)
    panel.axvline(0, color="#333333", linewidth=0.8)
    panel.set_xlabel("lookups after the restart")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda lookups, _: f"{lookups:,.0f}"))
    panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    panel.grid(axis="y", color="#e4e4e4")
