"""Plot what a lookup costs the source, the far tier and other processes, over the size of the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks.fleet.report import MEASURES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.fleet.counts import Counts

_COLORS: Final = ("#999999", "#1f6f8b", "#d9a441", "#c8432b", "#7a5c99", "#6b8e4e")


def draw(results: Mapping[int, Mapping[str, Counts]], path: Path) -> None:
    """Write the picture to ``path`` as SVG; the same results give the same bytes."""
    with rc_context(
        {
            "svg.hashsalt": "fleet",
            "svg.fonttype": "none",
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        figure = Figure(figsize=(12.0, 3.4), layout="constrained", facecolor="white")
        panels = figure.subplots(1, len(MEASURES))
        for panel, (name, measure) in zip(panels, MEASURES.items(), strict=True):
            for color, phase in zip(_COLORS, next(iter(results.values())), strict=True):
                points = [
                    (size, measure(phases[phase]) / max(1, phases[phase].lookups))
                    for size, phases in results.items()
                ]
                panel.plot(*zip(*points, strict=True), color=color, marker="o", markersize=4, label=phase)
            panel.set_xscale("log")
            panel.set_xlabel("processes")
            panel.set_title(f"{name} a lookup", fontsize=10)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
