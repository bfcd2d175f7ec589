"""A far store in a file keeps the promises of far stores, with threads, in real time."""

from __future__ import annotations

import zlib
from operator import itemgetter

import pytest

from async_backfill.stores.sqlite import SQLiteStore
from async_backfill.testing import (
    FarStoreContract,
    GuardedStoreContract,
    KeyListingContract,
    SealingContract,
    StoreFactsContract,
)
from tests.contract.test_far_stores import ITEMS, ODD_KEYS, OfVersions

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """In real time, because a thread takes some."""
    return request.param


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache.db"


@pytest.fixture
async def store(path):
    async with SQLiteStore(path, namespace="one") as store:
        yield store


class TestSQLiteStore(FarStoreContract):
    items = ITEMS
    odd_keys = ODD_KEYS

    @pytest.fixture
    async def other(self, path):
        async with SQLiteStore(path, namespace="one-more") as store:
            yield store


class TestSealingSQLiteStore(SealingContract):
    keys = tuple(ITEMS)
    refused = object()

    def value(self):
        return ["a", "list"]

    def change(self, value):
        value.append("more")


class TestSQLiteStoreListsItsKeys(KeyListingContract):
    listed = ITEMS


class TestGuardedSQLiteStore(GuardedStoreContract):
    items = ITEMS
    refused = (object(), "x" * 1_000_001)

    @pytest.fixture
    async def peer(self, path):
        async with SQLiteStore(path, namespace="one") as store:
            yield store


class TestSQLiteStoreKeepsMarks(StoreFactsContract):
    items = ITEMS

    @pytest.fixture
    async def peer(self, path):
        async with SQLiteStore(path, namespace="one") as store:
            yield store


class TestSQLiteStoreHasVersions(OfVersions):
    signing_key = None
    compression = None

    @pytest.fixture
    async def store(self, path):
        settings = {"signing_key": self.signing_key, "compression": self.compression}
        async with SQLiteStore(path, namespace="one", version_of=itemgetter(0), **settings) as store:
            yield store

    peer = store


class Zlib:
    above = 0

    def compress(self, payload):
        return zlib.compress(payload)

    def decompress(self, payload, _):
        return zlib.decompress(payload)


class TestSignedSQLiteStoreHasVersions(TestSQLiteStoreHasVersions):
    signing_key = b"0123456789abcdef"
    compression = Zlib()
