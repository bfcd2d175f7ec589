"""What happens in one schedule, drawn from its seed: settings, callers, their steps, who is cancelled."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from async_backfill import BackfillPolicy, FreshnessPolicy, LoadPolicy

READS: Final = ("get", "get", "get", "get_many")
WRITES: Final = ("put", "invalidate", "clear")
OTHERS: Final = (*READS, *WRITES, "evict_oldest", "force_backfill", "expire")
RACES: Final = {
    "get": "get",
    "get_many": "get_many",
    "put": "put",
    "invalidate": "invalidate",
    "clear": "clear",
    "evict_oldest": "evict_oldest",
    "refresh": "expire",
    "force_backfill": "force_backfill",
    "off_and_on": "off_and_on",
    "cancel_backfill": "cancel_backfill",
    "close": "get",
}
_MOMENTS: Final = 50


@dataclass(frozen=True)
class Step:
    """One call, after ``pause`` turns of the loop; a write takes ``gap`` turns from source to cache."""

    what: str
    keys: tuple[str, ...]
    pause: int
    gap: int


@dataclass(frozen=True)
class Cancellation:
    """Cancels ``caller`` before the turn of that number: its task, or the scope that it runs in."""

    turn: int
    caller: int
    native: bool


@dataclass(frozen=True)
class Plan:
    """One schedule but for the order of the ready queue."""

    keys: str
    absent: frozenset[str]
    settings: dict[str, Any]
    has_scan: bool
    callers: tuple[tuple[Step, ...], ...]
    cancellations: tuple[Cancellation, ...]
    failing: float
    holds: float
    close_at: int | None
    cancel_owner_at: int | None


def draw(race: str, seed: int) -> Plan:
    """Return the plan of the schedule ``seed`` of ``race``."""
    draws = random.Random(f"{race}/{seed}")
    keys = draws.choice(["ab", "abc"])
    main = RACES[race]
    against = draws.choice([READS, READS, (*READS, main), OTHERS])
    callers = [_steps(draws, [main, *READS], keys, first=main), _steps(draws, READS, keys)]
    callers += [_steps(draws, against, keys) for _ in range(draws.randint(1, 4))]
    closing = race == "close"
    cancelled = draws.choice([0, 1, 1, 2]) if race != "get" else draws.randint(0, len(callers))
    cancel_owner = closing and draws.random() < 0.4
    return Plan(
        keys=keys,
        absent=frozenset(key for key in keys if draws.random() < 0.2),
        settings=_settings(draws, expires=race == "refresh" or draws.random() < 0.25),
        has_scan=race in {"force_backfill", "cancel_backfill", "close"} or draws.random() < 0.4,
        callers=tuple(callers),
        cancellations=tuple(
            Cancellation(draws.randint(1, _MOMENTS), draws.randrange(len(callers)), draws.random() < 0.6)
            for _ in range(cancelled)
        ),
        failing=draws.choice([0.0, 0.0, 0.3, 0.6]),
        holds=draws.choice([0.0, 0.0, 0.3]),
        close_at=draws.randint(0, _MOMENTS) if closing else None,
        cancel_owner_at=draws.randint(2, _MOMENTS) if cancel_owner else None,
    )


def _steps(draws: random.Random, what: Any, keys: str, first: str | None = None) -> tuple[Step, ...]:
    names = [first or draws.choice(what), *draws.choices(what, k=draws.randint(0, 2))]
    return tuple(
        Step(
            name,
            tuple(draws.sample(keys, draws.randint(1, len(keys)))),
            draws.choice([0, 0, 1, draws.randint(0, 20)]),
            draws.choice([0, 0, draws.randint(0, 8)]),
        )
        for name in names
    )


def _settings(draws: random.Random, *, expires: bool) -> dict[str, Any]:
    freshness = FreshnessPolicy(absent_ttl=draws.choice([None, None, 5.0]))
    if expires:
        freshness = FreshnessPolicy(
            ttl=10.0,
            stale_for=draws.choice([0.0, 100.0, 100.0]),
            stale_wait=draws.choice([0.0, 0.5, None]),
            retry_after=draws.choice([0.1, 5.0]),
            absent_ttl=draws.choice([None, 5.0]),
            early=draws.choice([0.0, 0.0, 1.0]),
            seed=draws.randrange(1000),
        )
    return {
        "capacity": draws.choice([1, 2, 2, None]),
        "eviction": draws.choice(["fifo", "lru", "sieve", "s3-fifo"]),
        "max_backfills": draws.choice([0, 1, None]),
        "backfill_batch": draws.randint(1, 3),
        "freshness": freshness,
        "load": LoadPolicy(
            max_batch=draws.choice([1, 2, 500]),
            concurrency=draws.choice([1, 2, 10]),
            timeout=None,  # a load that hangs must not be saved by the jumping clock
            linger=draws.choice([0.0, 0.0, 0.0, 0.5]),
            split_failed=draws.random() < 0.3,
        ),
        "backfill": BackfillPolicy(
            min_lookups=draws.choice([2, 1000, 1000]),
            evicts=draws.random() < 0.3,
            inline=draws.random() < 0.5,
            concurrent=draws.choice([1, 1, 2]),
            selection=draws.choice(["source", "source", "history"]),
            successors=draws.choice([0, 0, 2]),
        ),
    }
