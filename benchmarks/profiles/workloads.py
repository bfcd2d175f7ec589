"""The profiled kinds of work: each opens a cache and yields a function to repeat."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from async_backfill import BackfillCache, FreshnessPolicy
from async_backfill._runner.scenario.model import ZipfSpec
from async_backfill._runner.scenario.zipf import zipf_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from async_backfill.stores._eviction.orders import Eviction

Work: TypeAlias = "Callable[[], Awaitable[int]]"
"""Does a piece of work, and returns the lookups it came to."""

_HELD: Final = 10_000
_ONCE: Final = 1_000
_HOUR: Final = 3600.0
_CALLERS: Final = 10_000
_COLD: Final = 100
_DISTINCT: Final = 5_000
_WORKERS: Final = 64
_REQUESTS: Final = 20_000
_KEYS: Final = 50_000


class _Source:
    """A source that returns each key as its value, after ``seconds``."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds

    async def load_many(self, keys: Sequence[object], /) -> Mapping[object, object]:
        """Return each of ``keys`` as its own value."""
        if self._seconds is not None:
            await asyncio.sleep(self._seconds)
        return {key: key for key in keys}


@asynccontextmanager
async def _hits(eviction: Eviction, ttl: float | None) -> AsyncIterator[Work]:
    keys = list(range(_HELD))
    async with BackfillCache(
        _Source(), capacity=_HELD, eviction=eviction, freshness=FreshnessPolicy(ttl=ttl)
    ) as cache:
        await cache.get_many(keys)

        async def work() -> int:
            for key in keys:
                await cache.get(key)
            return _HELD

        yield work


@asynccontextmanager
async def _misses(*, evict: bool) -> AsyncIterator[Work]:
    fresh = count()
    async with BackfillCache(_Source(), capacity=_HELD if evict else None) as cache:
        if evict:
            await cache.get_many(range(-_HELD, 0))

        async def work() -> int:
            for _ in range(_ONCE):
                await cache.get(next(fresh))
            return _ONCE

        yield work


@asynccontextmanager
async def _stampede() -> AsyncIterator[Work]:
    async with BackfillCache(_Source(0.02), capacity=_HELD) as cache:

        async def work() -> int:
            await cache.clear()
            await _together([partial(cache.get, number % _COLD) for number in range(_CALLERS)])
            return _CALLERS

        yield work


@asynccontextmanager
async def _distinct(*, at_once: bool) -> AsyncIterator[Work]:
    async with BackfillCache(_Source(0.005), capacity=_HELD) as cache:

        async def work() -> int:
            await cache.clear()
            if at_once:
                await cache.get_many(range(_DISTINCT))
            else:
                await _together([partial(cache.get, key) for key in range(_DISTINCT)])
            return _DISTINCT

        yield work


@asynccontextmanager
async def _mixed() -> AsyncIterator[Work]:
    requests = zipf_keys(ZipfSpec(count=_REQUESTS, keys=_KEYS, exponent=0.99, seed=1))
    async with BackfillCache(_Source(0.0), capacity=_KEYS // 10) as cache:

        async def worker(number: int) -> None:
            for key in requests[number::_WORKERS]:
                await cache.get(key)

        async def work() -> int:
            await _together([partial(worker, number) for number in range(_WORKERS)])
            return _REQUESTS

        yield work


async def _together(callers: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Run each of ``callers`` in its own task."""

    async def one(caller: Callable[[], Awaitable[object]]) -> None:
        await caller()

    for task in [asyncio.create_task(one(caller)) for caller in callers]:
        await task


WORKLOADS: Final[Mapping[str, Callable[[], AbstractAsyncContextManager[Work]]]] = MappingProxyType(
    {
        "hit, FIFO": partial(_hits, "fifo", None),
        "hit, FIFO with ttl": partial(_hits, "fifo", _HOUR),
        "hit, LRU": partial(_hits, "lru", None),
        "lone miss into free room": partial(_misses, evict=False),
        "lone miss that evicts": partial(_misses, evict=True),
        "stampede, 10,000 gets of 100 cold keys": _stampede,
        "5,000 cold keys, single gets": partial(_distinct, at_once=False),
        "5,000 cold keys, get_many": partial(_distinct, at_once=True),
        "mixed load, Zipf 0.99, 64 workers": _mixed,
    }
)
