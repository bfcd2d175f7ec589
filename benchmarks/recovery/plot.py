"""Plot how long requests take in the seconds after a restart, one panel for each speed of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchmarks.recovery.service import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.recovery.service import Served

_OURS: Final = ("#1f6f8b", "#3aa0a8", "#0b3c5d", "#6b8e4e", "#7a5c99", "#2f4858")
_OTHERS: Final = ("#999999", "#c8432b", "#d9a441", "#a0522d", "#e07a5f", "#b5838d", "#6d6875")
_MARKERS: Final = ("o", "s", "^", "D", "v", "x", "+")


def draw(served: Sequence[Served], path: Path) -> None:
    """Write the picture to ``path`` as SVG; the same results give the same bytes."""
    calls = list(dict.fromkeys(one.call for one in served))
    with rc_context(
        {
            "svg.hashsalt": "recovery",
            "svg.fonttype": "none",
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        figure = Figure(figsize=(4.0 * len(calls) + 2.2, 3.6), layout="constrained", facecolor="white")
        panels = figure.subplots(1, len(calls), squeeze=False, sharey="row")[0]
        for panel, call in zip(panels, calls, strict=True):
            _draw(panel, [one for one in served if one.call == call])
        panels[0].set_ylabel("p99 of a request, ms (log scale)")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw(panel: Axes, served: Sequence[Served]) -> None:
    panel.set_title(f"a source call takes {served[0].call * 1000:g} ms", fontsize=10)
    for is_ours, colors in ((False, _OTHERS), (True, _OURS)):
        those = [one for one in served if one.name.startswith(OURS) is is_ours]
        for number, one in enumerate(those):
            panel.plot(
                range(1, len(one.p99) + 1),
                [seconds * 1000 for seconds in one.p99],
                color=colors[number % len(colors)],
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=4,
                linewidth=2.2 if is_ours else 1.2,
                linestyle="-" if is_ours else "--",
                label=one.name,
            )
    panel.set_yscale("log")
    panel.set_xlabel("second after the restart")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    panel.grid(axis="y", color="#e4e4e4")
