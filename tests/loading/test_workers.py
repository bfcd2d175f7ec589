"""The tasks that loads run in: never more than allowed, reused, and gone when told to go."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager

import pytest
from anyio import Event, create_task_group, fail_after, sleep, sleep_forever, wait_all_tasks_blocked

from async_backfill.loading.workers import Workers
from tests.callers import PENDING, start

pytestmark = pytest.mark.anyio


class Jobs:
    """A queue of jobs, each an async function, and the workers that run them."""

    def __init__(self, limit, spawn):
        self.queue = deque()
        self.running = 0
        self.most_running = 0
        self.ended = []
        self.spawned = 0
        self._spawn = spawn
        self.workers = Workers(take=self._take, run=self._run, limit=limit, spawn=self._count)

    def add(self, *jobs):
        for job in jobs:
            self.queue.append(job)
            self.workers.wake()

    def _count(self, work):
        self.spawned += 1
        self._spawn(work)

    def _take(self):
        return self.queue.popleft() if self.queue else None

    async def _run(self, job):
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


async def test_every_job_runs():
    async with working(limit=3) as jobs:
        jobs.add(*[short] * 10)
        await jobs.workers.idle()

        assert jobs.ended == [short] * 10


async def test_at_most_as_many_jobs_as_allowed_run_at_once():
    async with working(limit=3) as jobs:
        jobs.add(*[short] * 10)
        await jobs.workers.idle()

        assert jobs.most_running == 3


async def test_no_more_tasks_are_started_than_there_are_jobs():
    async with working(limit=10) as jobs:
        jobs.add(short, short)
        await jobs.workers.idle()

        assert jobs.spawned == 2


async def test_a_task_that_ran_out_of_jobs_is_reused():
    async with working(limit=3) as jobs:
        for _ in range(5):
            jobs.add(short)
            await jobs.workers.idle()

        assert len(jobs.ended) == 5
        assert jobs.spawned == 1


async def test_a_job_that_lends_its_place_lets_another_one_run():
    borrowed = Event()

    async def lender():
        jobs.workers.lend(1)
        await borrowed.wait()
        jobs.workers.lend(-1)

    async def borrower():
        borrowed.set()

    async with working(limit=1) as jobs:
        jobs.add(lender, borrower)
        await jobs.workers.idle()

        assert jobs.ended == [borrower, lender]


async def test_a_place_that_was_given_back_is_lent_no_more():
    async def lender():
        jobs.workers.lend(1)
        await sleep(1)
        jobs.workers.lend(-1)

    async with working(limit=1) as jobs:
        jobs.add(lender)
        await jobs.workers.idle()
        jobs.most_running = 0
        jobs.add(*[short] * 5)
        await jobs.workers.idle()

        assert jobs.most_running == 1


async def test_a_hundred_jobs_that_each_wait_for_the_next_one_get_through_one_place():
    async def chain(left):
        if left:
            ended = Event()

            async def inner():
                await chain(left - 1)
                ended.set()

            jobs.add(inner)
            jobs.workers.lend(1)
            await ended.wait()
            jobs.workers.lend(-1)

    async def outermost():
        await chain(99)

    async with working(limit=1) as jobs:
        jobs.add(outermost)
        await jobs.workers.idle()

        assert len(jobs.ended) == 100


async def test_after_many_places_were_lent_no_more_tasks_stay_than_are_allowed():
    started = []

    async def lender():
        jobs.workers.lend(1)
        await sleep(1)
        jobs.workers.lend(-1)

    async with working(limit=2) as jobs, create_task_group() as tasks:

        def spawn(work):
            started.append(start(tasks, work))

        jobs._spawn = spawn
        jobs.add(*[lender] * 20)
        await jobs.workers.idle()
        await wait_all_tasks_blocked()

        assert len(started) > 2
        assert sum(task.outcome is PENDING for task in started) == 2
        tasks.cancel_scope.cancel()


async def test_a_job_that_ends_its_task_leaves_the_other_jobs_to_a_new_one():
    async with working(limit=1) as jobs:
        jobs.add(last_of_its_task, short, short)
        await jobs.workers.idle()

        assert jobs.ended == [last_of_its_task, short, short]
        assert jobs.spawned == 2


async def test_a_job_that_ends_its_task_leaves_no_task_behind_when_there_are_no_more_jobs():
    with fail_after(3600):
        async with create_task_group() as tasks:
            jobs = Jobs(3, tasks.start_soon)
            jobs.add(last_of_its_task)

    assert jobs.ended == [last_of_its_task]


async def test_a_job_that_ends_its_task_hands_its_place_on_only_where_it_had_one_of_its_own():
    borrowed = Event()

    async def lender():
        jobs.workers.lend(1)
        await borrowed.wait()
        jobs.workers.lend(-1)
        await sleep(10)

    async def borrower():
        borrowed.set()
        return await last_of_its_task()

    async with working(limit=1) as jobs:
        jobs.add(lender, borrower, short)
        await jobs.workers.idle()

        assert jobs.ended == [borrower, lender, short]


async def test_idle_waits_for_the_last_job():
    async with working(limit=2) as jobs, create_task_group() as tasks:
        jobs.add(short, sleep_forever)
        idle = start(tasks, jobs.workers.idle)
        await sleep(3600)

        assert jobs.ended == [short]
        assert idle.outcome is PENDING
        tasks.cancel_scope.cancel()


async def test_idle_returns_at_once_when_there_was_never_a_job():
    async with working(limit=2) as jobs:
        await jobs.workers.idle()

        assert jobs.spawned == 0


async def test_a_job_added_while_all_tasks_sleep_wakes_only_one_of_them():
    async with working(limit=3) as jobs:
        jobs.add(short, short, short)
        await jobs.workers.idle()
        jobs.most_running = 0
        jobs.add(short)
        await jobs.workers.idle()

        assert (jobs.most_running, jobs.spawned) == (1, 3)


async def test_jobs_go_on_after_a_sleeping_task_was_cancelled():
    sleeper = []

    async with working(limit=1) as jobs, create_task_group() as tasks:

        def spawn(work):
            sleeper.append(start(tasks, work))

        jobs._spawn = spawn
        jobs.add(short)
        await jobs.workers.idle()
        sleeper[0].cancel()
        await wait_all_tasks_blocked()
        jobs.add(short)
        await jobs.workers.idle()

        assert len(jobs.ended) == 2
        tasks.cancel_scope.cancel()
