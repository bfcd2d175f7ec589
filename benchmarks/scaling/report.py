"""The tables and the JSON of the results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.scaling.rounds import Point
    from benchmarks.scaling.tails import Slowest, Tail

_SINGLE: Final = "processor time of single operations"
_ENOUGH: Final = 1_000
"""Operations of which a 99.9th percentile is one."""


@dataclass(slots=True)
class Results:
    """All measurements, and one line for each that is missing."""

    points: list[Point] = field(default_factory=list)
    tails: list[Tail] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def print_results(results: Results, stream: TextIO) -> None:
    """Print the cost of each operation at each size, and the slowest operations."""
    console = Console(file=stream, highlight=False, width=160)
    for sizes in sorted({_sizes(results.points, what) for what in _distinct(results.points)}):
        console.print(_means(results.points, sizes))
    many = [tail for tail in results.tails if tail.cost.count >= _ENOUGH]
    if many:
        title = f"{_SINGLE}: the 99.9th percentile, and that of the floor"
        console.print(_slowest(many, title, lambda slowest: slowest.high))
    if results.tails:
        title = f"{_SINGLE}: the slowest of all, and that of the floor"
        console.print(_slowest(results.tails, title, lambda slowest: slowest.worst))
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
    """Return the table of the costs at ``sizes``."""
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


def _slowest(tails: Sequence[Tail], title: str, figure: Callable[[Slowest], float]) -> Table:
    """Return the table of ``figure`` at each size, with the floor's in brackets."""
    sizes = sorted({tail.size for tail in tails})
    table = Table(box=None, pad_edge=False, padding=(0, 1), title_justify="left")
    table.title = title
    for heading in ("operation", "cache", *(f"{size:,}" for size in sizes)):
        table.add_column(heading, justify="left" if heading in {"operation", "cache"} else "right")
    for what, who in dict.fromkeys((tail.what, tail.who) for tail in sorted(tails, key=lambda one: one.what)):
        row = {tail.size: tail for tail in tails if (tail.what, tail.who) == (what, who)}
        cells = (
            f"{duration(figure(row[size].cost))} ({duration(figure(row[size].floor))})" if size in row else ""
            for size in sizes
        )
        table.add_row(what, who, *cells)
    return table


def _distinct(points: Iterable[Point]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(point.what for point in points))


def _sizes(points: Iterable[Point], what: str) -> tuple[int, ...]:
    return tuple(sorted({point.size for point in points if point.what == what}))
