"""Loaded values are written under the guard of a store that has one, and are as old as their load."""

from __future__ import annotations

import anyio
import pytest

from async_backfill import FreshnessPolicy
from async_backfill.contracts import GuardedStore, Kept
from async_backfill.errors import StalePageError
from tests.far.shared import Leases, Shared
from tests.far.test_reading import cache_of

pytestmark = pytest.mark.anyio


class Guarded(Shared, GuardedStore):
    deadline = 10.0

    def __init__(self):
        super().__init__()
        self.pages = []
        self.too_late = False
        self.left_alone = ()

    def now(self):
        return 1000.0 + anyio.current_time()

    async def set_page(self, items, /, *, read_at, ttl=None):
        await self._call("set page", items)
        self.pages.append((sorted(items), read_at - 1000.0, ttl))
        if self.too_late:
            raise StalePageError("too late")
        kept = {key: value for key, value in items.items() if key not in self.left_alone}
        self._set(kept, ttl)
        return Kept(kept=len(kept), newer=[key for key in items if key not in kept])


class Slow:
    def __init__(self, seconds):
        self.seconds = seconds

    async def load_many(self, keys, /):
        await anyio.sleep(self.seconds)
        return dict.fromkeys(keys, "loaded")


FRESH = FreshnessPolicy(ttl=20.0)


async def test_loaded_values_are_given_as_a_page_with_the_begin_of_their_load():
    shared = Guarded()
    async with cache_of(Slow(4.0), shared, freshness=FRESH) as cache:
        await anyio.sleep(1.0)
        await cache.get_many(["a", "b"])
        await cache.settle()
        await cache.put("c", "put")

        assert shared.pages == [(["a", "b"], 1.0, 20.0)]
        assert shared.calls_of("set") == [("c",)]
        assert (cache.stats.far.written, cache.stats.far.unwritten) == (3, 0)


async def test_loads_that_began_together_share_a_page_and_others_do_not():
    shared = Guarded()
    shared.delays = {"set page": 5.0}
    async with cache_of(Slow(4.0), shared, freshness=FRESH, timeout=60.0) as cache:
        async with anyio.create_task_group() as tasks:
            for key, pause in (("a", 0.3), ("b", 0.3), ("c", 1.4), ("d", 0.0)):
                tasks.start_soon(cache.get, key)
                await anyio.sleep(pause)
        await cache.settle()

    assert [keys for keys, *_ in shared.pages] == [["a"], ["b", "c"], ["d"]]


async def test_what_the_store_leaves_alone_is_counted_and_is_no_failure():
    shared = Guarded()
    shared.left_alone = ("a",)
    async with cache_of(Slow(1.0), shared, freshness=FRESH) as cache:
        await cache.get_many(["a", "b"])
        await cache.settle()

        assert (cache.stats.far.written, cache.stats.far.unwritten, cache.stats.far.failures) == (1, 1, 0)


async def test_pages_that_come_too_late_are_told_and_open_no_circuit():
    shared = Guarded()
    shared.too_late = True
    async with cache_of(Slow(1.0), shared, freshness=FRESH) as cache:
        for key in "abcde":
            await cache.get(key)
            await cache.settle()

        far = cache.stats.far
        assert (far.written, far.unwritten, far.failures, far.circuit.value) == (0, 5, 5, "closed")
        assert len(shared.calls_of("get")) == 5


async def test_a_load_that_took_longer_than_its_ttl_is_not_written():
    shared = Guarded()
    async with cache_of(Slow(21.0), shared, freshness=FRESH) as cache:
        await cache.get("a")
        await cache.settle()

        assert (shared.pages, cache.stats.far.unwritten) == ([], 1)


@pytest.mark.parametrize("leased", [False, True], ids=["", "leases"])
@pytest.mark.parametrize(("took", "ends"), [(4.0, 20.0), (21.0, None)])
async def test_without_a_guard_the_ttl_counts_from_the_begin_of_the_load_as_well(leased, took, ends):
    shared = Shared()
    shared.lease_seconds = 100.0
    leases = {"leases": Leases(shared)} if leased else {}
    async with cache_of(Slow(took), shared, freshness=FRESH, **leases) as cache:
        begun = anyio.current_time()
        await cache.get("a")
        await cache.settle()

        entry = shared.entries.get("a")
        assert (entry and round(entry[2] - begun, 6)) == ends
        assert cache.stats.far.unwritten == (ends is None)
        assert shared.lease("a") is None


async def test_an_invalidation_that_waits_is_not_replaced_by_a_later_load():
    shared = Guarded()
    shared.entries["a"] = ("old", 0.0, 1e9)
    shared.left_alone = ("a",)
    async with (
        cache_of(Slow(1.0), shared, freshness=FRESH, timeout=60.0) as cache,
        anyio.create_task_group() as tasks,
    ):
        shared.delays = {"set page": 5.0, "set": 5.0}
        await cache.get("b")
        tasks.start_soon(cache.invalidate, "a")
        await anyio.sleep(0.1)
        assert await cache.get("a") == "loaded"
        await cache.settle()

        assert shared.value("a") is None
