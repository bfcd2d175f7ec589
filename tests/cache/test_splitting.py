"""A bad key in a batch: with ``split_failed`` it fails alone; where that would do harm nothing is split."""

from __future__ import annotations

import math

import anyio
import pytest
from anyio import create_task_group, sleep, sleep_forever, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CircuitPolicy,
    CircuitState,
    LoadError,
    LoadPolicy,
    LoadTimeoutError,
    MappingSource,
    Status,
)
from async_backfill.events import LoadFinished
from tests.callers import leaked_cancellation, outcomes, start


class PoisonedSource:
    """Fails as a whole when a bad key is asked for."""

    def __init__(self, *bad, error=ValueError):
        self.bad = bad
        self.error = error
        self.calls = []

    async def load_many(self, keys):
        self.calls.append(keys)
        await checkpoint()
        if any(key in self.bad for key in keys):
            raise self.error("poison")
        return {key: f"row {key}" for key in keys}


SPLIT = LoadPolicy(split_failed=True)


@settings(deadline=None, max_examples=25)
@given(data=st.data(), size=st.integers(2, 300))
def test_one_bad_key_fails_alone_for_few_more_calls(data, size):
    bad = data.draw(st.integers(0, size - 1))
    source = PoisonedSource(bad)

    async def main():
        async with BackfillCache(source, load=SPLIT) as cache:
            ends = await outcomes(cache.get, *[(key,) for key in range(size)])
            return ends, cache.stats

    ends, stats = anyio.run(main)
    failed = ends.pop(bad)
    assert (type(failed), failed.key, type(failed.__cause__)) == (LoadError, bad, ValueError)
    assert ends == [f"row {key}" for key in range(size) if key != bad]
    assert len(source.calls) - 1 <= math.ceil(math.log2(size)) + 1
    assert (stats.failed, stats.source_keys, stats.size, stats.in_flight) == (1, size - 1, size - 1, 0)
    assert stats.source_calls == len(source.calls)


@pytest.mark.anyio
async def test_get_many_raises_for_the_bad_key_alone_and_caches_the_others():
    source = PoisonedSource(3)
    async with BackfillCache(source, load=SPLIT) as cache:
        with pytest.raises(LoadError) as failed:
            await cache.get_many(range(10))

        assert failed.value.key == 3
        assert cache.stats.size == 9


@pytest.mark.anyio
async def test_of_several_bad_keys_none_is_served_and_each_waiter_gets_an_end():
    source = PoisonedSource(3, 5, 90)
    async with BackfillCache(source, load=SPLIT) as cache:
        ends = await outcomes(cache.get, *[(key,) for key in range(100)])

        assert all(type(ends[key]) is LoadError for key in (3, 5, 90))
        assert all(end == f"row {key}" or type(end) is LoadError for key, end in enumerate(ends))
        assert len(source.calls) <= 1 + math.ceil(math.log2(100)) + 1
        assert cache.stats.in_flight == 0


@pytest.mark.anyio
async def test_by_default_nothing_is_split():
    source = PoisonedSource(3)
    async with BackfillCache(source) as cache:
        ends = await outcomes(cache.get, *[(key,) for key in range(10)])

        assert {type(end) for end in ends} == {LoadError}
        assert len(source.calls) == 1


@pytest.mark.anyio
async def test_a_call_for_a_single_key_is_not_made_again():
    source = PoisonedSource("a")
    async with BackfillCache(source, load=SPLIT) as cache:
        with pytest.raises(LoadError):
            await cache.get("a")

        assert source.calls == [("a",)]


@pytest.mark.anyio
async def test_a_timeout_is_not_split():
    calls = []

    class Source:
        async def load_many(self, keys):
            calls.append(keys)
            await sleep_forever()

    async with BackfillCache(Source(), load=LoadPolicy(split_failed=True, timeout=5)) as cache:
        ends = await outcomes(cache.get, *[(key,) for key in range(10)])

        assert {type(end) for end in ends} == {LoadTimeoutError}
        assert len(calls) == 1


@pytest.mark.anyio
async def test_a_timeout_during_the_search_ends_it_and_those_found_before_are_served():
    class Source(PoisonedSource):
        async def load_many(self, keys):
            if len(self.calls) == 2:
                self.calls.append(keys)
                await sleep_forever()
            return await super().load_many(keys)

    source = Source(7)
    async with BackfillCache(source, load=LoadPolicy(split_failed=True, timeout=5)) as cache:
        with pytest.raises(LoadTimeoutError) as failed:
            await cache.get_many(range(8))

        assert failed.value.key == 4
        assert [cache.peek(key) for key in range(8)] == [f"row {key}" for key in range(4)] + [None] * 4
        assert cache.stats.failed == 4
        assert len(source.calls) == 3
        assert await cache.get(4) == "row 4"


