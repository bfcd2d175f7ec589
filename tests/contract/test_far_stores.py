"""What stands in memory for the far tier, permits and orders of a fleet keeps its promises."""

from __future__ import annotations

from operator import itemgetter
from types import MappingProxyType

import pytest

from async_backfill.testing import (
    ControlChannelContract,
    FarStoreContract,
    GuardedLeasesContract,
    GuardedStoreContract,
    InvalidationsContract,
    KeyListingContract,
    LeasesContract,
    MemoryControl,
    MemoryFarStore,
    MemoryPermits,
    MemoryReadBudget,
    PermitsContract,
    ReadBudgetContract,
    StoreFactsContract,
    VersionedStoreContract,
)
from tests.leases import lease

pytestmark = pytest.mark.anyio

ITEMS = {"one": 1, "two": ["2"], "none": None, "text": "0"}
ODD_KEYS = (0, "", " ", "0", "a:b", "a", "b", "*", "[a]", "line\nend", "nul\0", "é", "e\u0301", "\ud800")


def slow(store):
    """Make the link of ``store`` slow and return it."""
    store.link.latency, store.link.answer_latency = 0.5, 0.25
    return store


class TestMemoryFarStore(FarStoreContract):
    items = ITEMS
    odd_keys = ODD_KEYS

    @pytest.fixture
    def store(self):
        return MemoryFarStore()

    @pytest.fixture
    def other(self):
        return MemoryFarStore()


class TestSlowMemoryFarStore(TestMemoryFarStore):
    ttl = 5.0

    @pytest.fixture
    def store(self):
        return slow(MemoryFarStore())


class TestMemoryFarStoreListsItsKeys(KeyListingContract):
    listed = ITEMS

    @pytest.fixture
    def store(self):
        return MemoryFarStore()


class TestMemoryFarStoreIsGuarded(GuardedStoreContract, GuardedLeasesContract):
    items = ITEMS

    @pytest.fixture
    def store(self):
        return MemoryFarStore()

    @pytest.fixture
    def peer(self, store):
        return store.peer(lease=600.0)

    @pytest.fixture
    def leases(self, peer):
        return peer.leases


class TestMemoryFarStoreKeepsMarks(StoreFactsContract):
    items = ITEMS

    @pytest.fixture
    def store(self):
        return MemoryFarStore()

    @pytest.fixture
    def peer(self, store):
        return store.peer()


class OfVersions(VersionedStoreContract):
    """Values that are their versions, with a text."""

    keys = ("one", 2, "three")
    items = MappingProxyType({"one": [1, "first"], 2: [2, "second"]})
    refused = (["no number", ""], [-1, ""], [2**64, ""], [1.5, ""], [])

    def value(self, version):
        return [version, "text" * 50]


class OfVersionsUnderLeases(OfVersions, GuardedLeasesContract):
    """Leases of a store whose values have versions."""

    async def test_under_a_lease_a_lower_version_replaces_no_higher_one(self, store, leases):
        for low, high in [(0, 1), (255, 256), (2**32 - 1, 2**32), (2**53, 2**53 + 1), (2**63 - 1, 2**63)]:
            rows = {"one": self.value(low), 2: self.value(low)}
            await store.set_many({"one": self.value(high), 2: self.value(low)})
            tokens = await lease(leases, tuple(rows), outdated=tuple(rows))
            assert list(await leases.set_many(rows, tokens)) == [2]
            assert (await store.get_many(["one"]))["one"].value == self.value(high)
            tokens = await lease(leases, ("one",), outdated=("one",))
            assert set(tokens) == {"one"}  # that lease had ended
            assert list(await leases.set_many({"one": self.value(high)}, tokens)) == ["one"]

    async def test_a_version_that_was_removed_under_a_lease_is_no_higher_one(self, store, leases):
        await store.set_many({"one": self.value(9)})
        await store.delete_many(("one",))
        tokens = await lease(leases, ("one",))
        assert list(await leases.set_many({"one": self.value(1)}, tokens)) == ["one"]


class TestMemoryFarStoreHasVersions(OfVersionsUnderLeases):
    refused = ()

    @pytest.fixture
    def store(self):
        return MemoryFarStore(version_of=itemgetter(0))

    @pytest.fixture
    def peer(self, store):
        return store.peer(lease=600.0)

    @pytest.fixture
    def leases(self, peer):
        return peer.leases


class TestMemoryLeases(LeasesContract):
    items = ITEMS

    @pytest.fixture
    def store(self):
        return MemoryFarStore(lease=600.0)

    @pytest.fixture
    def leases(self, store):
        return store.leases

    @pytest.fixture
    def rival(self, store):
        return store.peer().leases

    @pytest.fixture
    def brief(self, store):
        return store.peer(lease=self.brief_lease).leases


class TestSlowMemoryLeases(TestMemoryLeases):
    ttl = 5.0

    @pytest.fixture
    def store(self):
        return slow(MemoryFarStore(lease=600.0))


class TestMemoryInvalidations(InvalidationsContract):
    keys = ODD_KEYS

    @pytest.fixture
    def store(self):
        return MemoryFarStore()

    @pytest.fixture
    def first(self, store):
        return store.invalidations

    @pytest.fixture
    def second(self, store):
        return store.peer().invalidations


class TestSlowMemoryInvalidations(TestMemoryInvalidations):
    @pytest.fixture
    def store(self):
        return slow(MemoryFarStore())


class TestMemoryPermits(PermitsContract):
    granted = 5

    @pytest.fixture
    def permits(self):
        return MemoryPermits(self.granted)

    @pytest.fixture
    def others(self, permits):
        return permits


class TestMemoryControl(ControlChannelContract):
    @pytest.fixture
    def channel(self):
        return MemoryControl()

    @pytest.fixture
    def others(self, channel):
        return channel


class TestMemoryReadBudget(ReadBudgetContract):
    @pytest.fixture
    def budget(self):
        return MemoryReadBudget()

    @pytest.fixture
    def others(self, budget):
        return budget
