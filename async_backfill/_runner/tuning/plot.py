"""Plot the trials: source calls against memory, with a line through those worth choosing."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from async_backfill.stores._eviction.orders import EVICTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from async_backfill._runner.tuning.report import Tuning

_COLORS: Final = ("#8a8a8a", "#1f6f8b", "#7a9a3a", "#d59a2c")
_CHOSEN: Final = "#c8432b"


def draw(tuning: Tuning) -> bytes:
    """Return the plot of ``tuning`` as SVG; the same trials give the same bytes."""
    picture = BytesIO()
    with rc_context({"svg.hashsalt": "tune", "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8.0, 5.0), layout="constrained", facecolor="white")
        panel = figure.subplots()
        _draw_trials(panel, tuning)
        _draw_chosen(panel, tuning)
        panel.set_title(f"{tuning.lookups:,} lookups, {tuning.keys:,} keys", fontsize=10)
        panel.set_xlabel("entries held at most")
        panel.set_ylabel("source calls")
        panel.legend(frameon=False)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
            axis.set_minor_formatter(NullFormatter())
        figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": None})
    return picture.getvalue()


def _draw_trials(panel: Axes, tuning: Tuning) -> None:
    panel.set_xscale("symlog", linthresh=1)
    for eviction, color in zip(EVICTIONS, _COLORS, strict=True):
        tried = [result for result in tuning.tried if result.settings.eviction == eviction]
        entries, calls = [each.entries for each in tried], [each.source_calls for each in tried]
        if tried:
            panel.plot(entries, calls, "o", color=color, markersize=4, alpha=0.7, label=eviction)
    panel.plot(
        tuning.own.entries,
        tuning.own.source_calls,
        "s",
        color="black",
        fillstyle="none",
        label="the scenario",
    )


def _draw_chosen(panel: Axes, tuning: Tuning) -> None:
    entries = [result.entries for result in tuning.chosen]
    calls = [result.source_calls for result in tuning.chosen]
    panel.plot(
        entries,
        calls,
        color=_CHOSEN,
        marker="o",
        markersize=7,
        fillstyle="none",
        drawstyle="steps-post",
        label="worth choosing",
    )
    panel.margins(x=0.08, y=0.12)
    panel.set_ylim(bottom=0)
    panel.grid(color="#e4e4e4")
    panel.set_axisbelow(True)
