"""S3-FIFO against the algorithm of its paper on plain lists."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from async_backfill.stores._eviction.s3_fifo import MOST_SPARED, S3FifoOrder
from tests.stores.order_rigs import AgainstAModel, case_of


class S3FifoModel:
    """Algorithm 1 of the paper, each queue a list with its tail, the oldest, at the head of the list.

    As in the authors' libCacheSim, newcomers fill the main queue as well until the cache has once
    been full, and the hits of who moves to the main queue are forgotten.
    """

    def __init__(self, capacity):
        self.capacity = capacity
        self.clear()

    def clear(self):
        self.small = []
        self.main = []
        self.ghost = []
        self.freq = {}
        self.has_evicted = False

    @property
    def keys(self):
        return [*self.small, *self.main]

    def add(self, key):
        full_small = self.capacity is not None and len(self.small) >= max(1, self.capacity // 10)
        if key in self.ghost:
            self.ghost.remove(key)
            self.main.append(key)
        elif full_small and not self.has_evicted:
            self.main.append(key)
        else:
            self.small.append(key)
        self.freq[key] = 0

    def touch(self, key):
        self.freq[key] = min(self.freq[key] + 1, 3)

    def discard(self, key):
        (self.small if key in self.small else self.main).remove(key)
        del self.freq[key]

    def evict(self):
        self.has_evicted = True
        size = len(self.keys)
        evicted = None
        if len(self.small) >= max(1, size // 10) or not self.main:
            evicted = self.evict_small(size)
        if evicted is None:
            evicted = self.evict_main()
        del self.freq[evicted]
        return evicted

    def evict_small(self, size):
        while self.small:
            tail = self.small.pop(0)
            if self.freq[tail] > 1:
                self.main.append(tail)
                self.freq[tail] = 0
            else:
                self.ghost.append(tail)
                del self.ghost[: -max(1, size - size // 10)]
                return tail
        return None

    def evict_main(self):
        while True:
            tail = self.main.pop(0)
            if not self.freq[tail]:
                return tail
            self.main.append(tail)
            self.freq[tail] -= 1


class AgainstLists(AgainstAModel):
    def make(self):
        return S3FifoOrder(None), S3FifoModel(None)

    @initialize(capacity=st.none() | st.integers(1, 60))
    def size(self, capacity):
        self.order, self.model = S3FifoOrder(capacity), S3FifoModel(capacity)


TestAgainstLists = case_of(AgainstLists)


def full_order():
    """Return an order of ten keys; 0 is the newcomer, the others are in the main queue."""
    order = S3FifoOrder(10)
    for key in range(10):
        order.add(key)
    return order


def test_a_newcomer_that_was_hit_less_than_twice_leaves_first():
    order = full_order()
    order.touch(0)

    assert order.evict() == 0


def test_a_newcomer_that_was_hit_twice_stays():
    order = full_order()
    order.touch(0)
    order.touch(0)

    assert order.evict() == 1


def test_who_comes_back_soon_after_being_evicted_goes_to_the_main_queue_at_once():
    order = full_order()
    assert order.evict() == 0
    order.add(0)
    order.add("newcomer")

    assert order.evict() == "newcomer"


def test_a_key_of_the_main_queue_is_spared_once_a_hit_and_three_times_at_most():
    order = S3FifoOrder(10)
    for key in "abc":
        order.add(key)
    for key in "bbbbbbbccc":
        order.touch(key)
    assert order.evict() == "a"

    assert [order.evict(), order.evict()] == ["b", "c"]


def test_who_was_evicted_is_remembered_only_as_long_as_the_main_queue_has_room():
    order = S3FifoOrder(10)
    for key in range(10):
        order.add(key)
    for key in range(10, 5000):
        order.evict()
        order.add(key)

    assert len(order._ghost) <= 9


def test_clearing_forgets_who_was_evicted():
    order = full_order()
    order.evict()
    order.clear()
    for key in [*range(1, 10), 0]:
        order.add(key)

    assert order.evict() == 1


def test_one_eviction_spares_a_bounded_number_of_keys_then_takes_the_next():
    order = S3FifoOrder(20 * MOST_SPARED)
    for key in range(20 * MOST_SPARED):
        order.add(key)
        for _ in range(3):
            order.touch(key)
    hits = dict(order.hit_counts)

    evicted = order.evict()
    changed = sum(order.hit_counts.get(key) != hits[key] for key in hits)
    assert (evicted, changed) == (MOST_SPARED, MOST_SPARED + 1)
    assert order.evict() in hits
