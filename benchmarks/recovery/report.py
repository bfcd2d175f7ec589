"""The tables and the JSON of the results."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.table import Table

from async_backfill.stores._eviction.orders import EVICTIONS
from benchmarks.recovery.experiment import FEW, GOAL, HELPS, ROOMS, Case
from benchmarks.recovery.kinds import NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.recovery.service import Served

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of the cases that count, of one group, a kind of restart meets the goal in.

    ``times``
        the calls, in those of a cache never emptied.
    ``keys``
        the keys read, in those of a cold cache.
    """

    name: str
    group: str
    cases: int
    met: int
    times_mean: float
    times_median: float
    keys_median: float
    keys_p90: float

    def __str__(self) -> str:
        return f"{self.met}/{self.cases} {self.times_mean:.2f}"


def shares(cases: Sequence[Case]) -> list[Share]:
    """Return a share for each kind of restart, of all cases, and by order, by room and by trace."""
    found = []
    for name in NAMES:
        groups: dict[str, list[Case]] = {ALL: []}
        groups |= {order: [] for order in EVICTIONS} | {_percent(room): [] for room in ROOMS}
        for case in cases:
            if case.counts and name in case.runs:
                for group in (ALL, case.eviction, _percent(case.room), case.trace):
                    groups.setdefault(group, []).append(case)
        found += [_share(name, group, those) for group, those in groups.items() if those]
    return found


def print_cases(cases: Sequence[Case], stream: TextIO) -> None:
    """Print in how many cases each kind of restart meets the goal, and what it costs."""
    found = {(share.name, share.group): share for share in shares(cases)}
    traces = list(dict.fromkeys(case.trace for case in cases))
    counted = sum(case.counts for case in cases)
    line = (
        f"{counted} of {len(cases)} cases count: there a cache never emptied makes at most {HELPS} of a cold "
        f"one's calls. Goal: at most {GOAL} times its calls, or {FEW} more. Met/cases and mean:"
    )
    print(line, file=stream)
    console = Console(file=stream, highlight=False, width=200)
    costs = _table("", "met", "times: mean", "median", "keys read: median", "p90")
    for name in NAMES:
        if (share := found.get((name, ALL))) is not None:
            figures = (share.times_mean, share.times_median, share.keys_median, share.keys_p90)
            met = f"{share.met}/{share.cases} = {share.met / share.cases:.0%}"
            costs.add_row(name, met, *(f"{figure:.2f}" for figure in figures))
    console.print(costs)
    for groups in ((*EVICTIONS, *map(_percent, ROOMS)), traces):
        table = _table("", *groups)
        for name in NAMES:
            table.add_row(name, *(str(found.get((name, group), "")) for group in groups))
        console.print(table)


def print_served(served: Sequence[Served], stream: TextIO) -> None:
    """Print how long the requests took in each second after the restart."""
    for call in dict.fromkeys(one.call for one in served):
        those = [one for one in served if one.call == call]
        seconds = range(1, len(those[0].p99) + 1)
        headings = (*(f"s {second}" for second in seconds), "largest", "calls", "keys", "waited s")
        table = _table(f"p99 in ms, a source call {call * 1000:g} ms", *headings)
        for one in those:
            taken = (f"{seconds * 1000:.1f}" for seconds in (*one.p99, one.largest))
            table.add_row(one.name, *taken, f"{one.calls:,}", f"{one.keys:,}", f"{one.waited:.2f}")
        Console(file=stream, highlight=False, width=160).print(table)


def encode(cases: Sequence[Case], served: Sequence[Served]) -> str:
    """Return the results as JSON, one line a row; the same results give the same text."""
    parts = {
        "shares": [asdict(share) for share in shares(cases)],
        "service": [asdict(one) for one in served],
        "cases": [{**asdict(case), "counts": case.counts} for case in cases],
    }
    texts = []
    for part, rows in parts.items():
        lines = ",\n".join(json.dumps(row) for row in rows)
        texts.append(f'"{part}": [\n{lines}\n]' if lines else f'"{part}": []')
    return "{\n" + ",\n".join(texts) + "\n}\n"


def _share(name: str, group: str, cases: Sequence[Case]) -> Share:
    times = [case.times(name) for case in cases]
    keys = sorted(case.keys_read(name) for case in cases)
    return Share(
        name=name,
        group=group,
        cases=len(cases),
        met=sum(case.meets(name) for case in cases),
        times_mean=round(statistics.fmean(times), 3),
        times_median=round(statistics.median(times), 3),
        keys_median=round(statistics.median(keys), 3),
        keys_p90=round(keys[int(0.9 * len(keys))], 3),
    )


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _percent(share: float) -> str:
    return f"{share:.0%}"
