"""Who changes what he got: with ``copy`` nobody else sees it, without it all do."""

from __future__ import annotations

import copy

import anyio
import pytest
from anyio import create_task_group
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    ConfigurationError,
    FarTier,
    FreshnessPolicy,
    JournalError,
    MemoryStore,
    cached,
)
from async_backfill.testing import MemoryFarStore

pytestmark = pytest.mark.anyio

KINDS = {
    "plain": {},
    "lru": {"capacity": 10, "eviction": "lru"},
    "s3-fifo": {"capacity": 10, "eviction": "s3-fifo"},
    "ttl": {"freshness": FreshnessPolicy(ttl=60.0, stale_for=60.0)},
    "history": {"backfill": BackfillPolicy(selection="history")},
    "probation": {"capacity": 10, "backfill": BackfillPolicy(probation=True)},
    "absent": {"freshness": FreshnessPolicy(absent_ttl=60.0)},
    "store": {"store": MemoryStore(10)},
}


class Rows:
    async def load_many(self, keys, /):
        await anyio.lowlevel.checkpoint()
        return {key: {"tags": []} for key in keys if key != "none"}


def change(value):
    value["tags"].append("mine")
    value["more"] = 1


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_reader_does_to_his_copy_no_other_reader_sees(kind):
    async with BackfillCache(Rows(), copy=copy.deepcopy, **KINDS[kind]) as cache:

        async def read_and_change(key):
            change(await cache.get(key))
            change(await cache.fetch(key))
            change((await cache.get_many([key]))[key])
            change(cache.peek(key))

        async with create_task_group() as tasks:
            for key in "aabb":
                tasks.start_soon(read_and_change, key)

        assert await cache.get_many("ab") == {"a": {"tags": []}, "b": {"tags": []}}
        assert await cache.get("a") == cache.peek("b") == await cache.fetch("b") == {"tags": []}


async def test_what_was_put_is_a_copy_and_its_owner_may_change_his():
    async with BackfillCache(Rows(), copy=copy.deepcopy) as cache:
        one, two = {"tags": []}, {"tags": []}
        await cache.put("a", one)
        await cache.put_many({"b": two})
        change(one)
        change(two)

        assert await cache.get_many("ab") == {"a": {"tags": []}, "b": {"tags": []}}


async def test_a_default_is_handed_out_as_it_is():
    default = {"tags": []}
    async with BackfillCache(Rows(), copy=copy.deepcopy) as cache:
        assert await cache.get("none", default) is default
        assert await cache.get("none") is None
        assert cache.peek("none", default) is default
        assert await cache.get_many(["none"]) == {}


async def test_what_a_copy_raises_reaches_the_reader_and_nobody_else():
    failing = [True]

    def copying(value):
        if failing[0]:
            raise JournalError("no copy")
        return dict(value)

    async with BackfillCache(Rows(), copy=copying) as cache:
        for read in (cache.get("a"), cache.get_many(["a"]), cache.put("b", {})):
            with pytest.raises(JournalError, match="no copy"):
                await read
        failing[0] = False

        assert await cache.get("a") == {"tags": []}
        assert cache.peek("b") is None
        assert (cache.stats.hits, cache.stats.misses, cache.stats.source_keys) == (2, 1, 1)


async def test_without_copy_all_readers_get_the_same_object():
    async with BackfillCache(Rows()) as cache:
        value = await cache.get("a")
        change(value)

        assert await cache.get("a") is cache.peek("a") is (await cache.get_many("a"))["a"] is value


async def test_a_reader_of_a_far_tier_does_not_change_what_is_in_memory():
    store = MemoryFarStore()
    async with BackfillCache(Rows(), copy=copy.deepcopy, far=FarTier(store=store)) as cache:
        change(await cache.get("a"))
        await cache.settle()
    async with BackfillCache(Rows(), copy=copy.deepcopy, far=FarTier(store=store.peer())) as other:
        change(await other.get("a"))
        assert await other.get("a") == {"tags": []}


async def test_the_results_of_a_decorated_function_and_method_are_copied_too():
    class Shop:
        @cached(copy=copy.deepcopy)
        async def row(self, key):
            return {"tags": [], "key": key}

    @cached(copy=copy.deepcopy)
    async def row(key, more=0):  # noqa: ARG001 - it makes the key a tuple
        return {"tags": [], "key": key}

    shop = Shop()
    async with row.cache, Shop.row.cache:
        for call in (row, shop.row):
            change(await call("a"))
            assert await call("a") == {"tags": [], "key": "a"}


@pytest.mark.parametrize("setting", [True, "deepcopy", 1])
def test_a_copy_that_is_no_function_is_refused(setting):
    with pytest.raises(ConfigurationError, match=r"copy: must be a function such as copy\.deepcopy"):
        BackfillCache(Rows(), copy=setting)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["get", "many", "peek", "put", "drop"])),
        max_size=25,
    )
)
async def test_whatever_readers_do_a_reader_gets_what_was_loaded_or_put(steps):
    fresh = {"tags": []}
    async with BackfillCache(Rows(), copy=copy.deepcopy, capacity=2) as cache:
        for key, step in steps:
            if step == "put":
                value = {"tags": []}
                await cache.put(key, value)
            elif step == "drop":
                await cache.invalidate(key)
                continue
            elif step == "peek":
                value = cache.peek(key, {"tags": []})
            else:
                value = await cache.get(key) if step == "get" else (await cache.get_many([key]))[key]
            assert value == fresh
            change(value)
