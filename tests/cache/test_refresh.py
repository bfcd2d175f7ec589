"""`refresh`: load a key now, whatever is cached, and keep what comes."""

from __future__ import annotations

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import (
    BackfillCache,
    CacheClosedError,
    FarTier,
    FreshnessPolicy,
    LoadCycleError,
    LoadError,
    LoadPolicy,
)
from async_backfill.testing import GatedSource
from tests.callers import start
from tests.far.shared import Leases, Shared

pytestmark = pytest.mark.anyio

policies = pytest.mark.parametrize(
    "freshness", [None, FreshnessPolicy(ttl=60.0, stale_for=60.0), FreshnessPolicy(absent_ttl=60.0)]
)


class Table:
    def __init__(self, **rows):
        self.rows, self.error = rows, None

    async def load_many(self, keys):
        if self.error is not None:
            raise self.error
        return {key: self.rows[key] for key in keys if key in self.rows}


@policies
async def test_it_replaces_what_is_cached_and_counts_no_lookup(freshness):
    table = Table(a=1)
    async with BackfillCache(table, freshness=freshness) as cache:
        await cache.get("a")
        table.rows["a"] = 2
        assert await cache.refresh("a") == 2

        assert cache.peek("a") == 2
        assert (cache.stats.lookups, cache.stats.refresh_keys, cache.stats.miss_keys) == (1, 1, 1)


@policies
async def test_a_key_that_is_gone_leaves(freshness):
    table = Table(a=1)
    async with BackfillCache(table, freshness=freshness) as cache:
        await cache.get("a")
        del table.rows["a"]

        assert await cache.refresh("a", "gone") == "gone"
        assert (len(cache), "a" in cache) == (0, False)


@policies
async def test_a_key_known_to_be_absent_is_asked_for_again(freshness):
    table = Table()
    async with BackfillCache(table, freshness=freshness) as cache:
        await cache.get("a")
        table.rows["a"] = None

        assert (await cache.refresh("a", "gone"), await cache.get("a", "gone")) == (None, None)


@policies
async def test_when_it_fails_the_old_value_stays(freshness):
    table = Table(a=1)
    async with BackfillCache(table, freshness=freshness) as cache:
        await cache.get("a")
        table.error = ConnectionError("down")
        with pytest.raises(LoadError, match="'a'"):
            await cache.refresh("a")

        assert cache.peek("a") == 1


async def test_it_reads_what_the_source_holds_then_beside_a_load_that_began_before():
    source = GatedSource({"a": "old"})
    async with create_task_group() as tasks, BackfillCache(source) as cache:
        getting = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        source.rows = {"a": "new"}
        refreshing = start(tasks, cache.refresh, "a")
        await wait_all_tasks_blocked()
        assert source.calls == [("a",), ("a",)]
        source.release()
        await wait_all_tasks_blocked()
        source.release()
        await wait_all_tasks_blocked()

        assert {getting.outcome, refreshing.outcome} <= {"old", "new"}
        assert (refreshing.outcome, cache.peek("a")) == ("new", "new")


async def test_a_live_caller_who_takes_its_key_over_answers_it_as_well():
    source = GatedSource({"a": 1, "b": 2})
    async with create_task_group() as tasks, BackfillCache(source, load=LoadPolicy(concurrency=1)) as cache:
        start(tasks, cache.get, "b")
        await wait_all_tasks_blocked()
        refreshing = start(tasks, cache.refresh, "a")
        await wait_all_tasks_blocked()
        getting = start(tasks, cache.get, "a")
        for _ in range(3):
            await wait_all_tasks_blocked()
            source.release()
        await wait_all_tasks_blocked()

        assert (refreshing.outcome, getting.outcome) == (1, 1)


async def test_a_load_that_refreshes_its_own_key_is_refused():
    class Circular:
        async def load_many(self, keys):
            for key in keys:
                await cache.refresh(key)

    async with BackfillCache(Circular()) as cache:
        with pytest.raises(LoadCycleError):
            await cache.get("a")


@pytest.mark.parametrize("leased", [False, True])
async def test_it_passes_over_the_copy_in_the_far_tier(leased):
    table, shared = Table(a=1), Shared()
    far = FarTier(store=shared, leases=Leases(shared) if leased else None)
    async with BackfillCache(table, far=far) as cache:
        await cache.get("a")
        await cache.settle()
        table.rows["a"] = 2

        assert await cache.refresh("a") == 2
        await cache.settle()
        assert shared.value("a") == 2
        assert shared.leases == {}


@pytest.mark.parametrize("leased", [False, True])
async def test_it_reads_the_source_also_while_the_far_tier_is_down(leased):
    table, shared = Table(a=1), Shared()
    far = FarTier(store=shared, leases=Leases(shared) if leased else None)
    async with BackfillCache(table, far=far) as cache:
        await cache.get("a")
        await cache.settle()
        table.rows["a"] = 2
        shared.error = ConnectionError("down")

        assert (await cache.refresh("a"), cache.peek("a")) == (2, 2)


async def test_what_it_found_is_not_written_after_a_later_put_of_another_process():
    shared, source = Shared(), GatedSource({"a": "old"})
    far = FarTier(store=shared, leases=Leases(shared))
    async with create_task_group() as tasks, BackfillCache(source, far=far) as cache:
        refreshing = start(tasks, cache.refresh, "a")
        await wait_all_tasks_blocked()
        await shared.delete_many(["a"])
        await shared.set_many({"a": "put"})
        source.open()
        await wait_all_tasks_blocked()
        await cache.settle()

        assert refreshing.outcome == "old"
        assert shared.value("a") == "put"


async def test_a_closed_cache_refuses_it():
    cache = BackfillCache(Table(a=1))
    with pytest.raises(CacheClosedError):
        await cache.refresh("a")
