"""The results as tables and as JSON; the same results give the same bytes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from benchmarks.thrashing.experiment import Comparison, Result, Settings

_WIDTH: Final = 120
_COLUMNS: Final = (
    "threshold",
    "hit rate",
    "backfills",
    "useful\nshare",
    "evicted by\nbackfills",
    "source\ncalls",
    "scan\npages",
    "keys read\nof source",
    "times the\nbaseline",
    "p50\nms",
    "p99\nms",
    "mean\nms",
)


def print_comparison(comparison: Comparison, stream: TextIO) -> None:
    """Print the results for one stream as a table, with the same width on every terminal."""
    table = Table(title=_heading(comparison), title_justify="left", box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    baseline = comparison.baseline
    table.add_row("none", *_cells(baseline, baseline))
    for heading, results in (
        ("may evict", comparison.evicting),
        ("free room", comparison.in_free_room),
    ):
        table.add_row()
        table.add_row(heading, style="bold")
        for result in results:
            table.add_row(f"{result.case.threshold:g}", *_cells(result, baseline))
    console = Console(file=stream, width=_WIDTH, highlight=False)
    console.print(table)
    console.print()


def encode(comparisons: Iterable[Comparison], settings: Settings) -> str:
    """Return the results and their settings as JSON, with no figure that depends on the machine."""
    streams = {comparison.stream.name: _facts(comparison) for comparison in comparisons}
    document = {"settings": asdict(settings), "streams": streams}
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def times(result: Result, baseline: Result) -> float:
    """Return the keys that ``result`` read from the source, as a multiple of those of ``baseline``."""
    return result.source_keys / baseline.source_keys


def _heading(comparison: Comparison) -> str:
    stream = comparison.stream
    return (
        f"{stream.title}: {len(stream.lookups):,} lookups, a table of {len(stream.table):,} keys, "
        f"a cache of {comparison.capacity:,}"
    )


def _cells(result: Result, baseline: Result) -> Sequence[str]:
    share = result.useful_share
    return (
        f"{result.hit_rate:.4f}",
        f"{result.backfills:,}",
        "-" if share is None else f"{share:.2%}",
        f"{result.evicted_by_backfill:,}",
        f"{result.source_calls:,}",
        f"{result.scan_pages:,}",
        f"{result.source_keys:,}",
        f"{times(result, baseline):,.2f}",
        f"{result.latency_p50:.3f}",
        f"{result.latency_p99:.3f}",
        f"{result.latency_mean:.3f}",
    )


def _facts(comparison: Comparison) -> dict[str, Any]:
    stream = comparison.stream
    baseline = comparison.baseline
    return {
        "lookups": len(stream.lookups),
        "table_keys": len(stream.table),
        "capacity": comparison.capacity,
        "no_backfill": _row(baseline, baseline),
        "may_evict": [_row(result, baseline) for result in comparison.evicting],
        "free_room": [_row(result, baseline) for result in comparison.in_free_room],
    }


def _row(result: Result, baseline: Result) -> dict[str, Any]:
    row = asdict(result)
    row["threshold"] = row.pop("case")["threshold"]
    row["times_the_baseline"] = times(result, baseline)
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
