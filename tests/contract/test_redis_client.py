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

from async_backfill.redis import (
    RedisControl,
    RedisInvalidations,
    RedisLeases,
    RedisPermits,
    RedisStore,
    from_client,
)
from async_backfill.testing import (
    ControlChannelContract,
    FarStoreContract,
    GuardedLeasesContract,
    GuardedStoreContract,
    InvalidationsContract,
    KeyListingContract,
    LeasesContract,
    PermitsContract,
    StoreFactsContract,
)
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


class TestLeasesOverAClient(LeasesContract):
    items = ITEMS

    @pytest.fixture
    def leases(self, store):
        return RedisLeases(store, seconds=600.0)

    @pytest.fixture
    def rival(self, peer):
        return RedisLeases(peer, seconds=600.0)

    @pytest.fixture
    def brief(self, peer):
        return RedisLeases(peer, seconds=self.brief_lease)


class TestInvalidationsOverAClient(InvalidationsContract):
    keys = ODD_KEYS

    @pytest.fixture
    def first(self, store, namespace):
        return RedisInvalidations(store.connection, namespace=namespace)

    @pytest.fixture
    def second(self, peer, namespace):
        return RedisInvalidations(peer.connection, namespace=namespace)


class TestPermitsOverAClient(PermitsContract):
    granted = 5

    @pytest.fixture
    async def permits(self, store, namespace):
        yield RedisPermits(store.connection, namespace=namespace, max_backfills=self.granted)
        names = (f"{namespace}!permits", f"{{{namespace}!permits}}approvals")
        await store.connection.execute("DEL", *names, key=names[0].encode())

    @pytest.fixture
    def others(self, peer, namespace):
        return RedisPermits(peer.connection, namespace=namespace, max_backfills=self.granted)


class TestControlOverAClient(ControlChannelContract):
    @pytest.fixture
    async def channel(self, store, namespace):
        yield RedisControl(store.connection, namespace=namespace)
        start = f"{{{namespace}!control}}"
        await store.connection.execute("DEL", f"{start}standing", f"{start}orders", key=start.encode())

    @pytest.fixture
    def others(self, peer, namespace):
        return RedisControl(peer.connection, namespace=namespace)
