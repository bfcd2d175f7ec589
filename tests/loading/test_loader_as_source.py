"""The loader as the source of backfills: below live misses in priority, and never the same key twice."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import LoadError, LoadPolicy
from async_backfill._loading.loader import Loader
from async_backfill.outcomes import ELSEWHERE, Failed, LoadCause
from async_backfill.testing import GatedSource
from tests.callers import leaked_cancellation, start

pytestmark = pytest.mark.anyio

ROWS = {key: key.upper() for key in "abcdefgh"}


@asynccontextmanager
async def loading(**policy):
    source = GatedSource(ROWS)
    async with create_task_group() as tasks:
        loader = Loader(
            source,
            policy=LoadPolicy(**policy),
            landed=lambda _batch, _keys: None,
            report=lambda _event: None,
            spawn=tasks.start_soon,
            clock=time.monotonic,
        )
        yield loader, source, tasks
        tasks.cancel_scope.cancel()


async def live(loader, key):
    batch, _ = loader.batch_queue.join(key)
    await loader.wait({batch: key})
    return batch.outcome(key)


async def test_it_answers_what_exists():
    async with loading() as (loader, source, _):
        source.open()

        assert await loader.load_many(["a", "unknown", "b"]) == {"a": "A", "b": "B"}


async def test_it_answers_nothing_at_once_when_it_is_asked_nothing():
    async with loading() as (loader, source, _):
        assert await loader.load_many([]) == {}
        assert source.calls == []


async def test_it_says_of_keys_in_flight_that_they_are_loaded_elsewhere():
    async with loading() as (loader, source, tasks):
        start(tasks, live, loader, "a")
        await wait_all_tasks_blocked()
        backfill = start(tasks, loader.load_many, ["a", "b"])
        await wait_all_tasks_blocked()
        source.open()
        await loader.quiet()
        await wait_all_tasks_blocked()

        assert source.calls == [("a",), ("b",)]
        assert backfill.outcome == {"a": ELSEWHERE, "b": "B"}


async def test_it_asks_for_a_repeated_key_once():
    async with loading() as (loader, source, _):
        source.open()
        await loader.load_many(["a", "b", "a"])

        assert source.calls == [("a", "b")]


async def test_it_is_split_into_batches():
    async with loading(max_batch=3) as (loader, source, _):
        source.open()
        await loader.load_many("abcdefgh")

        assert sorted(source.calls) == [tuple("abc"), tuple("def"), tuple("gh")]


async def test_it_does_not_linger():
    async with loading(linger=10.0, timeout=1.0) as (loader, source, tasks):
        start(tasks, loader.load_many, ["a"])
        await wait_all_tasks_blocked()

        assert source.calls == [("a",)]


async def test_a_live_miss_goes_before_the_batches_that_wait():
    async with loading(max_batch=2, concurrency=1) as (loader, source, tasks):
        start(tasks, loader.load_many, "abcdef")
        await wait_all_tasks_blocked()
        start(tasks, live, loader, "h")
        await wait_all_tasks_blocked()
        source.open()
        await loader.quiet()

        assert source.calls == [("a", "b"), ("h",), ("c", "d"), ("e", "f")]


async def test_a_live_caller_takes_its_key_out_of_a_batch_that_waits():
    async with loading(max_batch=2, concurrency=1) as (loader, source, tasks):
        backfill = start(tasks, loader.load_many, "abcd")
        await wait_all_tasks_blocked()
        batch, leads = loader.batch_queue.join("c")
        caller = start(tasks, live, loader, "c")
        await wait_all_tasks_blocked()
        source.open()
        await loader.quiet()
        await wait_all_tasks_blocked()

        assert (batch.cause, leads) == (LoadCause.MISS, True)
        assert source.calls == [("a", "b"), ("c",), ("d",)]
        assert caller.outcome == "C"
        assert backfill.outcome == {"a": "A", "b": "B", "c": ELSEWHERE, "d": "D"}


async def test_a_batch_that_live_callers_emptied_makes_no_call():
    async with loading(max_batch=1, concurrency=1) as (loader, source, tasks):
        backfill = start(tasks, loader.load_many, "ab")
        await wait_all_tasks_blocked()
        start(tasks, live, loader, "b")
        await wait_all_tasks_blocked()
        source.open()
        await loader.quiet()
        await wait_all_tasks_blocked()

        assert source.calls == [("a",), ("b",)]
        assert backfill.outcome == {"a": "A", "b": ELSEWHERE}


async def test_a_live_caller_joins_a_batch_that_is_loading():
    async with loading() as (loader, source, tasks):
        start(tasks, loader.load_many, "ab")
        await wait_all_tasks_blocked()
        batch, leads = loader.batch_queue.join("a")
        caller = start(tasks, live, loader, "a")
        await wait_all_tasks_blocked()
        source.open()
        await loader.quiet()
        await wait_all_tasks_blocked()

        assert (batch.cause, leads, batch.wanted) == (LoadCause.BACKFILL, False, {"a"})
        assert source.calls == [("a", "b")]
        assert caller.outcome == "A"


async def test_it_raises_when_a_batch_failed_once_all_have_ended():
    async with loading(max_batch=1, concurrency=1) as (loader, source, tasks):
        backfill = start(tasks, loader.load_many, "ab")
        await wait_all_tasks_blocked()
        failure = ConnectionError("down")
        source.release(failure)
        source.open()
        await loader.quiet()
        await wait_all_tasks_blocked()

        assert isinstance(backfill.outcome, LoadError)
        assert backfill.outcome.__cause__ is failure
        assert source.calls == [("a",), ("b",)]


async def test_it_hands_on_the_failures_of_single_keys():
    async with loading() as (loader, source, _):
        failed = Failed(ConnectionError("down"))
        source.rows = {"a": failed, "b": "B"}
        source.open()

        assert await loader.load_many("ab") == {"a": failed, "b": "B"}


async def test_cancelling_it_ends_its_loads_and_frees_its_keys():
    async with loading(max_batch=1, concurrency=1) as (loader, source, tasks):
        backfill = start(tasks, loader.load_many, "ab")
        await wait_all_tasks_blocked()
        backfill.cancel()
        await wait_all_tasks_blocked()

        assert source.cancelled == [("a",)]
        assert len(loader.locks) == 0
        assert not loader.busy


async def test_cancelling_it_does_not_end_a_load_that_a_live_caller_waits_for():
    async with loading() as (loader, source, tasks):
        backfill = start(tasks, loader.load_many, "ab")
        await wait_all_tasks_blocked()
        caller = start(tasks, live, loader, "a")
        await wait_all_tasks_blocked()
        backfill.cancel()
        await wait_all_tasks_blocked()
        source.open()
        await loader.quiet()
        await wait_all_tasks_blocked()

        assert caller.outcome == "A"
        assert source.cancelled == []


async def test_a_batch_that_a_live_caller_empties_at_the_last_moment_makes_no_call():
    for _ in range(20):  # trio runs what is ready in an order of its own
        async with loading(max_batch=1, concurrency=1) as (loader, source, tasks):

            async def one_after_the_other(loader=loader):
                await live(loader, "x")
                return await live(loader, "a")

            caller = start(tasks, one_after_the_other)
            await wait_all_tasks_blocked()
            start(tasks, loader.load_many, "a")
            await wait_all_tasks_blocked()
            source.release(await leaked_cancellation())
            source.open()
            await loader.quiet()
            await wait_all_tasks_blocked()

            assert set(source.calls) == {("x",), ("a",)}
            assert caller.outcome == "A"
