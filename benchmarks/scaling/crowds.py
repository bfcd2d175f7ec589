"""Many tasks waiting for one key, and other work while many keys are loading."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from async_backfill import BackfillCache
from benchmarks.scaling.floors import Echo
from benchmarks.scaling.rounds import Point, compare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

WAITERS: Final = "waiters on one key"
PUT: Final = "put while others load"
INVALIDATE: Final = "invalidate while others load"
_KEY: Final = 0
_SOME: Final = 1_000


class _Gated(Echo):
    """A source that answers once its gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def load_many(self, keys: Sequence[int], /) -> Mapping[int, int]:
        """Return each of ``keys`` as its own value, once the gate is open."""
        await self.gate.wait()
        return await super().load_many(keys)


async def waiters(size: int, *, rounds: int) -> Point:
    """Return the cost for each of ``size`` tasks that wait for one cold key; the floor is a shared future."""
    source = _Gated()
    async with BackfillCache(source, capacity=1) as cache:

        async def cached() -> float:
            source.gate.clear()
            await cache.invalidate(_KEY)
            return await _crowd(lambda: cache.get(_KEY), source.gate.set, size)

        async def shared() -> float:
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

            async def get() -> int:
                return await future

            return await _crowd(get, lambda: future.set_result(_KEY), size)

        return Point(WAITERS, "cache", size, *await compare(cached, shared, rounds))


async def others_load(size: int, *, rounds: int) -> list[Point]:
    """Return the cost of a put and of an invalidation while ``size`` other keys are loading.

    The floor is a coroutine around the same operation of a dict.
    """
    source = _Gated()
    entries: dict[int, int] = {}

    async def put(key: int, value: int) -> None:
        entries[key] = value

    async def invalidate(key: int) -> None:
        entries.pop(key, None)

    async with BackfillCache(source) as cache, asyncio.TaskGroup() as tasks:
        tasks.create_task(cache.get_many(range(-size, 0)))
        await asyncio.sleep(0)
        if cache.stats.in_flight != size:
            raise RuntimeError(f"{cache.stats.in_flight} of {size} keys are loading")
        points = []
        for what, ours, theirs in (
            (PUT, _puts(cache.put), _puts(put)),
            (INVALIDATE, _deletions(cache.invalidate), _deletions(invalidate)),
        ):
            points.append(Point(what, "cache", size, *await compare(ours, theirs, rounds)))
        source.gate.set()
    return points


async def _crowd(start: Callable[[], Awaitable[object]], release: Callable[[], object], size: int) -> float:
    """Return the nanoseconds for each of ``size`` tasks, from their start to the end of the last one."""

    async def one() -> None:
        await start()

    began = time.perf_counter_ns()
    tasks = [asyncio.create_task(one()) for _ in range(size)]
    await asyncio.sleep(0)  # all have begun to wait
    release()
    for task in tasks:
        await task
    return (time.perf_counter_ns() - began) / size


def _puts(put: Callable[[int, int], Awaitable[None]]) -> Callable[[], Awaitable[float]]:
    async def timed() -> float:
        began = time.perf_counter_ns()
        for key in range(_SOME):
            await put(key, key)
        return (time.perf_counter_ns() - began) / _SOME

    return timed


def _deletions(delete: Callable[[int], Awaitable[None]]) -> Callable[[], Awaitable[float]]:
    async def timed() -> float:
        began = time.perf_counter_ns()
        for key in range(_SOME):
            await delete(key)
        return (time.perf_counter_ns() - began) / _SOME

    return timed
