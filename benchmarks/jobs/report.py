"""The results as a table, as reached or missed goals, and as JSON."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Final, TextIO

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.backfill.report import Goal
from benchmarks.jobs.experiment import seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.jobs.copies import Contender, Timed
    from benchmarks.jobs.experiment import Measure, Results

_TITLES: Final[dict[Contender, str]] = {
    "unguarded": 'copy_rows, guard="none"',
    "guarded": "copy_rows",
    "job": "job",
    "job, no state": "job, checkpoints to a state that keeps nothing",
}
_BY: Final[tuple[Measure, ...]] = ("processor time", "clock")
_MEGABYTE: Final = 1_000_000
_WIDTH: Final = 150


def goals(results: Results) -> list[Goal]:
    """Judge the medians of the rounds, by processor time, and the memory of the large job."""
    of_unguarded = _middle(results.ratios("job", "unguarded", "processor time"))
    of_nothing = _middle(results.ratios("job", "job, no state", "processor time"))
    share = results.checkpoint_share()
    found = [
        Goal("at least 0.75 of the copy without guard and state", of_unguarded, of_unguarded >= 0.75),
        Goal("at least 0.97 of a job that keeps nothing", of_nothing, of_nothing >= 0.97),
        Goal("checkpoints take at most 0.03 of its processor time", share, share <= 0.03),
    ]
    if results.large is not None and results.large.peak_bytes is not None:
        peak = results.large.peak_bytes / _MEGABYTE
        found.append(Goal(f"at {results.large.rows:,} rows less than 200 MB of memory", peak, peak < 200.0))
    return found


def print_results(results: Results, out: TextIO) -> None:
    """Print a table of the contenders, and the goals."""
    table = Table(box=MARKDOWN)
    table.add_column(f"{results.place}, {results.rows:,} rows")
    for head in ("rows/s of processor time", "of the first", "rows/s", "of the first", "pages", "memory"):
        table.add_column(head, justify="right")
    for name, runs in results.runs.items():
        table.add_row(_TITLES[name], *_figures(results, name, runs, verified=False))
        if name == "job":
            table.add_row("job, until a sample is verified", *_figures(results, name, runs, verified=True))
    if results.large is not None:
        large = [results.large]
        table.add_row(f"job, {results.large.rows:,} rows", *_rates(large), *_used(large))
    console = Console(file=out, width=_WIDTH)
    console.print(table)
    cost, by_clock = (1e3 * each for each in results.checkpoint)
    console.print(
        f"A checkpoint: {cost:.3f} ms of processor time, {by_clock:.3f} ms by the clock. Medians of "
        f"{len(results.runs['job'])} rounds; processor time is that of all processes.",
        soft_wrap=True,
    )
    for goal in goals(results):
        verdict = "reached" if goal.is_reached else "MISSED"
        console.print(f"{verdict}: {goal.text}: {goal.measured:.3f}", soft_wrap=True)


def encode(all_results: Sequence[Results], machine: str) -> str:
    """Return all figures as JSON."""
    return (
        f"{json.dumps({'machine': machine, 'places': [_document(one) for one in all_results]}, indent=1)}\n"
    )


def _document(results: Results) -> dict[str, object]:
    return {
        "place": results.place,
        "rows": results.rows,
        "rounds": len(results.runs["job"]),
        "contenders": {
            name: {
                "rows_per_second": {by: _rate(runs, by) for by in _BY},
                "own_seconds": _middle([run.used.own for run in runs]),
                "servers_seconds": _middle([run.used.servers for run in runs]),
                "pages": runs[-1].pages,
                "peak_bytes": _peak(runs),
                "ratios_to_unguarded": {by: results.ratios(name, "unguarded", by) for by in _BY},
            }
            for name, runs in results.runs.items()
        },
        "verified": {by: results.ratios("job", "unguarded", by, verified=True) for by in _BY},
        "ratios_to_guarded": {by: results.ratios("job", "guarded", by) for by in _BY},
        "ratios_to_no_state": {by: results.ratios("job", "job, no state", by) for by in _BY},
        "checkpoint_seconds": dict(zip(_BY, results.checkpoint, strict=True)),
        "checkpoint_share": results.checkpoint_share(),
        "large": None
        if results.large is None
        else {
            "rows": results.large.rows,
            "seconds": results.large.used.clock,
            "peak_bytes": results.large.peak_bytes,
        },
        "goals": [
            {"goal": goal.text, "measured": goal.measured, "reached": goal.is_reached}
            for goal in goals(results)
        ],
    }


def _figures(results: Results, name: Contender, runs: Sequence[Timed], *, verified: bool) -> list[str]:
    row: list[str] = []
    for by in _BY:
        rate = _rate(runs, by, verified=verified)
        ratio = _middle(results.ratios(name, "unguarded", by, verified=verified))
        row += [f"{rate:,.0f}", f"{ratio:.2f}"]
    return row + _used(runs)


def _rates(runs: Sequence[Timed]) -> list[str]:
    return [f"{_rate(runs, 'processor time'):,.0f}", "", f"{_rate(runs, 'clock'):,.0f}", ""]


def _used(runs: Sequence[Timed]) -> list[str]:
    peak = _peak(runs)
    return [f"{runs[-1].pages:,}", "" if peak is None else f"{peak / _MEGABYTE:.0f} MB"]


def _rate(runs: Sequence[Timed], by: Measure, *, verified: bool = False) -> float:
    return _middle([run.rows / seconds(run, by, verified=verified) for run in runs])


def _peak(runs: Sequence[Timed]) -> int | None:
    return max((run.peak_bytes for run in runs if run.peak_bytes is not None), default=None)


def _middle(figures: Sequence[float]) -> float:
    return statistics.median(figures)
