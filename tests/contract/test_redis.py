"""The store in Redis, its leases, invalidations and permits keep the promises of their contracts."""

from __future__ import annotations

import uuid
from operator import itemgetter

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill.redis.connection import connect
from async_backfill.redis.control import RedisControl
from async_backfill.redis.invalidations import RedisInvalidations
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.permits import RedisPermits
from async_backfill.redis.read_budget import RedisReadBudget
from async_backfill.redis.store import RedisStore
from async_backfill.testing import (
    ControlChannelContract,
    FarStoreContract,
    GuardedLeasesContract,
    GuardedStoreContract,
    InvalidationsContract,
    KeyListingContract,
    LeasesContract,
    PermitsContract,
    ReadBudgetContract,
    SealingContract,
    StoreFactsContract,
)
from tests.contract.test_far_stores import ITEMS, ODD_KEYS, OfVersionsUnderLeases

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def namespace():
    return f"contract-{uuid.uuid4().hex}"


@pytest.fixture
async def store(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        yield store
        await store.clear()


@pytest.fixture
async def peer(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        yield RedisStore(redis, namespace=namespace)


class TestRedisStore(FarStoreContract):
    items = ITEMS
    odd_keys = ODD_KEYS

    @pytest.fixture
    async def other(self, valkey_url, namespace):
        async with connect(valkey_url) as redis:
            store = RedisStore(redis, namespace=f"{namespace}-other")
            yield store
            await store.clear()


class TestRedisStoreSeals(SealingContract):
    keys = ("a", "b", "c")
    refused = object()

    def value(self):
        return {"tags": ["new"]}

    def change(self, value):
        value["tags"].append("mine")


class TestRedisStoreListsItsKeys(KeyListingContract):
    listed = dict.fromkeys(map(str, range(50)), 1)


class TestRedisStoreKeepsMarks(StoreFactsContract):
    items = ITEMS


class TestRedisLeases(LeasesContract):
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


class TestRedisInvalidations(InvalidationsContract):
    keys = ODD_KEYS

    @pytest.fixture
    def first(self, store, namespace):
        return RedisInvalidations(store.connection, namespace=namespace)

    @pytest.fixture
    def second(self, peer, namespace):
        return RedisInvalidations(peer.connection, namespace=namespace)


class TestRedisPermits(PermitsContract):
    granted = 5

    @pytest.fixture
    async def permits(self, store, namespace):
        yield RedisPermits(store.connection, namespace=namespace, max_backfills=self.granted)
        names = (f"{namespace}!permits", f"{{{namespace}!permits}}approvals")
        await store.connection.execute("DEL", *names, key=names[0].encode())

    @pytest.fixture
    def others(self, peer, namespace):
        return RedisPermits(peer.connection, namespace=namespace, max_backfills=self.granted)


class TestRedisControl(ControlChannelContract):
    @pytest.fixture
    async def channel(self, store, namespace):
        yield RedisControl(store.connection, namespace=namespace)
        start = f"{{{namespace}!control}}"
        await store.connection.execute("DEL", f"{start}standing", f"{start}orders", key=start.encode())

    @pytest.fixture
    def others(self, peer, namespace):
        return RedisControl(peer.connection, namespace=namespace)


class TestRedisReadBudget(ReadBudgetContract):
    @pytest.fixture
    async def budget(self, store, namespace):
        yield RedisReadBudget(store.connection, namespace=namespace)
        start = f"{{{namespace}!reads:source}}"
        await store.connection.execute("DEL", f"{start}rows", f"{start}pages", key=f"{start}rows".encode())

    @pytest.fixture
    def others(self, peer, namespace):
        return RedisReadBudget(peer.connection, namespace=namespace)


class TestRedisStoreIsGuarded(GuardedStoreContract, GuardedLeasesContract):
    items = ITEMS
    margin = 5.0
    refused = (object(), "x" * 1_000_001)

    @pytest.fixture
    def leases(self, peer):
        return RedisLeases(peer, seconds=600.0)


class TestSignedRedisStoreIsGuarded(TestRedisStoreIsGuarded):
    @pytest.fixture
    async def store(self, valkey_url, namespace):
        async with connect(valkey_url) as redis:
            store = RedisStore(redis, namespace=namespace, signing_key=b"0123456789abcdef")
            yield store
            await store.clear()

    @pytest.fixture
    async def peer(self, valkey_url, namespace):
        async with connect(valkey_url) as redis:
            yield RedisStore(redis, namespace=namespace, signing_key=b"0123456789abcdef")


class TestRedisStoreHasVersions(OfVersionsUnderLeases):
    signing_key = None

    def made(self, redis, namespace):
        key = self.signing_key
        return RedisStore(redis, namespace=namespace, version_of=itemgetter(0), signing_key=key)

    @pytest.fixture
    async def store(self, valkey_url, namespace):
        async with connect(valkey_url) as redis:
            store = self.made(redis, namespace)
            yield store
            await store.clear()

    @pytest.fixture
    async def peer(self, valkey_url, namespace):
        async with connect(valkey_url) as redis:
            yield self.made(redis, namespace)

    @pytest.fixture
    def leases(self, peer):
        return RedisLeases(peer, seconds=600.0)


class TestSignedRedisStoreHasVersions(TestRedisStoreHasVersions):
    signing_key = b"0123456789abcdef"
