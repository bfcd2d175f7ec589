"""The loader alone: from waiting callers to batches, and from batches to source calls."""

from __future__ import annotations

import pytest
from anyio import current_time, sleep, wait_all_tasks_blocked

from async_backfill import LoadError, SimulatedSource
from async_backfill._loading.batch import BatchState
from async_backfill.outcomes import ABSENT, Failed, LoadCause
from tests.callers import start
from tests.loading.rigs import ROWS, loading

pytestmark = pytest.mark.anyio


async def test_keys_asked_for_in_one_turn_of_the_loop_make_one_call():
    async with loading() as (rig, tasks):
        for key in range(50):
            start(tasks, rig.load, key)
        await wait_all_tasks_blocked()

        assert len(rig.source.calls) == 1
        assert set(rig.source.calls[0]) == set(range(50))


async def test_no_call_asks_for_more_keys_than_a_batch_may_have():
    async with loading(max_batch=20) as (rig, tasks):
        start(tasks, rig.load, *range(50))
        await wait_all_tasks_blocked()

        assert rig.source.calls == [tuple(range(20)), tuple(range(20, 40)), tuple(range(40, 50))]


async def test_no_more_calls_run_at_once_than_the_policy_allows():
    async with loading(max_batch=1, concurrency=4) as (rig, tasks):
        start(tasks, rig.load, *range(10))
        await wait_all_tasks_blocked()

        assert rig.source.waiting == 4
        assert len(rig.source.calls) == 4


async def test_a_call_that_ends_makes_room_for_the_next_one():
    async with loading(max_batch=1, concurrency=4) as (rig, tasks):
        start(tasks, rig.load, *range(10))
        await wait_all_tasks_blocked()
        rig.source.release()
        await wait_all_tasks_blocked()

        assert rig.source.waiting == 4
        assert len(rig.source.calls) == 5


async def test_batches_are_loaded_in_the_order_they_were_asked_for():
    async with loading(max_batch=1, concurrency=1) as (rig, _):
        rig.source.open()
        await rig.load(*range(10))

        assert rig.source.calls == [(key,) for key in range(10)]


async def test_keys_that_wait_for_a_free_place_share_the_next_call():
    async with loading(concurrency=1) as (rig, tasks):
        start(tasks, rig.load, 0)
        await wait_all_tasks_blocked()
        for key in range(1, 30):
            start(tasks, rig.load, key)
            await wait_all_tasks_blocked()
        rig.source.open()
        await rig.loader.quiet()

        assert rig.source.calls == [(0,), tuple(range(1, 30))]


async def test_the_first_caller_leads_and_a_later_one_joins_its_batch():
    async with loading() as (rig, _):
        first, leads = rig.loader.batch_queue.join("a")
        second, leads_too = rig.loader.batch_queue.join("a")

        assert (leads, leads_too) == (True, False)
        assert second is first


async def test_a_key_that_the_source_has_not_is_absent():
    async with loading() as (rig, _):
        rig.source.open()

        assert await rig.load(1, "unknown") == {1: "row 1", "unknown": ABSENT}
        assert rig.stored == {1: "row 1"}


async def test_a_batch_lands_then_is_stored_then_releases_its_locks():
    seen = []

    async with loading() as (rig, _):
        batch, _ = rig.loader.batch_queue.join(1)
        rig.loader._landed = lambda stored, keys: seen.append(
            (stored is batch, stored.state, stored.values(keys), 1 in rig.loader.locks)
        )
        rig.source.open()
        await rig.loader.wait({batch: 1})

        assert seen == [(True, BatchState.LANDED, {1: "row 1"}, True)]
        assert 1 not in rig.loader.locks


async def test_a_revoked_key_is_delivered_and_not_stored():
    async with loading() as (rig, tasks):
        caller = start(tasks, rig.load, 1, 2)
        await wait_all_tasks_blocked()
        rig.loader.locks.revoke([1])
        rig.source.open()
        await rig.loader.quiet()
        await wait_all_tasks_blocked()

        assert caller.outcome == {1: "row 1", 2: "row 2"}
        assert rig.stored == {2: "row 2"}


async def test_every_ended_call_is_reported_once():
    async with loading(max_batch=2) as (rig, _):
        rig.source.open()
        await rig.load(1, 2, 3, "unknown")

        assert [(event.keys, event.found, event.error) for event in rig.events] == [
            ((1, 2), (1, 2), None),
            ((3, "unknown"), (3,), None),
        ]
        assert {event.cause for event in rig.events} == {LoadCause.MISS}


async def test_an_open_batch_waits_as_long_as_it_should_linger():
    async with loading(SimulatedSource(ROWS), linger=10.0) as (rig, tasks):
        before = current_time()
        start(tasks, rig.load, 1)
        await sleep(9)
        await rig.load(2)

        assert current_time() == pytest.approx(before + 10)
        assert (rig.source.calls, rig.source.keys) == (1, 2)


async def test_a_batch_that_is_full_from_the_start_does_not_linger():
    async with loading(SimulatedSource(ROWS), linger=10.0, max_batch=2) as (rig, _):
        before = current_time()
        await rig.load(1, 2)

        assert current_time() == before


async def test_a_full_batch_lingers_no_longer():
    async with loading(SimulatedSource(ROWS), linger=10.0, max_batch=2) as (rig, tasks):
        before = current_time()
        start(tasks, rig.load, 1)
        await sleep(3)
        await rig.load(2)

        assert current_time() == pytest.approx(before + 3)
        assert rig.source.calls == 1


async def test_a_failed_call_fails_the_keys_of_its_batch_only():
    async with loading(max_batch=1, concurrency=1) as (rig, tasks):
        caller = start(tasks, rig.load, 1, 2)
        await wait_all_tasks_blocked()
        failure = ConnectionError("down")
        rig.source.release(failure)
        rig.source.open()
        await rig.loader.quiet()
        await wait_all_tasks_blocked()

        assert caller.outcome == {1: Failed(failure), 2: "row 2"}
        assert rig.stored == {2: "row 2"}
        assert not isinstance(caller.outcome[1].error, LoadError)
