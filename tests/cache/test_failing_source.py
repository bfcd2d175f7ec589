"""A source that fails: who is told, how, and that nothing of it stays."""

from __future__ import annotations

import traceback

import pytest
from anyio import CancelScope, create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from async_backfill import (
    AsyncBackfillError,
    BackfillCache,
    LoadError,
    LoadPolicy,
    MappingSource,
    SimulatedSource,
    Status,
)
from async_backfill.testing import GatedSource
from tests.callers import leaked_cancellation, outcomes, run, start

pytestmark = pytest.mark.anyio

ROWS = {"a": 1, "b": 2}


class OddError(BaseException):
    """An error that ``except Exception`` does not catch."""


class FailingSource:
    """Raises ``error`` until it is mended."""

    def __init__(self, error):
        self.error = error
        self.calls = []

    async def load_many(self, keys):
        self.calls.append(keys)
        await checkpoint()
        if self.error is not None:
            raise self.error
        return {key: ROWS[key] for key in keys if key in ROWS}


async def test_a_failure_of_the_source_is_a_load_error_that_names_the_key_and_the_cause():
    failure = ConnectionError("the database is gone")
    async with BackfillCache(FailingSource(failure)) as cache:
        with pytest.raises(LoadError, match=r"'a'.*ConnectionError: the database is gone") as failed:
            await cache.get("a")

        assert failed.value.key == "a"
        assert failed.value.__cause__ is failure


async def test_a_failure_makes_one_call_and_reaches_every_waiter():
    source = FailingSource(ConnectionError("down"))
    async with BackfillCache(source) as cache:
        ends = await outcomes(cache.get, *[("a",)] * 1000)

        assert source.calls == [("a",)]
        assert {type(end) for end in ends} == {LoadError}
        assert (cache.stats.failed, cache.stats.misses) == (1000, 1000)


async def test_every_waiter_gets_an_exception_of_its_own_with_the_same_cause():
    failure = ConnectionError("down")
    async with BackfillCache(FailingSource(failure)) as cache:
        ends = await outcomes(cache.get, *[("a",)] * 50, *[("b",)] * 50)

        assert len({id(end) for end in ends}) == 100
        assert all(end.__cause__ is failure for end in ends)
        assert [end.key for end in ends] == ["a"] * 50 + ["b"] * 50


async def test_the_traceback_of_the_last_of_a_thousand_waiters_is_as_short_as_the_first():
    async with BackfillCache(FailingSource(ConnectionError("down"))) as cache:
        ends = await outcomes(cache.get, *[("a",)] * 1000)

    first, last = (len(traceback.format_exception(end)) for end in (ends[0], ends[-1]))
    assert first == last < 25


async def test_a_failure_is_not_cached_and_the_next_get_tries_again():
    source = FailingSource(ConnectionError("down"))
    async with BackfillCache(source) as cache:
        with pytest.raises(LoadError):
            await cache.get("a")
        assert (cache.stats.size, cache.stats.in_flight) == (0, 0)
        source.error = None

        assert await cache.get("a") == 1
        assert source.calls == [("a",), ("a",)]


async def test_a_failure_leaves_what_was_cached():
    source = FailingSource(None)
    async with BackfillCache(source) as cache:
        await cache.get("a")
        source.error = ConnectionError("down")
        with pytest.raises(LoadError):
            await cache.get("b")

        assert await cache.get("a") == 1


async def test_a_failure_is_no_absence():
    async with BackfillCache(FailingSource(ConnectionError("down"))) as cache:
        with pytest.raises(LoadError):
            await cache.get("a", "default")
        with pytest.raises(LoadError):
            await cache.fetch("a")

        assert (cache.stats.failed, cache.stats.absent) == (2, 0)


