"""The parts for Redis keep the promises of their contracts over clients of redis-py that a program has.

The first client has redis-py's own settings, the second one decodes what it reads and speaks protocol 2.
"""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from operator import itemgetter

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from redis.asyncio import Redis

from async_backfill.redis import RedisLeases, RedisStore, from_client
from async_backfill.testing import (
    FarStoreContract,
    GuardedLeasesContract,
    GuardedStoreContract,
    KeyListingContract,
    StoreFactsContract,
)
from tests.contract import test_redis
from tests.contract.test_far_stores import ITEMS, ODD_KEYS, OfVersions

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def namespace():
    return f"contract-{uuid.uuid4().hex}"


@pytest.fixture
def settings():
    """What stores are made with."""
    return {}


@asynccontextmanager
async def by_client(url, **settings):
    """Give a connection over a client of redis-py; what it has borrowed it gives back."""
    async with Redis.from_url(url, **settings) as client:
        async with from_client(client) as redis:
            yield redis
        assert not client.connection_pool._in_use_connections
        assert await client.ping()


@pytest.fixture
async def store(valkey_url, namespace, settings):
    async with by_client(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace, **settings)
        yield store
        await store.clear()


@pytest.fixture
async def peer(valkey_url, namespace, settings):
    async with by_client(valkey_url, decode_responses=True, protocol=2) as redis:
        yield RedisStore(redis, namespace=namespace, **settings)


@pytest.fixture
def leases(peer):
    return RedisLeases(peer, seconds=600.0)


class TestStoreOverAClient(FarStoreContract):
    items = ITEMS
    odd_keys = ODD_KEYS

    @pytest.fixture
    async def other(self, valkey_url, namespace):
        async with by_client(valkey_url, decode_responses=True, protocol=3) as redis:
            store = RedisStore(redis, namespace=f"{namespace}-other")
            yield store
            await store.clear()


class TestStoreOverAClientListsItsKeys(KeyListingContract):
    listed = dict.fromkeys(map(str, range(50)), 1)


class TestStoreOverAClientKeepsMarks(StoreFactsContract):
    items = ITEMS


class TestStoreOverAClientIsGuarded(GuardedStoreContract, GuardedLeasesContract):
    items = ITEMS
    margin = 5.0
    refused = (object(), "x" * 1_000_001)


class TestSignedStoreOverAClientHasVersions(OfVersions, GuardedLeasesContract):
    @pytest.fixture
    def settings(self):
        return {"version_of": itemgetter(0), "signing_key": b"0123456789abcdef"}


class TestLeasesOverAClient(test_redis.TestRedisLeases):
    pass


class TestInvalidationsOverAClient(test_redis.TestRedisInvalidations):
    pass


class TestPermitsOverAClient(test_redis.TestRedisPermits):
    pass


class TestControlOverAClient(test_redis.TestRedisControl):
    pass
