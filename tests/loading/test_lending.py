"""Jobs that wait for other jobs: they lend their place, and the limit still holds."""

from __future__ import annotations

import pytest
from anyio import Event, create_task_group, sleep, wait_all_tasks_blocked

from tests.callers import PENDING, start
from tests.loading.rigs import last_of_its_task, short, working

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize("last_job", [short, last_of_its_task], ids=["goes on", "ends its task"])
async def test_a_borrowed_place_is_not_used_again_once_it_was_given_back(last_job):
    borrowed = Event()

    async def lender():
        jobs.workers.lend(1)
        await borrowed.wait()
        jobs.workers.lend(-1)
        await sleep(10)

    async def borrower():
        borrowed.set()
        return await last_job()

    async with working(limit=1) as jobs:
        jobs.add(lender, borrower, short)
        await jobs.workers.idle()

        assert jobs.ended == [borrower, lender, short]
