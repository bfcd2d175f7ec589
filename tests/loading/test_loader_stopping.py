"""The loader alone: loads that everyone left, and a loader that is stopped."""

from __future__ import annotations

import pytest
from anyio import current_time, sleep, wait_all_tasks_blocked

from async_backfill import CacheClosedError, SimulatedSource
from tests.callers import start
from tests.loading.rigs import ROWS, loading

pytestmark = pytest.mark.anyio


async def test_a_batch_that_everyone_left_while_it_lingered_delays_nobody():
    async with loading(SimulatedSource(ROWS), linger=10.0, concurrency=1) as (rig, tasks):
        left = start(tasks, rig.load, 1)
        await sleep(1)
        left.cancel()
        await wait_all_tasks_blocked()
        before = current_time()
        await rig.load(2)

        assert current_time() == pytest.approx(before + 10)
        assert (rig.source.calls, rig.source.keys) == (1, 1)


async def test_batches_that_everyone_left_do_not_pile_up_behind_a_source_that_hangs():
    async with loading(max_batch=1, concurrency=1) as (rig, tasks):
        start(tasks, rig.load, "hangs")
        await wait_all_tasks_blocked()
        for _ in range(50):
            callers = [start(tasks, rig.load, key) for key in range(3)]
            await wait_all_tasks_blocked()
            for caller in callers:
                caller.cancel()
            await wait_all_tasks_blocked()

        assert len(rig.loader.batch_queue.queued) == 0


async def test_a_stopped_loader_ends_every_wait_with_an_error():
    async with loading(max_batch=1, concurrency=1) as (rig, tasks):
        callers = [start(tasks, rig.load, key) for key in range(3)]
        await wait_all_tasks_blocked()
        rig.loader.stop()
        await wait_all_tasks_blocked()

        errors = [caller.outcome[key].error for key, caller in enumerate(callers)]
        assert [isinstance(error, CacheClosedError) for error in errors] == [True] * 3
        assert rig.stored == {}


async def test_a_stopped_loader_cancels_what_runs_and_starts_nothing_that_waits():
    async with loading(max_batch=1, concurrency=1) as (rig, tasks):
        start(tasks, rig.load, 1, 2)
        await wait_all_tasks_blocked()
        rig.loader.stop()
        await wait_all_tasks_blocked()

        assert rig.source.cancelled == [(1,)]
        assert rig.source.calls == [(1,)]


async def test_a_stopped_loader_is_busy_no_longer():
    async with loading(max_batch=1, concurrency=1) as (rig, tasks):
        start(tasks, rig.load, 1, 2)
        await wait_all_tasks_blocked()
        rig.loader.stop()
        await wait_all_tasks_blocked()

        assert not rig.loader.busy


async def test_a_stopped_loader_takes_no_more_callers():
    async with loading() as (rig, _):
        rig.loader.stop()

        with pytest.raises(CacheClosedError):
            rig.loader.batch_queue.join(1)
        with pytest.raises(CacheClosedError):
            await rig.loader.load_many([1])
