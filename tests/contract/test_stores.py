"""The stores in memory keep the promises of `BoundedStore`."""

from __future__ import annotations

from async_backfill.policies import FreshnessPolicy
from async_backfill.stores._fresh import FreshStore
from async_backfill.stores._probation import ProbationStore
from async_backfill.stores.memory import MemoryStore
from async_backfill.stores.weighed import WeighedStore
from async_backfill.testing import ManualClock, StoreContract

KEYS = (None, 0, "", "0", b"", 1.5, (), *range(1, 9))


class TestFifo(StoreContract):
    keys = KEYS
    eviction = "fifo"

    def make_store(self, capacity):
        return MemoryStore(capacity, eviction=self.eviction)


class TestLru(TestFifo):
    eviction = "lru"


class TestSieve(TestFifo):
    eviction = "sieve"


class TestS3Fifo(TestFifo):
    eviction = "s3-fifo"


class TestWeighed(StoreContract):
    """Limited by weight, and by number as well: a weight alone says nothing of an empty store's room."""

    keys = KEYS
    may_be_limitless = False
    eviction = "fifo"

    def make_store(self, capacity):
        return WeighedStore(2 * capacity, lambda *_: 2, capacity=capacity, eviction=self.eviction)


class TestWeighedLru(TestWeighed):
    eviction = "lru"


class TestFresh(StoreContract):
    keys = KEYS

    def make_store(self, capacity):
        policy = FreshnessPolicy(ttl=60.0)
        return FreshStore(MemoryStore(capacity), policy, clock=ManualClock())


class TestProbation(StoreContract):
    keys = KEYS

    def make_store(self, capacity):
        return ProbationStore(MemoryStore(capacity), resolved=lambda _key, _was_read: None)
