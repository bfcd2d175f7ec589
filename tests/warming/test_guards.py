"""What a page may not undo: later values, removals and leases; and what a copy says without that guard."""

from __future__ import annotations

import ipaddress

import pytest
from anyio import Event, create_task_group, sleep

from async_backfill import BackfillCache, ConfigurationError, FarTier, MappingSource
from async_backfill.testing import MemoryFarStore
from async_backfill.warming import copy_rows
from tests.leases import lease
from tests.warming.shelf import pages_of

pytestmark = pytest.mark.anyio


class Plain:
    """A far tier's store without a guard."""

    def __init__(self):
        self.rows = {}
        self.ttls = set()

    async def set_many(self, items, /, *, ttl=None):
        self.rows.update(items)
        self.ttls.add(ttl)

    async def get_many(self, keys, /):
        return {key: None for key in keys if key in self.rows}


async def after_a_change(change, **settings):
    """Copy a page of ``a`` during whose way to the store ``change`` happens; return what is then served."""
    table, store, read = {"a": "old", "b": "old"}, MemoryFarStore(), Event()

    async def pages():
        page = dict(table)
        read.set()
        await sleep(0.2)
        yield page

    tier = FarTier(store=store.peer(), leases=store.leases)
    copied = []
    async with BackfillCache(MappingSource(table), far=tier) as cache, create_task_group() as tasks:

        async def copy():
            copied.append(await copy_rows(pages(), store, **settings))

        tasks.start_soon(copy)
        await read.wait()
        await change(table, cache)
    found = await store.get_many(["a"])
    return copied[0], found["a"].value if found else None


async def put(table, cache):
    table["a"] = "new"
    await cache.put("a", "new")


async def invalidate(table, cache):
    table["a"] = "new"
    await cache.invalidate("a")


async def delete(table, cache):
    del table["a"]
    await cache.invalidate("a")


async def clear(table, cache):
    table["a"] = "new"
    await cache.clear()


@pytest.mark.parametrize(
    ("change", "left", "newer"),
    [(put, "new", 1), (invalidate, None, 1), (delete, None, 1), (clear, None, 2)],
)
async def test_a_page_does_not_undo_what_happened_after_its_read(change, left, newer):
    copied, found = await after_a_change(change)

    assert found == left
    assert (copied.read, copied.kept, copied.newer) == (2, 2 - newer, newer)


@pytest.mark.parametrize("change", [put, invalidate, delete, clear])
async def test_without_a_guard_it_does(change):
    copied, found = await after_a_change(change, guard="none")

    assert found == "old"
    assert (copied.read, copied.kept) == (2, 2)


async def test_a_page_does_not_overrule_a_lease_so_its_holder_writes_the_new_value():
    store = MemoryFarStore()

    async def pages():
        yield {"a": "old"}

    tokens = await lease(store.leases, ["a"])
    copied = await copy_rows(pages(), store)

    assert (copied.read, copied.leased) == (1, 1)
    assert await store.leases.set_many({"a": "new"}, tokens) == ["a"]


async def test_a_read_begins_when_its_page_is_asked_for_and_a_copy_ages_from_then():
    store = MemoryFarStore()

    async def pages():
        await sleep(3)
        yield {"a": 1}

    await copy_rows(pages(), store, ttl=5)
    copy = (await store.get_many(["a"]))["a"]
    await sleep(2)

    assert copy.age == pytest.approx(3)
    assert await store.get_many(["a"]) == {}


async def test_a_store_without_a_guard_is_refused_and_it_is_said_what_none_would_lose():
    store, read = Plain(), pages_of(1)
    with pytest.raises(ConfigurationError) as caught:
        await copy_rows(read, store)

    assert str(caught.value) == (
        'guard: "stamp" needs a store that inherits from GuardedStore, which Plain does not; with "none" a '
        "page replaces values, removals and leases that are later than its read"
    )
    assert store.rows == {}
    assert [one async for one in read] != []
    assert (await copy_rows(pages_of(2), store, guard="none")).kept == 4


@pytest.mark.parametrize("store", [MemoryFarStore(), Plain()])
async def test_versions_are_refused_where_the_store_has_none(store):
    with pytest.raises(ConfigurationError, match=r'^guard: "version" needs a store with version_of='):
        await copy_rows(pages_of(1), store, guard="version")


async def test_under_versions_a_page_of_a_replica_that_lags_undoes_no_value():
    store = MemoryFarStore(version_of=int)
    await store.peer().set_many({"0.0": 7, "0.1": -1})
    copied = await copy_rows(pages_of(1), store, guard="version", ttl=60)

    assert (copied.read, copied.kept, copied.newer) == (2, 1, 1)
    assert {key: copy.value for key, copy in (await store.get_many(["0.0", "0.1"])).items()} == {
        "0.0": 7,
        "0.1": 0,
    }


@pytest.mark.parametrize("guard", ["versions", None, "STAMP"])
async def test_another_guard_is_refused(guard):
    with pytest.raises(ConfigurationError, match=r"guard: .* is neither"):
        await copy_rows(pages_of(1), MemoryFarStore(), guard=guard)


def odd_rows():
    return {
        **{number: {"address": ipaddress.ip_address(number)} for number in range(3)},
        3: "x" * 2_000_000,
        4: "small",
    }


def test_rows_that_redis_cannot_keep_are_rejected_and_not_counted_as_kept(valkey_url):
    pytest.importorskip("redis", reason="needs the extra redis")
    import anyio  # noqa: PLC0415

    from async_backfill.redis import RedisStore, connect  # noqa: PLC0415

    async def pages():
        yield odd_rows()

    async def main():
        async with connect(valkey_url) as redis:
            store = RedisStore(redis, namespace="rejected")
            await store.set_many({3: "an older value"})
            copied = await copy_rows(pages(), store, guard="none", ttl=60)
            return copied, await store.get_many([*odd_rows()])

    copied, found = anyio.run(main)

    assert (copied.read, copied.kept, copied.rejected) == (5, 1, 4)
    assert set(copied.bad) == {0, 1, 2, 3}
    assert set(found) == {4}
