"""What a job is to do, as its planner says it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the types of the fields
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

GuardName: TypeAlias = Literal["stamp", "recheck", "version", "none"]
PolicyName: TypeAlias = Literal["missing", "stale", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What an operator may change while a job runs.

    ``rate``
        rows a second; ``None`` is no limit.
    ``batch``
        rows a page; ``"auto"`` aims at pages of half a second.
    ``lanes``
        pages at once in one worker, each of another shard.
    ``pages``
        pages that are read at once by all workers together; ``None`` is no limit. It needs a budget.
    """

    rate: float | None = None
    batch: int | Literal["auto"] = "auto"
    lanes: int = 2
    pages: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleLimits:
    """What makes a job wait: the first that holds is shown with its value.

    ``hours``
        when pages may begin, local time, such as ``"22:00-06:00"``; ``None`` is always.
    ``source_latency``
        how many times slower than in the first minute the 95th percentile of the pages may be read.
    ``max_lag``
        seconds that a source which is a replica may lag behind.
    ``load_query``, ``load_url``, ``max_load``
        a query of the source's database, or a URL, whose answer is a number, and the largest number allowed.
    ``store_memory``
        the largest share of the store's memory in use, 0.0 to 1.0.
    ``store_latency``
        seconds that the 95th percentile of the writes may take.
    ``error_rate``
        the largest share of pages that failed, of the last 100.
    ``patience``
        seconds of waiting after which the job pauses itself, and says why.
    """

    hours: str | None = None
    source_latency: float | None = None
    max_lag: float | None = 10.0
    load_query: str | None = None
    load_url: str | None = None
    max_load: float | None = None
    store_memory: float = 0.9
    store_latency: float | None = None
    error_rate: float = 0.5
    patience: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What is copied from where to where, and how; everything in it is part of the plan's hash.

    ``source``, ``store``
        descriptions in plain JSON values, without secrets, which the opener of the ends understands.
    ``guard``
        as in `async_backfill.warming.copy_rows`.
    ``policy``
        ``"missing"`` leaves every key alone that the store has, ``"stale"`` lets the guard decide,
        ``"all"`` writes also what is as new; none of them replaces what is newer.
    ``settings``
        with which it starts.
    ``budget``
        a description, as those of the ends, of the budget that it shares with other jobs and caches; ``None``
        where its rate is its own, and only that of its own workers.
    ``shards``
        the number of ranges that are worked on apart, at most.
    ``max_dead``
        the number of rows that may be left out because they cannot be made, packed or written.
    ``four_eyes``
        whether who planned it may not approve it.
    """

    name: str
    source: Mapping[str, Any]
    store: Mapping[str, Any]
    guard: GuardName = "stamp"
    policy: PolicyName = "stale"
    ttl: float | None = None
    ttl_jitter: float = 0.05
    settings: JobSettings = field(default_factory=JobSettings)
    budget: Mapping[str, Any] | None = None
    shards: int = 32
    max_dead: int = 100
    four_eyes: bool = False
    throttle: ThrottleLimits = field(default_factory=ThrottleLimits)
