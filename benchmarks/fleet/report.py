"""The tables and the JSON of the results."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.fleet.counts import Counts

    Phases = Mapping[str, Counts]

MEASURES: Final[Mapping[str, Callable[[Counts], int]]] = {
    "source calls": lambda counts: counts.source_calls,
    "far-tier calls": lambda counts: counts.far_calls,
    "invalidations heard": lambda counts: counts.messages,
    "permits asked for": lambda counts: counts.permit_calls,
}
FASTER: Final = 1.05
"""An exponent above this counts as growing faster than the traffic."""
_ENOUGH: Final = 20
"""What was counted less often than this has no exponent."""


def exponent(few: Counts, many: Counts, measure: Callable[[Counts], int]) -> float | None:
    """Return by which power of the traffic ``measure`` grows; ``None`` where there is too little of it.

    1.0 is as fast as the traffic, 0.0 is not at all, 2.0 is four times as much for twice the traffic.
    """
    if measure(few) < _ENOUGH or measure(many) < _ENOUGH or many.lookups <= few.lookups:
        return None
    return math.log(measure(many) / measure(few)) / math.log(many.lookups / few.lookups)


def print_fleet(results: Mapping[int, Phases], stream: TextIO) -> None:
    """Print what each size of the fleet did in each phase, and what grows faster than the traffic."""
    console = Console(file=stream, highlight=False, width=160)
    table = _table("for each 1,000 lookups; p99 and the slowest lookup in ms of virtual time")
    counted = ("backfills", "denied", "failed", "p99", "slowest")
    for name in ("phase", "processes", "lookups", *MEASURES, *counted):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for phase in next(iter(results.values())):
        for size, phases in results.items():
            counts = phases[phase]
            table.add_row(
                phase if size == min(results) else "",
                f"{size:,}",
                f"{counts.lookups:,}",
                *(f"{measure(counts) * 1000 / max(1, counts.lookups):,.0f}" for measure in MEASURES.values()),
                f"{counts.backfills:,}",
                f"{counts.denied:,}",
                f"{counts.failed:,}",
                f"{counts.slowest(0.99) * 1000:.0f}",
                f"{counts.slowest(1.0) * 1000:.0f}",
            )
    console.print(table)
    _, *others = sorted(results)  # one process alone shares nothing
    if len(others) > 1:
        console.print(_growth(results[others[0]], results[others[-1]], others[0], others[-1]))


def encode(results: Mapping[int, Phases], machine: str) -> str:
    """Return the results as JSON; times are virtual seconds."""
    sizes = {
        size: {name: _facts(counts) for name, counts in phases.items()} for size, phases in results.items()
    }
    return json.dumps({"machine": machine, "sizes": sizes}, indent=1) + "\n"


def _growth(few: Phases, many: Phases, first: int, last: int) -> Table:
    title = f"growth from {first:,} to {last:,} processes: 1.0 is as fast as the traffic, * is faster"
    table = _table(title)
    for name in ("phase", *MEASURES):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for phase, counts in few.items():
        powers = [exponent(counts, many[phase], measure) for measure in MEASURES.values()]
        table.add_row(phase, *map(_power, powers))
    return table


def _power(power: float | None) -> str:
    return "" if power is None else f"{power:.2f}{'*' if power > FASTER else ' '}"


def _table(title: str) -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 1), title_justify="left", title=title)


def _facts(counts: Counts) -> dict[str, float]:
    counted = {field.name: getattr(counts, field.name) for field in fields(counts) if field.name != "waits"}
    return {**counted, "p99": round(counts.slowest(0.99), 6), "slowest": round(counts.slowest(1.0), 6)}
