"""The goals of the cache, as data; each is judged from the figures of one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.peers.claims import AtLeastAsFast, AtMost, AtMostMilliseconds, AtMostTimes, Counted, Gain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.peers.claims import Claim
    from benchmarks.peers.results import Result, Row

FIFO: Final = "async_backfill FIFO"
TTL: Final = "async_backfill FIFO, ttl"
HISTORY: Final = "async_backfill FIFO, history"
LRU: Final = "async_backfill LRU"
SIEVE: Final = "async_backfill SIEVE"
S3_FIFO: Final = "async_backfill S3-FIFO"
DECORATOR: Final = "async_backfill decorator"
MEASURED: Final = "async_backfill FIFO, Prometheus"


@dataclass(frozen=True)
class Goal:
    """One goal: a row of the table in the README.

    ``rivals``
        the workload whose best peer is named; none has what the row is about if it is ``None``.
    """

    subject: str
    text: str
    claims: Sequence[Claim]
    rivals: str | None


@dataclass(frozen=True)
class Verdict:
    """A goal, its measured figures, the best peer, and whether it is reached.

    ``is_held`` is ``None`` where not all that the goal speaks of was measured.
    """

    subject: str
    goal: str
    measured: str
    best_peer: str
    is_held: bool | None


def _both_hits(limit: float, *titles: str) -> Sequence[Claim]:
    """Return the claims that a hit of each of ``titles`` costs at most ``limit``, uniform and skewed."""
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
    Goal(
        "hit with Prometheus, against one without",
        "≤ 1.15",
        [AtMostTimes(name, MEASURED, 1.15, FIFO) for name in ("hits", "hits-zipf")],
        None,
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
        "stampede 10,000/100, decorator form",
        "exactly 100 keys read, ≤ 1.3 times shared futures",
        (AtMostTimes("stampede", DECORATOR, 1.3), Counted("stampede", DECORATOR, "keys read", 100)),
        "stampede",
    ),
    Goal(
        "one key takes 1 s, 99 take 10 ms, decorator form: the median wait",
        "≤ 40 ms",
        (AtMostMilliseconds("slow-key", DECORATOR, 40.0),),
        "slow-key",
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
        "memory per entry in use, against a plain dict",
        "FIFO ≤ 1.5; LRU, SIEVE ≤ 2; S3-FIFO ≤ 2.5; ttl, history ≤ 3",
        (
            AtMostTimes("memory", f"{FIFO}, in use", 1.5),
            AtMostTimes("memory", f"{LRU}, in use", 2.0),
            AtMostTimes("memory", f"{SIEVE}, in use", 2.0),
            AtMostTimes("memory", f"{S3_FIFO}, in use", 2.5),
            AtMostTimes("memory", f"{TTL}, in use", 3.0),
            AtMostTimes("memory", f"{HISTORY}, in use", 3.0),
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
    """Return a verdict for each goal; one that was not fully measured is neither reached nor missed."""
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
    """Return name and figure of the fastest peer, and of the fastest cache with a limited size."""
    peers = [row for row in result.ranked() if not row.is_ours and not row.is_floor]
    bounded = [row for row in peers if not row.remark]
    # The first peer, and the first with a bound, which are often the same one.
    named = dict.fromkeys(row.title for row in (*peers[:1], *bounded[:1]))
    return ", ".join(_figure(result, row) for row in peers if row.title in named) or "none"


def _figure(result: Result, row: Row) -> str:
    times = result.times(row)
    figure = f"{row.cost.median:,.0f}" if times is None else f"{times.median:.3g}"
    return f"{row.title} {figure}" + (f" ({row.remark})" if row.remark else "")
