"""The parts of loading on their own, with what is around them in plain view."""

from __future__ import annotations

import time
from collections import deque
from contextlib import asynccontextmanager

from anyio import Event, create_task_group, sleep

from async_backfill import LoadPolicy
from async_backfill._loading.loader import Loader
from async_backfill._loading.workers import Workers
from async_backfill.testing import GatedSource

ROWS = {number: f"row {number}" for number in range(100)}


class Rig:
    """A loader, and all that it tells: what it stored, which calls ended."""

    def __init__(self, source, policy, spawn):
        self.stored = {}
        self.events = []
        self.source = source
        self.loader = Loader(
            source,
            policy=policy,
            landed=lambda batch, keys: self.stored.update(batch.values(keys)),
            report=lambda call: self.events.append(call.event()),
            spawn=spawn,
            clock=time.monotonic,
        )

    async def load(self, *keys):
        """Load ``keys`` as one live caller does."""
        joined = {key: self.loader.batch_queue.join(key)[0] for key in keys}
        await self.loader.wait({batch: key for key, batch in joined.items()})
        return {key: batch.outcome(key) for key, batch in joined.items()}


@asynccontextmanager
async def loading(source=None, **policy):
    async with create_task_group() as tasks:
        rig = Rig(source or GatedSource(ROWS), LoadPolicy(**policy), tasks.start_soon)
        yield rig, tasks
        tasks.cancel_scope.cancel()


class Jobs:
    """A queue of jobs, each an async function, and the workers that run them."""

    def __init__(self, limit, spawn):
        self.queue = deque()
        self.running = 0
        self.most_running = 0
        self.ended = []
        self.spawned = 0
        self._spawn = spawn
        self.workers = Workers(take=self._take, run=self._run, limit=limit, spawn=self._count, signal=Event)

    def add(self, *jobs):
        for job in jobs:
            self.queue.append(job)
            self.workers.wake()

    def _count(self, work):
        self.spawned += 1
        self._spawn(work)

    def _take(self):
        return self.queue.popleft() if self.queue else None

    async def _run(self, job, _):
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        goes_on = await job()
        self.running -= 1
        self.ended.append(job)
        return goes_on is not False


@asynccontextmanager
async def working(limit):
    async with create_task_group() as tasks:
        yield Jobs(limit, tasks.start_soon)
        tasks.cancel_scope.cancel()


async def short():
    await sleep(1)


async def last_of_its_task():
    await sleep(1)
    return False
