"""A network before Redis that is slow, or loses, cuts off or garbles data."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import pytest

from async_backfill import BackfillCache, CircuitState, FarTier, FreshnessPolicy
from async_backfill.redis.connection import connect
from async_backfill.redis.errors import RedisError
from async_backfill.redis.invalidations import RedisInvalidations
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.store import RedisStore
from tests.servers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio

PATIENCE = 30.0
READS = 100_000
KEYS = [f"key {number}" for number in range(500)]


def value_of(key):
    return {"of": key, "text": key * 10}


class Counted:
    """A source that counts how often it was asked for each key."""

    def __init__(self):
        self.asked = Counter()

    async def load_many(self, keys, /):
        self.asked.update(keys)
        await anyio.sleep(0.001)
        return {key: value_of(key) for key in keys}


@asynccontextmanager
async def proxied(url, *, seed=0):
    """A proxy before the server at ``url``, and a URL through it."""
    server = urlsplit(url)
    async with TcpProxy(server.hostname, server.port, seed=seed) as proxy:
        yield proxy, server._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()


@asynccontextmanager
async def cache_before(source, url, namespace):
    async with connect(url) as redis:
        store = RedisStore(redis, namespace=namespace)
        tier = FarTier(
            store=store,
            leases=RedisLeases(store),
            invalidations=RedisInvalidations(redis, namespace=namespace, bound=1.0),
        )
        async with BackfillCache(source, far=tier, freshness=FreshnessPolicy(ttl=600.0)) as cache:
            yield cache
        with anyio.move_on_after(PATIENCE):
            await store.clear()


FAULTS = {
    "slow": lambda proxy: proxy.delay(0.2, jitter=0.1),
    "loses everything": lambda proxy: proxy.drop(),
    "resets": lambda proxy: (proxy.reset(), proxy.refuse()),
    "refuses": lambda proxy: proxy.refuse(),
    "half closes": lambda proxy: proxy.half_close(),
    "cuts off": lambda proxy: proxy.cut(37),
    "garbles": lambda proxy: proxy.garble(0.02),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_nobody_gets_an_error_or_a_wrong_value_and_the_store_is_used_again(
    fault, valkey_url, namespace
):
    source, wrong = Counted(), []

    async def get(cache, key):
        if await cache.get(key) != value_of(key):
            wrong.append(key)

    async with proxied(valkey_url) as (proxy, url), cache_before(source, url, namespace) as cache:
        await cache.get_many(KEYS[:100])
        await cache.settle()
        FAULTS[fault](proxy)
        for start in range(0, 500, 50):
            async with anyio.create_task_group() as tasks:
                for key in KEYS[start : start + 50] * 4:
                    tasks.start_soon(get, cache, key)
        await proxy.heal()
        with anyio.fail_after(PATIENCE):
            while cache.stats.far.circuit is not CircuitState.CLOSED:
                await cache.get(f"other {random.random()}")
                await anyio.sleep(0.01)

    assert wrong == []
    assert cache.stats.failed == 0


@pytest.mark.parametrize("signing_key", [None, b"only these processes know"], ids=["checked", "signed"])
async def test_of_a_hundred_thousand_garbled_reads_none_is_wrong(signing_key, valkey_url, namespace):
    reads = hits = failed = 0
    async with (
        proxied(valkey_url, seed=7) as (proxy, url),
        connect(valkey_url) as direct,
        connect(url) as garbled,
    ):
        await RedisStore(direct, namespace=namespace, signing_key=signing_key).set_many(
            {key: value_of(key) for key in KEYS}
        )
        store = RedisStore(garbled, namespace=namespace, signing_key=signing_key)
        proxy.garble(1e-5)
        while reads < READS:
            try:
                with anyio.fail_after(1.0):
                    copies = await store.get_many(KEYS)
            except (RedisError, TimeoutError):
                failed += 1
                continue
            reads += len(KEYS)
            hits += len(copies)
            assert all(copy.value == value_of(key) for key, copy in copies.items())
        await RedisStore(direct, namespace=namespace).clear()

    assert failed > 0
    assert sum(store.rejected.values()) > 0
    assert hits > READS / 2


async def test_a_cancelled_command_never_answers_another_key(valkey_url, namespace):
    draws = random.Random(3)
    answered = cancelled = 0

    async def read(store, key):
        nonlocal answered, cancelled
        patience = draws.choice([draws.uniform(0.0, 0.006), PATIENCE])
        with anyio.move_on_after(patience) as scope:
            copies = await store.get_many([key])
            assert {one: copy.value for one, copy in copies.items()} == {key: value_of(key)}
            answered += 1
        cancelled += scope.cancelled_caught

    async with (
        proxied(valkey_url) as (proxy, url),
        connect(url, max_connections=4) as redis,
    ):
        store = RedisStore(redis, namespace=namespace)
        await store.set_many({key: value_of(key) for key in KEYS})
        proxy.delay(0.001, jitter=0.001)
        for _ in range(40):
            async with anyio.create_task_group() as tasks:
                for key in draws.sample(KEYS, 50):
                    tasks.start_soon(read, store, key)
        await proxy.heal()
        await store.clear()

    assert answered > 0
    assert cancelled > 0
