"""SIEVE against the algorithm of its paper on a plain list."""

from __future__ import annotations

from async_backfill.stores._eviction.sieve import MOST_SPARED, SieveOrder
from tests.stores.order_rigs import AgainstAModel, case_of


class SieveModel:
    """Algorithm 1 of the paper: ``keys`` from the tail to the head, ``hand`` one of them or none."""

    def __init__(self):
        self.keys = []
        self.visited = set()
        self.hand = None

    def newer(self, key):
        """Return the next key on the way to the head, or none at the head."""
        place = self.keys.index(key) + 1
        return self.keys[place] if place < len(self.keys) else None

    def add(self, key):
        self.keys.append(key)

    def touch(self, key):
        self.visited.add(key)

    def discard(self, key):
        if key == self.hand:
            self.hand = self.newer(key)
        self.visited.discard(key)
        self.keys.remove(key)

    def evict(self):
        key = self.keys[0] if self.hand is None else self.hand
        while key in self.visited:
            self.visited.remove(key)
            key = self.newer(key)
            if key is None:
                key = self.keys[0]
        self.hand = self.newer(key)
        self.keys.remove(key)
        return key

    def clear(self):
        self.__init__()


class AgainstAList(AgainstAModel):
    def make(self):
        return SieveOrder(), SieveModel()


TestAgainstAList = case_of(AgainstAList)


def test_a_run_done_by_hand_comes_to_what_the_hand_comes_to():
    # From head to tail G F E D C B A, of which A, B and G were hit; then come H, a hit of
    # A, D, I, a hit of B and J.
    order = SieveOrder()
    for key in "ABCDEFG":
        order.add(key)
    for key in "ABG":
        order.touch(key)
    evicted = [order.evict()]
    order.add("H")
    order.touch("A")
    order.touch("D")
    evicted.append(order.evict())
    order.add("I")
    order.touch("B")
    evicted.append(order.evict())
    order.add("J")

    assert evicted == ["C", "E", "F"]


def test_a_key_that_was_hit_is_spared_once():
    order = SieveOrder()
    for key in "abc":
        order.add(key)
    order.touch("a")

    assert [order.evict() for _ in range(3)] == ["b", "c", "a"]


def test_the_hand_goes_on_where_it_stopped_and_does_not_start_at_the_oldest():
    order = SieveOrder()
    for key in "abcd":
        order.add(key)
    order.touch("a")
    assert order.evict() == "b"

    assert order.evict() == "c"


def test_a_key_added_after_the_hand_passed_the_newest_waits_for_a_whole_round():
    order = SieveOrder()
    for key in "ab":
        order.add(key)
    order.touch("a")
    assert order.evict() == "b"
    order.add("c")

    assert [order.evict(), order.evict()] == ["a", "c"]


def test_a_key_that_comes_back_is_not_hit_any_more():
    order = SieveOrder()
    for key in "ab":
        order.add(key)
    order.touch("a")
    order.discard("a")
    order.add("a")

    assert [order.evict(), order.evict()] == ["b", "a"]


def test_one_eviction_spares_a_bounded_number_of_keys_then_takes_the_next():
    order = SieveOrder()
    for key in range(3 * MOST_SPARED):
        order.add(key)
        order.touch(key)

    assert [order.evict(), order.evict()] == [MOST_SPARED, 2 * MOST_SPARED + 1]
    assert len(order._hit) == MOST_SPARED - 2
    assert [order.evict(), order.evict()] == [0, 1]
