"""What the cache should reach, as data: each row is judged from the figures of one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.peers.results import Result, Row

FIFO: Final = "async_backfill FIFO"
TTL: Final = "async_backfill FIFO, ttl"
LRU: Final = "async_backfill LRU"
SIEVE: Final = "async_backfill SIEVE"
S3_FIFO: Final = "async_backfill S3-FIFO"
DECORATOR: Final = "async_backfill decorator"


@dataclass(frozen=True)
class Judgement:
    """What was measured, in words, and whether it is enough."""

    text: str
    is_held: bool


class Claim(Protocol):
    """One thing that a goal says about a workload."""

    @property
    def workload(self) -> str:
        """The workload whose result is judged."""
        ...

    def judge(self, result: Result) -> Judgement | None:
        """Return what ``result`` says; nothing if a row is absent."""
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
    """``title`` does at least ``limit`` times as much in the same time as ``against``."""

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
        cost = row.cost.median
        return Judgement(f"{_short(self.title)}{cost:,.0f} {result.unit}", cost <= self.limit)


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


@dataclass(frozen=True)
class Goal:
    """A row of the README's table.

    ``rivals``
        the workload whose best peer is named; none has what the row is about if it is ``None``.
    """

    subject: str
    text: str
    claims: Sequence[Claim]
    rivals: str | None


@dataclass(frozen=True)
class Verdict:
    """A goal, what was measured, the best of the others, and whether it is held.

    ``is_held`` is ``None`` where not all that the goal speaks of was measured.
    """

    subject: str
    goal: str
    measured: str
    best_peer: str
    is_held: bool | None


def _both_hits(limit: float, *titles: str) -> Sequence[Claim]:
    """Return the claim that a hit of each of ``titles`` is within ``limit``, uniform and skewed."""
    return [AtMostTimes(name, title, limit) for title in titles for name in ("hits", "hits-zipf")]


GOALS: Final[Sequence[Goal]] = (
    Goal(
        "hit, FIFO, no ttl, against the bare awaited `dict.get`",
        "≤ 1.25",
        _both_hits(1.25, FIFO),
        "hits",
    ),
    Goal("hit with ttl", "≤ 1.75", _both_hits(1.75, TTL), "hits"),
    Goal(
        "hit, LRU, SIEVE, S3-FIFO",
        "≤ 1.75",
        _both_hits(1.75, LRU, SIEVE, S3_FIFO),
        "hits",
    ),
    Goal("`peek`", "≤ 0.9", _both_hits(0.9, f"{FIFO}, peek"), None),
    Goal("decorator form, one argument", "≤ 2.2", _both_hits(2.2, DECORATOR), "hits"),
    Goal(
        "lone miss, zero-latency source, against a naive dict",
        "≤ 12",
        (AtMostTimes("lone-miss", FIFO, 12.0),),
        "lone-miss",
    ),
    Goal(
        "stampede 10,000/100",
        "exactly 100 keys read, ≤ 1.3 times shared futures",
        (AtMostTimes("stampede", FIFO, 1.3), Counted("stampede", FIFO, "keys read", 100)),
        "stampede",
    ),
    Goal(
        "5,000 cold keys, single gets",
        "10 source calls, faster than aiodataloader",
        (
            AtMostTimes("cold-keys", FIFO, 1.0, "aiodataloader", is_strict=True),
            Counted("cold-keys", FIFO, "source calls", 10),
        ),
        "cold-keys",
    ),
    Goal(
        "5,000 cold keys, `get_many`",
        "10 source calls, ≤ 3 times floor",
        (AtMostTimes("get-many", FIFO, 3.0), Counted("get-many", FIFO, "source calls", 10)),
        "get-many",
    ),
    Goal(
        "memory per entry against a plain dict",
        "FIFO ≤ 1.15; LRU ≤ 1.75; SIEVE, S3-FIFO ≤ 2.1",
        (
            AtMostTimes("memory", f"{FIFO}, put_many", 1.15),
            AtMostTimes("memory", f"{LRU}, put_many", 1.75),
            AtMostTimes("memory", f"{SIEVE}, put_many", 2.1),
            AtMostTimes("memory", f"{S3_FIFO}, put_many", 2.1),
        ),
        "memory",
    ),
    Goal(
        "mixed load, throughput",
        "≥ 1.4 times cachebox LRU, ≥ 2.3 times async-lru; SIEVE hit ratio ≥ FIFO + 4 points",
        (
            AtLeastAsFast("mixed", LRU, 1.4, "cachebox LRU"),
            AtLeastAsFast("mixed", LRU, 2.3, "async-lru"),
            Gain("mixed", SIEVE, FIFO, "hit ratio", 0.04),
        ),
        "mixed",
    ),
    Goal(
        "objects left behind",
        "0",
        tuple(AtMost("left-behind", title, 0) for title in (FIFO, LRU, SIEVE, S3_FIFO)),
        "left-behind",
    ),
)


def judge(results: Iterable[Result], goals: Iterable[Goal] = GOALS) -> list[Verdict]:
    """Return a verdict for each goal; one that was not measured in whole is neither held nor lost."""
    by_name = {result.workload: result for result in results}
    return [_verdict(goal, by_name) for goal in goals]


def _verdict(goal: Goal, results: Mapping[str, Result]) -> Verdict:
    found = [
        claim.judge(results[claim.workload]) if claim.workload in results else None for claim in goal.claims
    ]
    judged = [each for each in found if each is not None]
    measured = "; ".join(each.text for each in judged)
    # One claim that is lost loses the row, even if another could not be measured.
    held = False if any(not each.is_held for each in judged) else None if None in found else True
    rivals = None if goal.rivals is None else results.get(goal.rivals)
    best = "none" if goal.rivals is None else "" if rivals is None else best_peer(rivals)
    return Verdict(goal.subject, goal.text, measured, best, held)


def best_peer(result: Result) -> str:
    """Return the name and the figure of the fastest peer, and of the fastest that is a cache with a bound."""
    peers = [row for row in result.ranked() if not row.is_ours and not row.is_floor]
    bounded = [row for row in peers if not row.remark]
    # The first peer, and the first with a bound, which are often the same one.
    named = dict.fromkeys(row.title for row in (*peers[:1], *bounded[:1]))
    return ", ".join(_figure(result, row) for row in peers if row.title in named) or "none"


def _figure(result: Result, row: Row) -> str:
    times = result.times(row)
    figure = f"{row.cost.median:,.0f}" if times is None else f"{times.median:.3g}"
    return f"{row.title} {figure}" + (f" ({row.remark})" if row.remark else "")


def _rows(result: Result, title: str, against: str | None) -> tuple[Row, Row] | None:
    row, other = result.row(title), None if against is None else result.row(against)
    return None if row is None or other is None else (row, other)


def _short(title: str) -> str:
    return f"{title.removeprefix('async_backfill ')} "
