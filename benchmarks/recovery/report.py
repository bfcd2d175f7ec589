"""The tables and the JSON of the results."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.table import Table

from benchmarks.recovery.experiment import GOAL, MOMENTS, WAYS, Restart

if TYPE_CHECKING:
    from collections.abc import Sequence


def print_restarts(results: Sequence[Restart], stream: TextIO) -> None:
    """Print the calls of each way in the 5,000 lookups after the restart, relative to no restart."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in ("trace", "capacity", "order", "helps", "never", *WAYS[1:], "hit rate after 1,000"):
        table.add_column(heading, justify="left" if heading in {"trace", "order"} else "right")
    for result in results:
        never = result.run("never restarted")
        rates = " / ".join(f"{result.run(way).hits.get(MOMENTS[0], 0.0):.3f}" for way in WAYS)
        table.add_row(
            result.trace,
            f"{result.fraction:.0%} = {result.capacity:,}",
            result.eviction,
            "yes" if result.helps else "",
            f"{never.calls.get(MOMENTS[1], 0):,}",
            *(_times(result.times(way)) for way in WAYS[1:]),
            rates,
        )
    Console(file=stream, highlight=False, width=160).print(table)


def verdict(results: Sequence[Restart]) -> str:
    """Return in one line whether history keeps its promise where a cache helps."""
    helped = [result for result in results if result.helps]
    times = {f"{one.trace} {one.fraction:.0%} {one.eviction}": one.times("history") or 0.0 for one in helped}
    missed = {name: factor for name, factor in times.items() if factor > GOAL}
    kept = f"history within {GOAL} of a cache never restarted in {len(helped) - len(missed)} of {len(helped)}"
    return kept + (
        f"; missed: {', '.join(f'{name} {factor:.2f}' for name, factor in missed.items())}" if missed else ""
    )


def encode(results: Sequence[Restart]) -> str:
    """Return the results as JSON; the same results give the same text."""
    return json.dumps([{**asdict(result), "helps": result.helps} for result in results], indent=1) + "\n"


def _times(factor: float | None) -> str:
    return "" if factor is None else f"{factor:.2f}"
