"""A cache whose source keeps failing: it is left alone for a while, and callers are told at once."""

from __future__ import annotations

import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CircuitOpenError,
    CircuitPolicy,
    CircuitState,
    FreshnessPolicy,
    LoadError,
    LoadPolicy,
    MappingSource,
    Status,
)
from async_backfill.testing import GatedSource, ManualClock
from tests.callers import outcomes, start

pytestmark = pytest.mark.anyio

ROWS = {"a": 1, "b": 2}


class Source:
    """Fails while it is ``down``."""

    def __init__(self):
        self.down = True
        self.calls = 0

    async def load_many(self, keys):
        self.calls += 1
        await checkpoint()
        if self.down:
            raise ConnectionError("down")
        return {key: ROWS[key] for key in keys if key in ROWS}


def new_cache(source, **settings):
    clock = ManualClock()
    load = LoadPolicy(circuit=CircuitPolicy(failures=3, open_for=10), timeout=60)
    return BackfillCache(source, load=load, clock=clock, **settings), clock


async def fail(cache, times):
    for _ in range(times):
        with pytest.raises(LoadError):
            await cache.get("a")


async def test_after_three_failures_in_a_row_callers_fail_at_once_without_a_call():
    source = Source()
    cache, _ = new_cache(source)
    async with cache:
        await fail(cache, 3)
        ends = await outcomes(cache.get, *[("a",), ("b",)] * 50)

        assert {type(end) for end in ends} == {CircuitOpenError}
        assert [end.key for end in ends] == ["a", "b"] * 50
        assert len({id(end) for end in ends}) == 100
        assert source.calls == 3
        assert (cache.stats.source_calls, cache.stats.failed, cache.stats.in_flight) == (3, 103, 0)


async def test_the_state_of_the_circuit_is_in_the_stats():
    source = Source()
    cache, clock = new_cache(source)
    assert cache.stats.circuit is None
    async with cache:
        states = [cache.stats.circuit]
        await fail(cache, 3)
        states.append(cache.stats.circuit)
        clock.advance(10)
        states.append(cache.stats.circuit)
        source.down = False
        await cache.get("a")
        states.append(cache.stats.circuit)

    assert states == ["closed", "open", "half_open", "closed"]
    async with BackfillCache(source) as without:
        assert without.stats.circuit is None


async def test_a_success_closes_it_for_everybody():
    source = Source()
    cache, clock = new_cache(source)
    async with cache:
        await fail(cache, 3)
        clock.advance(10)
        source.down = False

        assert await cache.get("a") == 1
        assert await cache.get("b") == 2
        assert await cache.get("absent") is None


async def test_one_probe_is_let_through_at_a_time_and_a_failed_one_starts_the_wait_again():
    source = GatedSource(ROWS)
    cache, clock = new_cache(source)
    async with cache, create_task_group() as tasks:
        for key in "abc":
            start(tasks, cache.get, key)
            await wait_all_tasks_blocked()
            source.release(ConnectionError("down"))
            await wait_all_tasks_blocked()
        clock.advance(10)
        probe = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        others = await outcomes(cache.get, *[("b",)] * 10)
        assert {type(end) for end in others} == {CircuitOpenError}
        assert len(source.calls) == 4
        source.release(ConnectionError("still down"))
        await wait_all_tasks_blocked()

        assert type(probe.outcome) is LoadError
        assert cache.stats.circuit is CircuitState.OPEN


async def test_those_who_want_the_key_of_the_probe_wait_for_it():
    source = Source()
    cache, clock = new_cache(source)
    async with cache:
        await fail(cache, 3)
        clock.advance(10)
        source.down = False

        assert await outcomes(cache.get, *[("a",)] * 10) == [1] * 10
        assert source.calls == 4


