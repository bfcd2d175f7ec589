"""A fleet of caches in one event loop with virtual time: traffic, a deploy, an outage, a flush."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from contextlib import AsyncExitStack
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from async_backfill import BackfillCache, BackfillPolicy, FarTier, FreshnessPolicy, LoadPolicy
from async_backfill.errors import CacheClosedError
from async_backfill.testing import MemoryFarStore, MemoryPermits
from benchmarks.fleet.counts import Counts
from benchmarks.fleet.plan import PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.contracts import Heats
    from async_backfill.events import Event
    from benchmarks.fleet.plan import Plan

_SKEW: Final = 0.99
_PARTS_OF_A_DEPLOY: Final = 10


class _Table:
    """The source: every process has the same rows, and each call takes the same time."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def load_many(self, keys: Sequence[int], /) -> Mapping[int, int]:
        counts = self._fleet.counts
        counts.source_calls += 1
        counts.source_keys += len(keys)
        await anyio.sleep(self._fleet.plan.call)
        return dict.fromkeys(keys, 0)


class _Journal:
    """What was hot in the memory of a process, for the one that is started in its place."""

    def __init__(self) -> None:
        self._heats: Heats[int] | None = None

    async def load(self) -> Heats[int] | None:
        await checkpoint()
        return self._heats

    async def save(self, heats: Heats[int], /) -> None:
        await checkpoint()
        self._heats = heats


class _Permits(MemoryPermits):
    """The budget of the fleet, which counts how often it is asked."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet.plan.permits)
        self._fleet = fleet

    async def acquire(self) -> tuple[bool, int]:
        self._fleet.counts.permit_calls += 1
        return await super().acquire()


class _Process:
    """One process of the fleet: a cache, and what it takes to start it anew."""

    def __init__(self, fleet: Fleet, number: int, store: MemoryFarStore[int, int]) -> None:
        self.fleet = fleet
        self.store = store
        self.draws = random.Random(number)
        self.journal = _Journal()
        self.cache: BackfillCache[int, int] | None = None
        self._open = AsyncExitStack()

    async def start(self) -> None:
        plan, fleet = self.fleet.plan, self.fleet
        cache = BackfillCache[int, int](
            _Table(fleet),
            capacity=plan.capacity,
            permits=fleet.permits,
            load=LoadPolicy(timeout=5.0),
            freshness=FreshnessPolicy(ttl=plan.ttl),
            backfill=BackfillPolicy(selection="history"),
            journal=self.journal,
            far=FarTier(store=self.store, leases=self.store.leases, invalidations=self.store.invalidations),
            observers=[fleet.note],
            clock=anyio.current_time,
            wall_clock=anyio.current_time,
        )
        await self._open.enter_async_context(cache)
        self.cache = cache

    async def stop(self) -> None:
        self.cache = None
        await self._open.aclose()

    async def serve(self) -> None:
        """Send requests until cancelled; what a process misses while it is restarted goes elsewhere."""
        plan, draws = self.fleet.plan, self.draws
        async with anyio.create_task_group() as group:
            while True:
                await anyio.sleep(draws.expovariate(plan.lookups))
                if self.cache is not None:
                    group.start_soon(self._request, self.cache, draws.random() < plan.writes)

    async def _request(self, cache: BackfillCache[int, int], is_write: bool) -> None:  # noqa: FBT001 - a task
        key = self.fleet.key(self.draws)
        began, counts = anyio.current_time(), self.fleet.counts
        try:
            if is_write:
                await cache.put(key, 0)
                return
            counts.lookups += 1
            await cache.get(key)
        except CacheClosedError:
            counts.restarted += 1
        except Exception:  # noqa: BLE001 - a user sees an error, whichever
            counts.failed_writes += is_write
            counts.failed += not is_write
        if not is_write and (took := anyio.current_time() - began) > 0:
            counts.waits.append(took)


class Fleet:
    """``size`` processes before one table, with one far tier."""

    def __init__(self, plan: Plan, size: int) -> None:
        self.plan = plan
        self.permits = _Permits(self)
        self.counts = Counts()
        self._weights = list(accumulate(1 / rank**_SKEW for rank in range(1, plan.keys + 1)))
        first: MemoryFarStore[int, int] = MemoryFarStore()
        self._operator = first.peer()
        stores = [first, *(first.peer() for _ in range(size - 1))]
        for store in stores:
            store.link.latency = store.link.answer_latency = plan.hop
        self.processes = [_Process(self, number, store) for number, store in enumerate(stores)]

    def key(self, draws: random.Random) -> int:
        """Return a key by its popularity."""
        return bisect_left(self._weights, draws.random() * self._weights[-1])

    def note(self, event: Event) -> None:
        """Count what a cache tells in the phase that it tells it in."""
        self.counts.note(event)

    async def run(self) -> dict[str, Counts]:
        """Return the counts of each phase."""
        phases = {}
        async with anyio.create_task_group() as group:
            for process in self.processes:
                await process.start()
                group.start_soon(process.serve)
            for phase in PHASES:
                phases[phase.name] = self.counts = Counts()
                end = anyio.current_time() + phase.seconds
                await self._begin(phase.name)
                await anyio.sleep(end - anyio.current_time())
                self._close_books()
            group.cancel_scope.cancel()
        for process in self.processes:
            await process.stop()
        return phases

    async def _begin(self, phase: str) -> None:
        if phase == "deploy":
            part = math.ceil(len(self.processes) / _PARTS_OF_A_DEPLOY)
            for first in range(0, len(self.processes), part):
                for process in self.processes[first : first + part]:
                    await process.stop()
                    await process.start()
                await anyio.sleep(2.0)
        elif phase == "far tier down":
            for process in self.processes:
                process.store.link.fail()
        elif phase == "far tier back":
            for process in self.processes:
                process.store.link.recover()
        elif phase == "far tier flushed":
            await self._operator.clear()

    def _close_books(self) -> None:
        for process in self.processes:
            store = process.store
            for calls in (store.calls, store.leases.calls, store.invalidations.calls):
                self.counts.far_calls += len(calls)
                calls.clear()


async def simulate(plan: Plan, size: int) -> dict[str, Counts]:
    """Return what a fleet of ``size`` did in each phase."""
    return await Fleet(plan, size).run()
