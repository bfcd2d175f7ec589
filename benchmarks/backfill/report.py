"""The results as a table, as reached or missed goals, and as JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.scaling.rounds import spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.backfill.experiment import Results, Run
    from benchmarks.backfill.measuring import Contender

_TITLES: Final[dict[Contender, str]] = {
    "limit": "limit: {receiver}",
    "naive": "naive: pipelines",
    "unguarded": 'ours, guard="none"',
    "ours": "ours: copy_rows",
}
_OTHERS: Final[tuple[Contender, ...]] = ("limit", "naive", "unguarded")
_MEGABYTE: Final = 1_000_000
_WIDTH: Final = 150


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal, the measured figure, and whether it is enough."""

    text: str
    measured: float
    is_reached: bool


def goals(results: Results) -> list[Goal]:
    """Judge the medians of the rounds, and the memory of the large copy."""
    of_limit = statistics.median(results.ratios("ours", "limit"))
    of_naive = statistics.median(results.ratios("ours", "naive"))
    of_unguarded = statistics.median(results.ratios("ours", "unguarded"))
    found = [
        Goal("at least 0.6 of the limit", of_limit, of_limit >= 0.6),
        Goal("at least 4 times the naive copy", of_naive, of_naive >= 4.0),
        Goal("at least 0.8 of the copy without its guard", of_unguarded, of_unguarded >= 0.8),
    ]
    if results.large is not None and results.large.copying.peak_bytes is not None:
        peak = results.large.copying.peak_bytes / _MEGABYTE
        text = f"at {results.large.copying.rows:,} rows less than 150 MB of memory"
        found.append(Goal(text, peak, peak < 150.0))
    return found


def print_results(results: Results, receiver: str, out: TextIO) -> None:
    """Print a table of the contenders, and the goals."""
    table = Table(box=MARKDOWN)
    table.add_column(f"{results.rows:,} rows")
    heads = (
        "rows/s",
        "middle half",
        "of the limit",
        "its own",
        "its programs",
        "PostgreSQL",
        "Redis",
        "others",
        "memory",
    )
    for head in heads:
        table.add_column(head, justify="right")
    for contender, runs in results.runs.items():
        ratio = statistics.median(results.ratios(contender, "limit"))
        table.add_row(
            _TITLES[contender].format(receiver=receiver), *_figures(runs), f"{ratio:.2f}", *_used(runs)
        )
    if results.large is not None:
        large = [results.large]
        title = f"ours, {results.large.copying.rows:,} rows"
        table.add_row(title, f"{results.large.rate:,.0f}", "", "", *_used(large))
    console = Console(file=out, width=_WIDTH)
    console.print(table)
    console.print(
        "From its own to Redis: microseconds of processor time a row, of the Python process, of programs it "
        "runs, of the servers. Others: cores that were busy with anything else. "
        f"{len(results.runs['ours'])} of {results.measured} rounds, the least disturbed ones.",
        soft_wrap=True,
    )
    for goal in goals(results):
        verdict = "reached" if goal.is_reached else "MISSED"
        console.print(f"{verdict}: {goal.text}: {goal.measured:.2f}")
    for other in _OTHERS:
        if (share := results.work_ratio("ours", other)) is not None:
            console.print(f"in processor time, whatever else the machine does: {share:.2f} of {other}")


def encode(results: Results, receiver: str, machine: str) -> str:
    """Return all figures as JSON."""
    document = {
        "machine": machine,
        "rows": results.rows,
        "rounds": len(results.runs["ours"]),
        "rounds_measured": results.measured,
        "receiver_of_the_limit": receiver,
        "contenders": {name: _document(runs) for name, runs in results.runs.items()},
        "ratios": {
            f"ours to {other}": {
                **_spread(results.ratios("ours", other)),
                "in_processor_time": results.work_ratio("ours", other),
            }
            for other in _OTHERS
        },
        "large": None
        if results.large is None
        else {"rows": results.large.copying.rows, **_document([results.large])},
        "goals": [
            {"goal": goal.text, "measured": goal.measured, "reached": goal.is_reached}
            for goal in goals(results)
        ],
    }
    return f"{json.dumps(document, indent=1)}\n"


def _figures(runs: Sequence[Run]) -> tuple[str, str]:
    rates = spread([run.rate for run in runs])
    return f"{rates.median:,.0f}", f"{rates.low:,.0f} to {rates.high:,.0f}"


_USES: Final[dict[str, Callable[[Run], float | None]]] = {
    "own": lambda run: run.copying.own_seconds,
    "programs": lambda run: run.copying.programs_seconds,
    "postgres": lambda run: run.postgres_seconds,
    "redis": lambda run: run.redis_seconds,
}


def _middle(runs: Sequence[Run], of: Callable[[Run], float | None]) -> float | None:
    figures = [found for run in runs if (found := of(run)) is not None]
    return statistics.median(figures) if figures else None


def _peak(runs: Sequence[Run]) -> int | None:
    return max((run.copying.peak_bytes for run in runs if run.copying.peak_bytes is not None), default=None)


def _used(runs: Sequence[Run]) -> list[str]:
    rows = runs[0].copying.rows
    each = [_middle(runs, of) for of in _USES.values()]
    peak = _peak(runs)
    return [
        *("" if seconds is None else f"{seconds / rows * 1e6:.2f}" for seconds in each),
        "" if (others := _middle(runs, lambda run: run.others)) is None else f"{others:.2f}",
        "" if peak is None else f"{peak / _MEGABYTE:.0f} MB",
    ]


def _document(runs: Sequence[Run]) -> dict[str, object]:
    return {
        "rows_per_second": _spread([run.rate for run in runs]),
        "processor_seconds": {name: _middle(runs, of) for name, of in _USES.items()},
        "cores_busy_with_others": _middle(runs, lambda run: run.others),
        "peak_bytes": _peak(runs),
    }


def _spread(figures: Sequence[float]) -> dict[str, float]:
    if len(figures) == 1:
        return {"median": figures[0]}
    found = spread(figures)
    return {"median": found.median, "low": found.low, "high": found.high}
