"""Kinds of claims about the figures of a workload; each can judge a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from benchmarks.peers.results import Result, Row


@dataclass(frozen=True)
class Judgement:
    """A measured figure as text, and whether it is enough."""

    text: str
    is_held: bool


class Claim(Protocol):
    """One claim of a goal about a workload."""

    @property
    def workload(self) -> str:
        """The workload whose result is judged."""
        ...

    def judge(self, result: Result) -> Judgement | None:
        """Return the judgement of ``result``; ``None`` if a row is absent."""
        ...


@dataclass(frozen=True)
class AtMostTimes:
    """The cost of ``title`` is at most ``limit`` times that of ``against``, else of the baseline."""

    workload: str
    title: str
    limit: float
    against: str | None = None
    is_strict: bool = False

    def judge(self, result: Result) -> Judgement | None:
        """Compare the median of the rounds."""
        rows = _rows(result, self.title, self.against or result.baseline)
        if rows is None:
            return None
        times = rows[0].times(rows[1])
        held = times.median < self.limit if self.is_strict else times.median <= self.limit
        label = "" if self.against is None else f" times {self.against}"
        skew = " on Zipf" if self.workload == "hits-zipf" else ""
        return Judgement(f"{_short(self.title)}{times}{label}{skew}", held)


@dataclass(frozen=True)
class AtLeastAsFast:
    """``title`` does at least ``limit`` times as much as ``against`` in the same time."""

    workload: str
    title: str
    limit: float
    against: str

    def judge(self, result: Result) -> Judgement | None:
        """Compare the median of the rounds."""
        rows = _rows(result, self.title, self.against)
        if rows is None:
            return None
        times = rows[1].times(rows[0])
        return Judgement(f"{_short(self.title)}{times} times {self.against}", times.median >= self.limit)


@dataclass(frozen=True)
class Counted:
    """The count of ``fact`` is exactly ``limit``."""

    workload: str
    title: str
    fact: str
    limit: float

    def judge(self, result: Result) -> Judgement | None:
        """Compare the count."""
        row = result.row(self.title)
        if row is None:
            return None
        count = row.fact(self.fact)
        return Judgement(f"{_short(self.title)}{count:,.0f} {self.fact}", count == self.limit)


@dataclass(frozen=True)
class AtMost:
    """The cost of ``title`` itself is at most ``limit``."""

    workload: str
    title: str
    limit: float

    def judge(self, result: Result) -> Judgement | None:
        """Compare the cost."""
        row = result.row(self.title)
        if row is None:
            return None
        cost, unit = self._told(row.cost.median, result.unit)
        return Judgement(f"{_short(self.title)}{cost:,.0f} {unit}", cost <= self.limit)

    def _told(self, cost: float, unit: str) -> tuple[float, str]:
        return cost, unit


@dataclass(frozen=True)
class AtMostMilliseconds(AtMost):
    """The cost of ``title``, a time, is at most ``limit`` milliseconds."""

    def _told(self, cost: float, unit: str) -> tuple[float, str]:  # noqa: ARG002 - the unit is seconds
        return cost * 1000, "ms"


@dataclass(frozen=True)
class Gain:
    """``fact`` of ``title`` is above that of ``against`` by at least ``limit``."""

    workload: str
    title: str
    against: str
    fact: str
    limit: float

    def judge(self, result: Result) -> Judgement | None:
        """Compare the difference."""
        rows = _rows(result, self.title, self.against)
        if rows is None:
            return None
        gain = rows[0].fact(self.fact) - rows[1].fact(self.fact)
        text = f"{self.fact} {_short(self.title)}{gain * 100:+.1f} points to {self.against}"
        return Judgement(text, gain >= self.limit)


def _rows(result: Result, title: str, against: str | None) -> tuple[Row, Row] | None:
    row, other = result.row(title), None if against is None else result.row(against)
    return None if row is None or other is None else (row, other)


def _short(title: str) -> str:
    return f"{title.removeprefix('async_backfill ')} "