@pytest.mark.parametrize("error", [OddError("odd"), GeneratorExit(), StopAsyncIteration(), Warning("w")])
async def test_whatever_a_source_raises_is_a_load_error_and_the_cache_goes_on(error):
    source = FailingSource(error)
    async with BackfillCache(source) as cache:
        ends = await outcomes(cache.get, ("a",), ("a",), ("b",))
        assert [(type(end), end.__cause__) for end in ends] == [(LoadError, error)] * 3
        source.error = None

        assert await cache.get_many("ab") == ROWS


async def test_a_failure_without_a_text_is_told_by_its_type():
    async with BackfillCache(FailingSource(KeyError())) as cache:
        with pytest.raises(LoadError, match="failed: KeyError;"):
            await cache.get("a")


async def test_a_source_that_cancels_itself_fails_its_load_and_cancels_nobody():
    source = FailingSource(await leaked_cancellation())
    async with BackfillCache(source) as cache:
        with CancelScope() as around:
            ends = await outcomes(cache.get, *[("a",)] * 10, *[("b",)] * 10)
            await checkpoint()

        assert not around.cancelled_caught
        assert [type(end) for end in ends] == [LoadError] * 20
        assert len(source.calls) == 1


async def test_after_a_source_cancelled_itself_the_next_get_loads_again():
    source = FailingSource(await leaked_cancellation())
    async with BackfillCache(source, load=LoadPolicy(concurrency=1)) as cache:
        for _ in range(20):
            with pytest.raises(LoadError):
                await cache.get("a")
        source.error = None

        assert await cache.get("a") == 1
        assert cache.stats.in_flight == 0


async def test_loads_that_wait_for_a_place_are_made_though_the_last_cancelled_itself():
    source = FailingSource(await leaked_cancellation())
    load = LoadPolicy(concurrency=1, max_batch=1)
    async with BackfillCache(source, load=load) as cache:
        ends = await outcomes(cache.get, *[(key,) for key in range(10)])

        assert [type(end) for end in ends] == [LoadError] * 10
        assert len(source.calls) == 10


async def test_a_source_that_cancels_itself_fails_a_backfill_and_cancels_nobody():
    source = FailingSource(await leaked_cancellation())
    async with BackfillCache(source, scan=MappingSource(ROWS)) as cache:
        record = await cache.force_backfill()

        assert record.status is Status.FAILED
        source.error = None
        assert (await cache.force_backfill()).status is Status.COMPLETED


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exception_that_ends_the_process_goes_through_and_the_cache_works(backend, error):
    source = FailingSource(error())
    cache = BackfillCache(source)

    async def main():
        async with cache:
            await outcomes(cache.get, ("a",), ("b",))
            await wait_all_tasks_blocked()

    async def again():
        async with cache:
            return await cache.get("a")

    with pytest.raises(BaseException) as raised:  # each backend wraps it in its own way
        run(main, backend)

    assert raised.type is error or raised.group_contains(error)
    source.error = None
    assert run(again, backend) == 1


async def test_failures_of_one_call_in_two_reach_only_the_callers_of_that_call():
    source = GatedSource(ROWS)
    load = LoadPolicy(max_batch=1)
    async with BackfillCache(source, load=load) as cache, create_task_group() as tasks:
        a = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        b = start(tasks, cache.get, "b")
        await wait_all_tasks_blocked()
        source.release(ConnectionError("down"))
        source.release()
        await wait_all_tasks_blocked()

        assert isinstance(a.outcome, LoadError)
        assert b.outcome == 2


async def test_a_source_that_fails_half_the_time_is_asked_until_everything_is_there():
    rows = {number: -number for number in range(50)}
    source = SimulatedSource(rows, latency=0.1, error_rate=0.5, seed=7)

    async def insist(key):
        while True:
            try:
                return await cache.get(key)
            except AsyncBackfillError:
                await checkpoint()

    async with BackfillCache(source, load=LoadPolicy(max_batch=3)) as cache:
        values = await outcomes(insist, *[(number,) for number in range(50)])

        assert values == list(rows.values())
        assert source.failures > 5
        assert cache.stats.source_keys == 50
