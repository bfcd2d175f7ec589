"""Caches of several processes in front of one store: leases, and what one tells the others."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from async_backfill import LoadError
from async_backfill.testing import GatedSource
from tests.callers import outcomes, start
from tests.far.shared import Leases, Shared
from tests.far.test_reading import ROWS, CountedSource, cache_of

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def fleet(source, shared, *, size=3, leases=True, listens=True, **settings):
    async with AsyncExitStack() as stack:
        caches = []
        for n in range(size):
            cache = cache_of(
                source,
                shared,
                leases=Leases(shared) if leases else None,
                invalidations=shared.ears(n) if listens else None,
                **settings,
            )
            caches.append(await stack.enter_async_context(cache))
        await wait_all_tasks_blocked()
        yield caches


async def test_a_fleet_makes_one_load_of_a_key():
    shared, source = Shared(), GatedSource(ROWS)
    async with fleet(source, shared, size=10) as caches, anyio.create_task_group() as tasks:
        callers = [start(tasks, cache.get, "k1") for cache in caches]
        await wait_all_tasks_blocked()
        source.open()
        await anyio.sleep(0.1)

        assert [caller.outcome for caller in callers] == [1] * 10
        assert source.calls == [("k1",)]


async def test_without_leases_each_cache_loads_for_itself():
    shared, source = Shared(), GatedSource(ROWS)
    async with fleet(source, shared, leases=False) as caches, anyio.create_task_group() as tasks:
        for cache in caches:
            start(tasks, cache.get, "k1")
        await wait_all_tasks_blocked()

        assert source.calls == [("k1",)] * 3
        source.open()


async def test_two_caches_share_the_keys_of_the_same_batch_between_them():
    shared, source = Shared(), GatedSource(ROWS)
    async with fleet(source, shared, size=2) as caches, anyio.create_task_group() as tasks:
        start(tasks, caches[0].get_many, ["k1", "k2"])
        await wait_all_tasks_blocked()
        second = start(tasks, caches[1].get_many, ["k2", "k3"])
        await wait_all_tasks_blocked()
        source.open()
        await anyio.sleep(0.1)

        assert second.outcome == {"k2": 2, "k3": 3}
        assert sorted(source.calls) == [("k1", "k2"), ("k3",)]


async def test_who_waits_looks_at_most_twenty_times_a_second_however_often_it_is_woken():
    shared, source = Shared(), CountedSource(ROWS)
    await Leases(shared).acquire_many(["k1"])

    async def wake():
        while True:
            for _, changed in shared._watches:
                changed.set()
            await anyio.sleep(0.001)

    async with fleet(source, shared, size=1) as caches, anyio.create_task_group() as tasks:
        tasks.start_soon(wake)
        start(tasks, caches[0].get, "k1")
        await anyio.sleep(5.0)
        tasks.cancel_scope.cancel()

    assert 90 <= len(shared.calls_of("get")) <= 105


async def test_when_the_holder_fails_the_next_one_loads():
    shared, source = Shared(), GatedSource(ROWS)
    async with fleet(source, shared, size=2) as caches, anyio.create_task_group() as tasks:
        first, second = (start(tasks, cache.get, "k1") for cache in caches)
        await wait_all_tasks_blocked()
        source.release(ConnectionError("bad luck"))
        await wait_all_tasks_blocked()
        source.open()
        await anyio.sleep(0.1)

        results = {type(caller.outcome) for caller in (first, second)}
        assert results == {LoadError, int}
        assert len(source.calls) == 2


async def test_an_absent_key_is_asked_for_by_each_in_turn():
    shared, source = Shared(), CountedSource({})
    async with fleet(source, shared) as caches:
        assert (
            await outcomes(lambda cache: cache.get("nobody"), *((cache,) for cache in caches)) == [None] * 3
        )

        for cache in caches:
            await cache.settle()
        assert len(source.calls) == 3
        assert shared.leases == {}


async def test_a_holder_that_died_stops_nobody_longer_than_its_lease():
    shared, source = Shared(), CountedSource(ROWS)
    await Leases(shared).acquire_many(["k1"])
    async with fleet(source, shared, size=2) as caches:
        started = anyio.current_time()
        assert await outcomes(lambda cache: cache.get("k1"), *((cache,) for cache in caches)) == [1, 1]

        assert anyio.current_time() - started == pytest.approx(10.0)
        assert source.calls == [("k1",)]


async def test_what_was_loaded_before_an_invalidation_elsewhere_is_not_written_after_it():
    shared, source = Shared(), GatedSource({"k1": "old"})
    async with fleet(source, shared, size=2) as caches, anyio.create_task_group() as tasks:
        start(tasks, caches[0].get, "k1")
        await wait_all_tasks_blocked()
        await caches[1].invalidate("k1")
        source.release()
        await caches[0].settle()

        assert shared.value("k1") is None
        assert shared.refused == ["k1"]
        assert caches[0].peek("k1") is None
        assert caches[0].stats.far.unwritten == 1


async def test_nor_where_caches_do_not_listen_to_each_other():
    shared, source = Shared(), GatedSource({"k1": "old"})
    async with fleet(source, shared, size=2, listens=False) as caches, anyio.create_task_group() as tasks:
        start(tasks, caches[0].get, "k1")
        await wait_all_tasks_blocked()
        await caches[1].invalidate("k1")
        source.release()
        await caches[0].settle()

        assert shared.value("k1") is None


async def test_who_waits_for_a_lease_of_a_store_that_fails_then_loads_itself():
    shared, source = Shared(), CountedSource(ROWS)
    await Leases(shared).acquire_many(["k1"])
    async with fleet(source, shared, size=1) as caches, anyio.create_task_group() as tasks:
        caller = start(tasks, caches[0].get, "k1")
        await wait_all_tasks_blocked()
        shared.error = ConnectionError("gone")
        shared._end_lease("k1")
        await anyio.sleep(0.1)

        assert caller.outcome == 1


async def test_who_leaves_while_it_waits_for_others_takes_nothing_with_it():
    shared, source = Shared(), CountedSource(ROWS)
    await Leases(shared).acquire_many(["k1"])
    async with fleet(source, shared, size=1) as caches:
        with anyio.move_on_after(1.0):
            await caches[0].get("k1")
        await caches[0].settle()

        assert source.calls == []
        assert shared._watches == []
        assert caches[0].stats.in_flight == 0


@pytest.mark.parametrize("leases", [True, False])
async def test_a_put_in_one_cache_is_what_the_others_read_next(leases):
    shared, source = Shared(), CountedSource({"k1": "old"})
    async with fleet(source, shared, leases=leases) as caches:
        for cache in caches:
            await cache.get("k1")
        await caches[0].put("k1", "new")

        assert [await cache.get("k1") for cache in caches] == ["new"] * 3


async def test_an_invalidation_in_one_cache_is_one_in_all():
    shared, source = Shared(), CountedSource({"k1": "old"})
    async with fleet(source, shared) as caches:
        for cache in caches:
            await cache.get("k1")
        source.rows["k1"] = "new"
        await caches[0].invalidate("k1")

        assert [await cache.get("k1") for cache in caches] == ["new"] * 3
        assert len(source.calls) == 2


async def test_a_clear_in_one_cache_is_one_in_all():
    shared, source = Shared(), CountedSource(ROWS)
    async with fleet(source, shared) as caches:
        for cache in caches:
            await cache.get_many(ROWS)
        await caches[0].clear()

        assert [cache.stats.size for cache in caches] == [0, 0, 0]


async def test_a_load_under_way_is_not_kept_when_another_cache_invalidates_its_key():
    shared, source = Shared(), GatedSource({"k1": "old"})
    async with fleet(source, shared, leases=False) as caches, anyio.create_task_group() as tasks:
        caller = start(tasks, caches[0].get, "k1")
        await wait_all_tasks_blocked()
        await caches[1].invalidate("k1")
        source.release()
        await wait_all_tasks_blocked()

        assert caller.outcome == "old"
        assert caches[0].peek("k1") is None
        assert shared.value("k1") is None


async def test_a_cache_opened_again_holds_nothing_that_may_have_changed_meanwhile():
    shared, source = Shared(), CountedSource({"k1": "old"})
    cache = cache_of(source, shared, invalidations=shared.ears("one"))
    async with cache:
        await cache.get("k1")
    async with cache:
        assert cache.peek("k1") is None


async def test_listening_is_tried_again_after_it_failed_and_nothing_old_is_kept(caplog):
    class Deaf:
        def __init__(self):
            self.tries = 0

        async def publish(self, keys, /):
            pass

        async def listen(self, _forget, /):
            self.tries += 1
            await anyio.sleep(1.0)
            raise ConnectionError("deaf")

    deaf, shared = Deaf(), Shared()
    async with cache_of(CountedSource(ROWS), shared, invalidations=deaf) as cache:
        await cache.get("k1")
        await anyio.sleep(1.5)
        assert cache.peek("k1") is None
        await anyio.sleep(1.0)
        assert deaf.tries == 2
    assert "listening for invalidations failed" in caplog.text
