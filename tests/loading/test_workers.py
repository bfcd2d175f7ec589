"""The tasks that loads run in: never more than allowed, reused, and gone when told to go."""

from __future__ import annotations

import pytest
from anyio import create_task_group, fail_after, sleep, sleep_forever, wait_all_tasks_blocked

from tests.callers import PENDING, start
from tests.loading.rigs import Jobs, last_of_its_task, short, working

pytestmark = pytest.mark.anyio


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
