"""Caches of several processes in front of one store: leases, and what one tells the others."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from async_backfill.testing import GatedSource
from tests.callers import start
from tests.far.shared import Leases, Shared
from tests.far.test_reading import ROWS, CountedSource, cache_of
from tests.leases import lease

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
    await lease(Leases(shared), ["k1"])

    async def wake():
        while True:
            for _, changed, _ in shared._watches:
                changed.set()
            await anyio.sleep(0.001)

    async with fleet(source, shared, size=1, lease_wait=9.0) as caches, anyio.create_task_group() as tasks:
        tasks.start_soon(wake)
        start(tasks, caches[0].get, "k1")
        await anyio.sleep(5.0)
        tasks.cancel_scope.cancel()

    assert 90 <= len(shared.calls_of("get")) <= 105


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
    await lease(Leases(shared), ["k1"])
    async with fleet(source, shared, size=1) as caches, anyio.create_task_group() as tasks:
        caller = start(tasks, caches[0].get, "k1")
        await wait_all_tasks_blocked()
        shared.error = ConnectionError("gone")
        shared._end_lease("k1")
        await anyio.sleep(0.1)

        assert caller.outcome == 1


async def test_who_leaves_while_it_waits_for_others_takes_nothing_with_it():
    shared, source = Shared(), CountedSource(ROWS)
    await lease(Leases(shared), ["k1"])
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
