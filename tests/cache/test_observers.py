"""Observers: the facts they are told, and that nothing they do reaches anybody else."""

from __future__ import annotations

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    Failed,
    LoadError,
    LoadPolicy,
    LoadTimeoutError,
    MappingSource,
    SimulatedSource,
    Status,
    each,
)
from async_backfill.events import BackfillAudited, KeysEvicted, KeysPut, LoadFinished
from async_backfill.outcomes import LoadCause
from async_backfill.testing import GatedSource, ManualClock
from tests.callers import outcomes, start

pytestmark = pytest.mark.anyio

ROWS = {"a": 1, "b": 2, "c": 3}


def fails(event):
    raise ValueError(f"an observer that fails on {type(event).__name__}")


async def test_an_observer_is_told_of_a_load_with_its_keys_and_its_time():
    events = []
    clock = ManualClock(start=100.0)
    source = SimulatedSource(ROWS, latency=2.5, sleep=clock.sleep)
    async with BackfillCache(source, observers=[events.append], clock=clock) as cache:
        await cache.get_many(["a", "unknown", "b"])

    assert events == [
        LoadFinished(
            cause=LoadCause.MISS, keys=("a", "unknown", "b"), found=("a", "b"), seconds=2.5, error=None
        )
    ]


async def test_a_hit_tells_no_observer():
    events = []
    async with BackfillCache(MappingSource(ROWS), observers=[events.append]) as cache:
        await cache.put("a", 1)
        events.clear()
        await cache.get("a")

        assert events == []


async def test_an_observer_is_told_of_a_failed_load_with_the_error_of_the_source():
    events = []
    failure = ConnectionError("down")

    class Source:
        async def load_many(self, _):
            raise failure

    async with BackfillCache(Source(), observers=[events.append]) as cache:
        with pytest.raises(LoadError):
            await cache.get("a")

    assert [(event.keys, event.found, event.error) for event in events] == [(("a",), (), failure)]


async def test_an_observer_is_told_of_a_load_that_took_too_long():
    events = []
    source = SimulatedSource(ROWS, latency=60)
    async with BackfillCache(source, observers=[events.append], load=LoadPolicy(timeout=30)) as cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("a")

    assert [type(event.error) for event in events] == [LoadTimeoutError]


async def test_keys_that_failed_alone_were_not_found():
    events = []

    class Source:
        async def load_many(self, keys):
            return {key: Failed(ValueError()) if key == "b" else 1 for key in keys}

    async with BackfillCache(Source(), observers=[events.append]) as cache:
        with pytest.raises(LoadError):
            await cache.get_many("abc")

        assert [(event.found, event.error) for event in events] == [(("a", "c"), None)]
        assert cache.stats.source_keys == 2


async def test_an_observer_is_told_which_keys_were_evicted():
    events = []
    async with BackfillCache(MappingSource(ROWS), capacity=1, observers=[events.append]) as cache:
        await cache.get_many("abc")

    assert [event for event in events if isinstance(event, KeysEvicted)] == [KeysEvicted(keys=("a", "b"))]


async def test_an_observer_is_told_of_every_audit_record():
    events = []
    scan = MappingSource(ROWS)
    async with BackfillCache(MappingSource(ROWS), scan=scan, observers=[events.append]) as cache:
        await cache.force_backfill(by="me", reason="a restart")

    told = [event.record for event in events if isinstance(event, BackfillAudited)]
    assert tuple(told) == cache.audit_log
    assert [record.status for record in told] == [Status.STARTED, Status.COMPLETED]


async def test_the_load_of_a_backfill_says_that_it_is_one():
    events = []
    scan = MappingSource(ROWS)
    async with BackfillCache(MappingSource(ROWS), scan=scan, observers=[events.append]) as cache:
        await cache.force_backfill()

    loads = [event for event in events if isinstance(event, LoadFinished)]
    assert [(load.cause, load.found) for load in loads] == [(LoadCause.BACKFILL, ("a", "b", "c"))]


async def test_a_load_whose_keys_all_failed_one_by_one_says_why():
    async def load(key):
        raise ConnectionError(key)

    events = []
    async with BackfillCache(each(load), observers=[events.append]) as cache:
        with pytest.raises(LoadError):
            await cache.get("a")

    assert [(event.found, repr(event.error)) for event in events] == [((), "ConnectionError('a')")]


async def test_all_observers_are_told_in_their_order():
    told = []
    observers = [lambda event, name=name: told.append((name, type(event))) for name in "xyz"]
    async with BackfillCache(MappingSource(ROWS), observers=observers) as cache:
        await cache.get("a")

    assert told == [("x", LoadFinished), ("y", LoadFinished), ("z", LoadFinished)]


async def test_observers_given_as_an_iterator_are_told_every_time():
    events = []
    async with BackfillCache(MappingSource(ROWS), observers=iter([events.append])) as cache:
        await cache.get("a")
        await cache.get("b")

    assert len(events) == 2


async def test_an_observer_that_fails_breaks_nothing_and_is_logged(caplog):
    events = []
    cache = BackfillCache(
        MappingSource(ROWS),
        scan=MappingSource(ROWS),
        capacity=2,
        backfill=BackfillPolicy(min_lookups=1),
        observers=[fails, events.append],
    )
    async with cache:
        assert await outcomes(cache.get, ("a",), ("b",), ("c",)) == [1, 2, 3]
        await cache.put("d", 4)
        cache.evict_oldest()
        await cache.settle()
        assert (await cache.force_backfill()).status is not Status.FAILED

    logged = [record for record in caplog.records if record.name == "async_backfill"]
    assert {type(event) for event in events} == {LoadFinished, KeysPut, KeysEvicted, BackfillAudited}
    assert len(logged) == 1
    assert all("an observer that fails" in str(record.exc_info[1]) for record in logged)


async def test_an_observer_that_fails_does_not_keep_a_waiter_from_its_value():
    source = GatedSource(ROWS)
    async with BackfillCache(source, observers=[fails]) as cache, create_task_group() as tasks:
        callers = [start(tasks, cache.get, "a") for _ in range(10)]
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert [caller.outcome for caller in callers] == [1] * 10
        assert cache.peek("a") == 1


async def test_an_observer_may_look_at_the_cache():
    seen = []

    def look(event):
        seen.append((cache.peek("a"), cache.stats.in_flight, cache.stats.source_calls, event.found))

    async with BackfillCache(MappingSource(ROWS), observers=[look]) as cache:
        await cache.get("a")

    assert seen == [(1, 0, 1, ("a",))]


async def test_an_observer_may_evict_what_it_is_told_of():
    events = []

    def evict(event):
        events.append(event)
        if isinstance(event, LoadFinished):
            cache.evict_oldest()

    async with BackfillCache(MappingSource(ROWS), observers=[evict]) as cache:
        assert await cache.get("a") == 1
        assert cache.peek("a") is None

    assert [type(event) for event in events] == [LoadFinished, KeysEvicted]
