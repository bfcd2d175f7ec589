"""One source call and its timeout: how long it may take, and which error says that it was stopped."""

from __future__ import annotations

import pytest
from anyio import create_task_group, current_time, get_cancelled_exc_class, sleep, sleep_forever

from async_backfill import (
    BackfillCache,
    LoadError,
    LoadPolicy,
    LoadTimeoutError,
    SimulatedSource,
)
from async_backfill.testing import GatedSource
from tests.callers import outcomes, start

pytestmark = pytest.mark.anyio


async def failure_from(source, key="a"):
    async with BackfillCache(source) as cache:
        with pytest.raises(LoadError) as failed:
            await cache.get(key)
        assert cache.peek(key) is None
        assert cache.stats.in_flight == 0
    return failed.value


async def test_a_call_that_takes_too_long_raises_a_timeout():
    async with BackfillCache(SimulatedSource({"a": 1}, latency=3600), load=LoadPolicy(timeout=30)) as cache:
        before = current_time()
        with pytest.raises(LoadTimeoutError, match=r"took longer than 30\.0 s") as failed:
            await cache.get("a")

        assert current_time() == pytest.approx(before + 30)
        assert isinstance(failed.value, TimeoutError)
        assert failed.value.key == "a"


async def test_a_timeout_cancels_the_call_and_the_key_can_be_used_at_once():
    source = GatedSource({"a": 1})
    async with BackfillCache(source, load=LoadPolicy(timeout=30)) as cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("a")

        assert source.cancelled == [("a",)]
        assert cache.stats.in_flight == 0
        source.open()
        assert await cache.get("a") == 1


async def test_every_waiter_of_a_call_that_takes_too_long_gets_the_timeout():
    async with BackfillCache(GatedSource({}), load=LoadPolicy(timeout=30)) as cache:
        ends = await outcomes(cache.get, *[("a",)] * 10, *[("b",)] * 10)

        assert [type(end) for end in ends] == [LoadTimeoutError] * 20
        assert len({id(end) for end in ends}) == 20


async def test_the_time_that_a_load_waits_for_a_place_is_not_counted():
    source = SimulatedSource({"a": 1, "b": 2, "c": 3}, latency=20)
    async with BackfillCache(source, load=LoadPolicy(timeout=30, concurrency=1, max_batch=1)) as cache:
        assert await outcomes(cache.get, ("a",), ("b",), ("c",)) == [1, 2, 3]


async def test_without_a_timeout_a_call_may_take_for_ever():
    async with BackfillCache(SimulatedSource({"a": 1}, latency=1e6), load=LoadPolicy(timeout=None)) as cache:
        assert await cache.get("a") == 1


async def test_a_timeout_of_the_source_itself_is_a_failed_load_like_others():
    class Source:
        async def load_many(self, keys):
            raise TimeoutError(f"the database, for {keys}")

    failure = await failure_from(Source())

    assert not isinstance(failure, LoadTimeoutError)
    assert isinstance(failure.__cause__, TimeoutError)


async def test_a_source_that_fails_while_it_is_stopped_has_timed_out_and_both_are_told():
    class Source:
        async def load_many(self, keys):
            try:
                await sleep_forever()
            finally:
                raise ConnectionError(f"while it gave up {keys}")

    failure = await failure_from(Source())

    assert isinstance(failure, LoadTimeoutError)
    assert isinstance(failure.__cause__.__cause__, ConnectionError)


async def test_an_answer_that_comes_although_the_call_was_stopped_is_taken():
    class Source:
        async def load_many(self, keys):
            try:
                await sleep_forever()
            except get_cancelled_exc_class():
                return dict.fromkeys(keys, "late")

    async with BackfillCache(Source(), load=LoadPolicy(timeout=30)) as cache:
        assert await cache.get("a") == "late"


async def test_a_load_that_everyone_left_is_not_reported_as_a_timeout():
    events = []
    source = GatedSource({"a": 1})
    async with BackfillCache(source, observers=[events.append], load=LoadPolicy(timeout=30)) as cache:
        async with create_task_group() as tasks:
            caller = start(tasks, cache.get, "a")
            await sleep(1)
            caller.cancel()
        await cache.settle()

        assert source.cancelled == [("a",)]
        assert [event for event in events if isinstance(event.error, LoadTimeoutError)] == []
