"""Every way to write the key ``a``, and a cache whose loads wait until they are let go."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import BackfillCache, MappingSource
from async_backfill.testing import GatedSource
from tests.callers import start


async def put(cache):
    await cache.put("a", "put")


async def put_many(cache):
    await cache.put_many({"a": "put"})


async def invalidate(cache):
    await cache.invalidate("a")


async def clear(cache):
    await cache.clear()


async def put_and_invalidate(cache):
    await cache.put("a", "put")
    await cache.invalidate("a")


async def put_and_evict(cache):
    await cache.put("a", "put")
    cache.evict_oldest()


PUTS = [put, put_many]
REMOVALS = [invalidate, clear, put_and_invalidate, put_and_evict]
WRITES = [*PUTS, *REMOVALS]

reader = pytest.mark.parametrize("read", ["get", "force_backfill"])
write = pytest.mark.parametrize("write", WRITES)


class Rig:
    """A cache, its gated source, and reads that wait in a load of the key ``a``."""

    def __init__(self, tasks, source, cache):
        self.source = source
        self.cache = cache
        self._tasks = tasks

    async def begin(self, read):
        call = (self.cache.get, "a") if read == "get" else (self.cache.force_backfill,)
        caller = start(self._tasks, *call)
        await wait_all_tasks_blocked()
        return caller

    async def end_oldest(self, error=None):
        self.source.release(error)
        await wait_all_tasks_blocked()


@asynccontextmanager
async def gated():
    rows = {"a": "old"}
    source = GatedSource(rows)
    async with create_task_group() as tasks, BackfillCache(source, scan=MappingSource(rows)) as cache:
        yield Rig(tasks, source, cache)
        tasks.cancel_scope.cancel()
