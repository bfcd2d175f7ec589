"""The histograms: how long loads took, how long callers waited, and that others pay nothing for it."""

from __future__ import annotations

import logging

import pytest
from anyio import CancelScope, create_task_group, current_time, sleep

from async_backfill import BackfillCache, LoadError, LoadPolicy, MappingSource, SimulatedSource, Status
from async_backfill.prometheus import CacheMetrics
from async_backfill.stats import CacheMeter
from tests.metrics.scraped import samples, values

pytestmark = pytest.mark.anyio

ROWS = {number: number for number in range(100)}


class Waits(CacheMeter):
    """Takes note of each wait."""

    def __init__(self):
        self.seconds = []

    def __call__(self, event):
        pass

    def watch(self, _, __):
        return self.seconds.append


class Ticking(MappingSource):
    """Answers after half a second."""

    async def load_many(self, keys):
        await sleep(0.5)
        if -1 in keys:
            raise ConnectionError("down")
        return await super().load_many(keys)


def cache_of(*observers, source=None, **settings):
    source = Ticking(ROWS) if source is None else source
    return BackfillCache(source, name="p", observers=observers, clock=current_time, **settings)


async def test_each_caller_is_told_to_have_waited_from_its_own_miss_on():
    waits = Waits()
    async with cache_of(waits) as cache, create_task_group() as tasks:
        tasks.start_soon(cache.get, 1)
        await sleep(0.2)
        tasks.start_soon(cache.get, 1)
        tasks.start_soon(cache.get_many, [1, 2, 3])

    assert sorted(waits.seconds) == pytest.approx([0.3, 0.5, 0.5])


async def test_a_hit_has_not_waited():
    waits = Waits()
    async with cache_of(waits) as cache:
        await cache.get(1)
        waits.seconds.clear()
        await cache.get(1)
        await cache.get_many([1])

    assert waits.seconds == []


async def test_who_got_an_error_and_who_left_have_waited_as_well():
    waits = Waits()
    async with cache_of(waits) as cache:
        with pytest.raises(LoadError):
            await cache.get(-1)
        with CancelScope() as scope:
            async with create_task_group() as tasks:
                tasks.start_soon(cache.get, 5)
                await sleep(0.1)
                scope.cancel()
        await cache.settle()

        assert waits.seconds == pytest.approx([0.5, 0.1])
        assert cache.stats.in_flight == 0


async def test_a_source_that_answers_at_once_makes_a_wait_as_well():
    waits = Waits()
    async with cache_of(waits, source=MappingSource(ROWS)) as cache:
        await cache.get(1)
        await cache.get_many([2, 3])

    assert waits.seconds == [0.0, 0.0]


async def test_a_meter_that_raises_disturbs_no_caller_and_is_logged(caplog):
    class Broken(Waits):
        def watch(self, _, __):
            return len  # of a number there is none

    with caplog.at_level(logging.WARNING):
        async with cache_of(Broken(), source=MappingSource(ROWS)) as cache:
            assert await cache.get(1) == 1

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "failed on float" in caplog.text


async def test_without_a_meter_no_wait_is_measured():
    cache = cache_of(lambda _: None)
    async with cache:
        assert cache._parts.reports.waited is None


async def test_a_scrape_counts_loads_by_their_cause_and_waits(registry):
    source = MappingSource(ROWS)
    async with cache_of(CacheMetrics(registry), source=source, scan=source, max_backfills=0) as cache:
        await cache.get(1)
        await cache.get_many([2, 3])
        await cache.get(1)
        record = await cache.force_backfill()
        await cache.settle()

    assert record.status is Status.COMPLETED
    loads = values(registry, "load_duration_seconds_count", cache="p")
    assert loads == {cause.value: count for cause, count in cache.stats.calls.items()}
    assert loads == {"miss": 2, "refresh": 0, "backfill": 1}
    assert values(registry, "wait_duration_seconds_count", cache="p") == 2
    assert values(registry, "backfill_duration_seconds_count", cache="p") == 1


async def test_a_scrape_has_the_seconds_of_loads_in_their_buckets(registry):
    async with cache_of(CacheMetrics(registry), source=SimulatedSource(ROWS, latency=0.3)) as cache:
        await cache.get(1)

    found = samples(registry, cache="p", cause="miss")
    assert found["load_duration_seconds_sum",] == pytest.approx(0.3)
    assert found["load_duration_seconds_bucket", ("le", "0.25")] == 0
    assert found["load_duration_seconds_bucket", ("le", "0.5")] == 1


async def test_a_stampede_is_answered_and_measured_for_each_caller(registry):
    async with cache_of(CacheMetrics(registry), load=LoadPolicy(max_batch=10)) as cache:
        found = []

        async def ask(key):
            found.append(await cache.get(key))

        async with create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(ask, number % 40)

    assert sorted(found) == sorted(number % 40 for number in range(200))
    assert values(registry, "wait_duration_seconds_count", cache="p") == cache.stats.misses == 200
