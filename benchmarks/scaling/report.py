"""The tables and the JSON of the results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.scaling.rounds import Point
    from benchmarks.scaling.tails import Tail


@dataclass(slots=True)
class Results:
    """All that was measured, and in a line each what was not."""

    points: list[Point] = field(default_factory=list)
    tails: list[Tail] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def print_results(results: Results, stream: TextIO) -> None:
    """Print the cost of each operation at each size, and of the slowest ones."""
    console = Console(file=stream, highlight=False, width=160)
    for sizes in sorted({_sizes(results.points, what) for what in _distinct(results.points)}):
        console.print(_means(results.points, sizes))
    if results.tails:
        console.print(_slowest(results.tails))
    for line in results.skipped:
        console.print(line)


def encode(results: Results, machine: str) -> str:
    """Return the results as JSON; times are nanoseconds."""
    return json.dumps({"machine": machine, **asdict(results)}, indent=1) + "\n"


def duration(nanoseconds: float) -> str:
    """Return ``nanoseconds`` in a unit that keeps the number short."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def _means(points: Sequence[Point], sizes: tuple[int, ...]) -> Table:
    """Return the table of what was measured at ``sizes``."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), title_justify="left")
    table.title = (
        "one operation: its time, and in times of the floor; growth: the last of these over the least"
    )
    for heading in ("operation", "cache", *(f"{size:,}" for size in sizes), "growth"):
        table.add_column(heading, justify="left" if heading in {"operation", "cache"} else "right")
    for what in _distinct(points):
        if _sizes(points, what) != sizes:
            continue
        for who in dict.fromkeys(point.who for point in points if point.what == what):
            row = {point.size: point for point in points if (point.what, point.who) == (what, who)}
            cells = (
                f"{duration(row[size].cost.median)} x{row[size].ratio.median:.2f}" if size in row else ""
                for size in sizes
            )
            ratios = [point.ratio.median for point in row.values()]
            table.add_row(what, who, *cells, f"{ratios[-1] / min(ratios):.2f}")
    return table


def _slowest(tails: Sequence[Tail]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), title_justify="left")
    table.title = "processor time of single operations: median, 99.9th percentile, slowest; and the floor's"
    for heading in ("operation", "cache", "entries", "of", "median", "99.9 %", "slowest", *["floor"] * 3):
        table.add_column(heading, justify="left" if heading in {"operation", "cache"} else "right")
    for tail in tails:
        figures = (
            duration(figure)
            for slowest in (tail.cost, tail.floor)
            for figure in (slowest.median, slowest.high, slowest.worst)
        )
        table.add_row(tail.what, tail.who, f"{tail.size:,}", f"{tail.cost.count:,}", *figures)
    return table


def _distinct(points: Iterable[Point]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(point.what for point in points))


def _sizes(points: Iterable[Point], what: str) -> tuple[int, ...]:
    return tuple(sorted({point.size for point in points if point.what == what}))