@pytest.mark.anyio
async def test_the_search_ends_when_everybody_has_left():
    class Source(PoisonedSource):
        async def load_many(self, keys):
            if self.calls:
                await sleep(10)
            return await super().load_many(keys)

    source = Source(3)
    async with BackfillCache(source, load=SPLIT) as cache, create_task_group() as tasks:
        callers = [start(tasks, cache.get, key) for key in range(100)]
        await sleep(5)
        for caller in callers:
            caller.cancel()
        await wait_all_tasks_blocked()

        assert len(source.calls) == 1
        await sleep(1000)
        assert len(source.calls) == 1
        assert cache.stats.in_flight == 0


@pytest.mark.anyio
async def test_the_search_goes_on_for_those_who_stay():
    source = PoisonedSource(3)
    async with BackfillCache(source, load=SPLIT) as cache, create_task_group() as tasks:
        callers = [start(tasks, cache.get, key) for key in range(100)]
        await checkpoint()
        for caller in callers[1:]:
            caller.cancel()
    assert callers[0].outcome == "row 0"


@pytest.mark.anyio
async def test_each_call_is_reported_with_its_own_keys_and_end():
    events = []
    source = PoisonedSource(3)
    async with BackfillCache(source, load=SPLIT, observers=[events.append]) as cache:
        with pytest.raises(LoadError):
            await cache.get_many(range(4))

    loads = [event for event in events if isinstance(event, LoadFinished)]
    assert [load.keys for load in loads] == source.calls == [(0, 1, 2, 3), (0, 1), (2,)]
    assert [load.found for load in loads] == [(), (0, 1), (2,)]
    assert [type(load.error) for load in loads] == [ValueError, type(None), type(None)]


@pytest.mark.anyio
async def test_a_write_during_the_search_wins():
    class Source(PoisonedSource):
        async def load_many(self, keys):
            if self.calls:
                await sleep(10)
            return await super().load_many(keys)

    async with BackfillCache(Source(3), load=SPLIT) as cache, create_task_group() as tasks:
        for key in range(8):
            start(tasks, cache.get, key)
        await sleep(5)
        await cache.put(0, "put")
        await cache.invalidate(1)
        await cache.settle()

        assert [cache.peek(key) for key in range(4)] == ["put", None, "row 2", None]


@pytest.mark.anyio
async def test_a_bad_key_in_a_backfill_leaves_the_others_backfilled():
    rows = dict.fromkeys(range(10), "row")
    source = PoisonedSource(3)
    async with BackfillCache(
        source, scan=MappingSource(rows), load=SPLIT, backfill=BackfillPolicy(min_lookups=100)
    ) as cache:
        record = await cache.force_backfill()

        assert (record.status, record.keys, record.loaded) == (Status.COMPLETED, 10, 9)
        assert cache.stats.size == 9


@pytest.mark.anyio
async def test_the_failed_calls_of_a_search_count_as_one_for_the_circuit():
    source = PoisonedSource(0)
    load = LoadPolicy(split_failed=True, circuit=CircuitPolicy(failures=2))
    async with BackfillCache(source, load=load) as cache:
        ends = await outcomes(cache.get, *[(key,) for key in range(100)])

        assert type(ends[0]) is LoadError
        assert ends[1:] == [f"row {key}" for key in range(1, 100)]
        assert cache.stats.circuit is CircuitState.CLOSED


@pytest.mark.anyio
async def test_the_call_that_opens_the_circuit_is_not_split():
    source = PoisonedSource(0)
    load = LoadPolicy(split_failed=True, circuit=CircuitPolicy(failures=1))
    async with BackfillCache(source, load=load) as cache:
        ends = await outcomes(cache.get, *[(key,) for key in range(10)])

        assert {(type(end), type(end.__cause__)) for end in ends} == {(LoadError, ValueError)}
        assert len(source.calls) == 1


@pytest.mark.anyio
async def test_a_cancellation_raised_by_the_source_in_the_search_fails_what_is_left():
    class Source(PoisonedSource):
        async def load_many(self, keys):
            if len(self.calls) == 2:
                self.calls.append(keys)
                raise self.leaked
            return await super().load_many(keys)

    source = Source(7)
    source.leaked = await leaked_cancellation()
    async with BackfillCache(source, load=SPLIT) as cache:
        with pytest.raises(LoadError) as failed:
            await cache.get_many(range(8))

        assert failed.value.key == 4
        assert [cache.peek(key) for key in range(8)] == [f"row {key}" for key in range(4)] + [None] * 4
        assert cache.stats.failed == 4
        assert await cache.get(4) == "row 4"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_during_the_search_still_ends_the_program(error, backend):
    class Source(PoisonedSource):
        async def load_many(self, keys):
            if self.calls:
                raise error
            return await super().load_many(keys)

    async def main():
        async with BackfillCache(Source(3), load=SPLIT) as cache:
            await outcomes(cache.get, *[(key,) for key in range(8)])
            await sleep_forever()

    with pytest.raises(BaseException) as ended:
        anyio.run(main, backend=backend)
    assert ended.type is error or ended.value.subgroup(error) is not None
