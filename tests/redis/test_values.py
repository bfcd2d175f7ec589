"""Values through Redis: each process gets what the source gave, and nobody another one's changes."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, FarTier, FreshnessPolicy
from async_backfill._envelopes.values.same import is_same
from async_backfill.redis import RedisLeases, RedisStore, connect

pytestmark = pytest.mark.anyio


class Money:
    """A class that no codec knows."""


class Rows:
    def __init__(self, make):
        self.make = make
        self.calls = 0

    async def load_many(self, keys, /):
        self.calls += 1
        return {key: self.make(key) for key in keys}


@pytest.fixture(params=[False, True], ids=["", "leases"])
async def tier(request, valkey_url, namespace):
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        leases = RedisLeases(store) if request.param else None
        yield FarTier(store=store, leases=leases, timeout=5.0)
        await store.clear()


def cache_of(source, tier):
    return BackfillCache(source, far=tier, freshness=FreshnessPolicy(ttl=60.0))


def row(_):
    return {
        "id": UUID(int=5),
        "price": Decimal("9.99"),
        "day": date(2026, 11, 30),
        "at": datetime(2026, 11, 30, 12, tzinfo=UTC),
        "pair": (1, "a"),
        "kinds": {1, 2},
        "large": 2**100,
        7: frozenset({"x"}),
    }


async def test_the_next_process_gets_the_types_that_the_source_gave(tier):
    source = Rows(row)
    async with cache_of(source, tier) as cache:
        loaded = await cache.get_many(["a", "b"])
    async with cache_of(source, tier) as other:
        found = await other.get_many(["a", "b"])

    assert is_same(found, loaded)
    assert found["a"]["price"] * 2 == Decimal("19.98")
    assert source.calls == 1


async def test_what_a_caller_does_to_a_value_no_other_process_sees(tier):
    source = Rows(lambda _: {"price": 10, "tags": []})
    async with cache_of(source, tier) as cache:
        first, second = await asyncio.gather(cache.get("a"), cache.get("a"))
        first["price"] = -1
        second["tags"].append("mine")
        await cache.put("b", first)
        first["price"] = -2
    async with cache_of(source, tier) as other:
        assert await other.get("a") == {"price": 10, "tags": []}
        assert await other.get("b") == {"price": -1, "tags": ["mine"]}


async def test_a_refused_value_is_counted_said_once_and_not_kept(tier, caplog):
    source = Rows(lambda key: Money() if "bad" in key else 1)
    async with cache_of(source, tier) as cache:
        await cache.get_many(["a", "bad 1", "bad 2", "b"])
        assert cache.stats.far.unwritten == 2
        await cache.get("bad 3")
        await cache.settle()

        assert (cache.stats.far.written, cache.stats.far.unwritten) == (2, 3)
    names = tier.store.keyspace.redis_keys(["a", "bad 1", "bad 2", "b", "bad 3"])
    there = [await tier.store.connection.execute("STRLEN", name) > 13 for name in names]
    lines = [record for record in caplog.records if record.name == "async_backfill.far"]

    assert there == [True, False, False, True, False]
    assert len(lines) == 1
    assert "test_values.Money" in lines[0].message
    assert tier.store.unkept == {"unencodable": 3}


async def test_a_put_that_is_refused_removes_the_older_copy(tier):
    async with cache_of(Rows(lambda _: 1), tier) as cache:
        await cache.get("a")
        await cache.settle()
        await cache.put("a", Money())
        assert await tier.store.get_many(["a"]) == {}
        assert cache.stats.far.unwritten == 1


async def test_a_load_that_is_refused_removes_the_older_copy(tier):
    source = Rows(lambda _: 1)
    fresh = FreshnessPolicy(ttl=0.05, stale_for=600.0)
    async with BackfillCache(source, far=tier, freshness=fresh) as cache:
        await cache.get("a")
        await cache.settle()
        assert {key: copy.value for key, copy in (await tier.store.get_many(["a"])).items()} == {"a": 1}
        source.make = lambda _: Money()
        await asyncio.sleep(0.06)
        await cache.get("a")
        await cache.settle()
        assert await tier.store.get_many(["a"]) == {}


async def test_a_store_keeps_values_that_nobody_sealed_as_well(tier):
    await tier.store.set_many({"a": (1, 2), "bad": Money(), **tier.store.seal({"b": {3}, "worse": Money()})})
    copies = await tier.store.get_many(["a", "b", "bad", "worse"])

    assert {key: copy.value for key, copy in copies.items()} == {"a": (1, 2), "b": {3}}
    assert tier.store.unkept == {"unencodable": 2}


async def test_a_key_that_cannot_be_encoded_is_left_out_and_the_others_are_sealed(tier):
    odd = object()
    sealed = tier.store.seal({"a": 1, odd: 2, "b": 3})

    assert list(sealed) == ["a", "b"]
    assert tier.store.refused == {"object": 1}


async def test_a_copy_is_as_old_as_its_landing_not_as_its_write(tier):
    now = [1000.0]
    store = RedisStore(
        tier.store.connection, namespace=tier.store.keyspace.namespace, wall_clock=lambda: now[0]
    )
    sealed = store.seal({"a": 1})
    now[0] = 1007.0
    await store.set_many(sealed)

    assert (await store.get_many(["a"]))["a"].age == 7.0
