"""The results of a workload: costs by round, and counts."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Unit: TypeAlias = Literal["seconds a lookup", "seconds", "bytes an entry", "objects"]


@dataclass(frozen=True)
class Sample:
    """One trial: its cost and its counts."""

    cost: float
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """The median of some figures, and their quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.median:.3g}"
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True)
class Row:
    """All trials of one contender, one for each round.

    ``remark``
        what it lacks to be a cache with a bound.
    """

    title: str
    samples: Sequence[Sample]
    is_ours: bool = False
    is_floor: bool = False
    remark: str = ""

    @property
    def cost(self) -> Spread:
        """The cost of a trial."""
        return spread([sample.cost for sample in self.samples])

    def times(self, other: Row) -> Spread:
        """Return the cost as a multiple of the cost of ``other``, by round."""
        pairs = zip(self.samples, other.samples, strict=False)
        return spread([mine.cost / theirs.cost for mine, theirs in pairs])

    def fact(self, name: str) -> float:
        """Return the count ``name``: the median of the rounds."""
        return statistics.median(sample.facts[name] for sample in self.samples)

    @property
    def facts(self) -> dict[str, float]:
        """All that was counted."""
        return {name: self.fact(name) for name in self.samples[0].facts}


@dataclass(frozen=True)
class Result:
    """A workload and its rows; ``absent`` has the reason why a contender has no row."""

    workload: str
    summary: str
    unit: Unit
    baseline: str | None
    rows: Sequence[Row]
    absent: Mapping[str, str]

    def row(self, title: str) -> Row | None:
        """Return the row of ``title``, if it took part."""
        return next((row for row in self.rows if row.title == title), None)

    def times(self, row: Row) -> Spread | None:
        """Return the cost of ``row`` as a multiple of the baseline's."""
        baseline = None if self.baseline is None else self.row(self.baseline)
        return None if baseline is None else row.times(baseline)

    def ranked(self) -> list[Row]:
        """Return the rows in ascending order of cost, relative to the baseline if there is one."""
        baseline = None if self.baseline is None else self.row(self.baseline)
        if baseline is None:
            return sorted(self.rows, key=lambda row: row.cost.median)
        return sorted(self.rows, key=lambda row: row.times(baseline).median)


def spread(figures: Sequence[float]) -> Spread:
    """Return the median and the quartiles of ``figures``, at least one."""
    if len(figures) == 1:
        return Spread(figures[0], figures[0], figures[0])
    low, median, high = statistics.quantiles(figures, n=4, method="inclusive")
    return Spread(median, low, high)
