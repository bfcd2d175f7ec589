"""First in, first out, against a plain list: whatever is added, hit, removed, evicted and cleared."""

from __future__ import annotations

import pytest

from async_backfill.stores._eviction.fifo import FifoOrder
from tests.stores.order_rigs import AgainstAModel, case_of


class FifoModel:
    """The keys, the one added first at the head."""

    def __init__(self):
        self.keys = []

    def add(self, key):
        self.keys.append(key)

    def touch(self, key):
        """Change nothing."""

    def discard(self, key):
        self.keys.remove(key)

    def evict(self):
        return self.keys.pop(0)

    def clear(self):
        self.keys.clear()


class AgainstAList(AgainstAModel):
    def make(self):
        return FifoOrder(), FifoModel()


TestAgainstAList = case_of(AgainstAList)


def filled(keys):
    order = FifoOrder()
    for key in keys:
        order.add(key)
    return order


def test_the_key_that_was_added_first_leaves_first():
    order = filled("abc")

    assert [order.evict() for _ in range(3)] == ["a", "b", "c"]


def test_a_key_removed_and_added_again_is_the_youngest():
    order = filled("abc")
    order.discard("a")
    order.add("a")

    assert [order.evict() for _ in range(3)] == ["b", "c", "a"]


def test_hits_do_not_matter():
    assert FifoOrder().touch is None


def test_an_empty_order_has_nothing_to_evict():
    order = FifoOrder()
    with pytest.raises(LookupError):
        order.evict()
    order.add("a")
    order.discard("a")
    with pytest.raises(LookupError):
        order.evict()


def test_removing_and_adding_for_ever_does_not_grow_the_queue():
    order = filled(range(10))
    for turn in range(10_000):
        order.discard(turn % 10)
        order.add(turn % 10)

    assert len(order._queue) <= 10 + 64 + 1
    assert [order.evict() for _ in range(10)] == list(range(10))
