"""Least recently used, against a plain list: whatever is added, hit, removed, evicted and cleared."""

from __future__ import annotations

from async_backfill.stores._eviction.lru import LruOrder
from tests.stores.order_rigs import AgainstAModel, case_of


class LruModel:
    """The keys, the one used the longest ago at the head."""

    def __init__(self):
        self.keys = []

    def add(self, key):
        self.keys.append(key)

    def touch(self, key):
        self.keys.remove(key)
        self.keys.append(key)

    def discard(self, key):
        self.keys.remove(key)

    def evict(self):
        return self.keys.pop(0)

    def clear(self):
        self.keys.clear()


class AgainstAList(AgainstAModel):
    def make(self):
        return LruOrder(), LruModel()


TestAgainstAList = case_of(AgainstAList)


def test_the_key_that_was_used_the_longest_ago_leaves_first():
    order = LruOrder()
    for key in "abc":
        order.add(key)
    order.touch("a")

    assert [order.evict() for _ in range(3)] == ["b", "c", "a"]