async def test_a_straggler_that_succeeds_after_it_opened_does_not_close_it():
    source = GatedSource(ROWS)
    cache, _ = new_cache(source)
    async with cache, create_task_group() as tasks:
        callers = []
        for key in "bcda":
            callers.append(start(tasks, cache.get, key))
            await wait_all_tasks_blocked()
        straggler = source._waiting.pop(3)
        for _ in range(3):
            source.release(ConnectionError("down"))
        await wait_all_tasks_blocked()
        straggler[0].set()
        await wait_all_tasks_blocked()

        assert callers[3].outcome == 1
        assert cache.stats.circuit is CircuitState.OPEN


async def test_a_probe_that_everybody_gave_up_does_not_block_the_next():
    source = GatedSource(ROWS)
    cache, clock = new_cache(source)
    async with cache, create_task_group() as tasks:
        for key in "abc":
            start(tasks, cache.get, key)
            await wait_all_tasks_blocked()
            source.release(ConnectionError("down"))
            await wait_all_tasks_blocked()
        clock.advance(10)
        probe = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        probe.cancel()
        await wait_all_tasks_blocked()
        source.open()

        assert await cache.get("b") == 2
        assert cache.stats.circuit is CircuitState.CLOSED


async def test_a_timeout_is_a_failure():
    cache, _ = new_cache(GatedSource(ROWS))
    async with cache:
        await fail(cache, 3)

        assert cache.stats.circuit is CircuitState.OPEN


async def test_a_key_that_does_not_exist_is_no_failure():
    source = Source()
    source.down = False
    cache, _ = new_cache(source)
    async with cache:
        for _ in range(10):
            assert await cache.get("absent") is None

        assert cache.stats.circuit is CircuitState.CLOSED


async def test_what_is_cached_and_what_is_put_is_served_while_it_is_open():
    source = Source()
    cache, _ = new_cache(source)
    async with cache:
        await fail(cache, 3)
        await cache.put("b", "put")

        assert await cache.get("b") == "put"


async def test_a_stale_value_is_served_while_it_is_open():
    source = Source()
    freshness = FreshnessPolicy(ttl=5, stale_for=1000, stale_wait=None)
    cache, clock = new_cache(source, freshness=freshness)
    async with cache:
        await cache.put("b", "old")
        await fail(cache, 3)
        clock.advance(6)

        assert await cache.get("b") == "old"
        assert source.calls == 3
        assert cache.stats.circuit is CircuitState.OPEN


async def test_a_backfill_is_skipped_while_it_is_open_and_costs_no_permit():
    source = Source()
    cache, _ = new_cache(
        source, scan=MappingSource(ROWS), max_backfills=5, backfill=BackfillPolicy(min_lookups=4)
    )
    async with cache:
        await fail(cache, 3)
        await fail(cache, 3)
        await cache.settle()

        assert (cache.stats.permits_left, cache.stats.backfills, cache.stats.backfills_skipped) == (5, 0, 3)
        assert (await cache.force_backfill()).status is Status.SKIPPED
        assert source.calls == 3


async def test_a_backfill_beside_a_probe_costs_no_permit():
    source = GatedSource(ROWS)
    cache, clock = new_cache(
        source, scan=MappingSource(ROWS), max_backfills=5, backfill=BackfillPolicy(min_lookups=4)
    )
    async with cache, create_task_group() as tasks:
        for key in "xyz":
            start(tasks, cache.get, key)
            await wait_all_tasks_blocked()
            source.release(ConnectionError("down"))
            await wait_all_tasks_blocked()
        clock.advance(10)
        probe = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()

        assert (cache.stats.permits_left, cache.stats.backfills_failed) == (5, 0)
        source.open()
    assert probe.outcome == 1


async def test_a_cache_that_was_closed_starts_with_a_closed_circuit():
    source = Source()
    cache, _ = new_cache(source)
    async with cache:
        await fail(cache, 3)
    source.down = False
    async with cache:
        assert await cache.get("a") == 1


async def test_without_a_circuit_a_failing_source_is_asked_each_time():
    source = Source()
    async with BackfillCache(source) as cache:
        await fail(cache, 20)
        await sleep(1)

        assert source.calls == 20
