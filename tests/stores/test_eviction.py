"""First in, first out, against a plain list: whatever is added, removed, evicted and cleared."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from async_backfill.stores.eviction import FifoOrder

MORE_THAN_THE_QUEUE_TOLERATES_DEAD = 80


class AgainstAList(RuleBasedStateMachine):
    """The order beside a list of the living keys, oldest first."""

    def __init__(self):
        super().__init__()
        self.order = FifoOrder()
        self.living = []
        self.fresh = 1000

    @rule(key=st.integers(0, 5))
    def add(self, key):
        if key not in self.living:
            self.order.add(key)
            self.living.append(key)

    @rule(count=st.integers(1, MORE_THAN_THE_QUEUE_TOLERATES_DEAD))
    def add_many(self, count):
        for key in range(self.fresh, self.fresh + count):
            self.order.add(key)
            self.living.append(key)
        self.fresh += count

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def discard(self, data):
        key = data.draw(st.sampled_from(self.living))
        self.order.discard(key)
        self.living.remove(key)

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def discard_many(self, data):
        count = data.draw(st.integers(1, len(self.living)))
        gone = random.Random(data.draw(st.integers(0, 99))).sample(self.living, count)
        for key in gone:
            self.order.discard(key)
            self.living.remove(key)

    @rule(data=st.data())
    def discard_and_add_again(self, data):
        for key in data.draw(st.lists(st.integers(0, 5), max_size=100)):
            if key in self.living:
                self.order.discard(key)
                self.living.remove(key)
            self.order.add(key)
            self.living.append(key)

    @rule()
    def clear(self):
        self.order.clear()
        self.living.clear()

    @rule()
    def evict(self):
        if self.living:
            assert self.order.evict() == self.living.pop(0)
        else:
            with pytest.raises(LookupError):
                self.order.evict()

    @rule(share=st.floats(0, 1))
    def evict_many(self, share):
        for _ in range(int(share * len(self.living))):
            assert self.order.evict() == self.living.pop(0)

    @invariant()
    def dead_places_never_outweigh_the_living(self):
        places = len(self.order._queue)
        assert places == len(self.living) + self.order._dead_places
        assert self.order._dead_places <= max(64, places / 2)

    def teardown(self):
        assert [self.order.evict() for _ in range(len(self.living))] == self.living
        with pytest.raises(LookupError):
            self.order.evict()


AgainstAList.TestCase.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
TestAgainstAList = AgainstAList.TestCase


def test_the_key_that_was_added_first_leaves_first():
    order = FifoOrder()
    for key in "abc":
        order.add(key)

    assert [order.evict() for _ in range(3)] == ["a", "b", "c"]


def test_a_key_removed_and_added_again_is_the_youngest():
    order = FifoOrder()
    for key in "abc":
        order.add(key)
    order.discard("a")
    order.add("a")

    assert [order.evict() for _ in range(3)] == ["b", "c", "a"]


def test_an_empty_order_has_nothing_to_evict():
    order = FifoOrder()
    with pytest.raises(LookupError):
        order.evict()
    order.add("a")
    order.discard("a")
    with pytest.raises(LookupError):
        order.evict()


def test_removing_and_adding_for_ever_does_not_grow_the_queue():
    order = FifoOrder()
    for key in range(10):
        order.add(key)
    for turn in range(10_000):
        order.discard(turn % 10)
        order.add(turn % 10)

    assert len(order._queue) <= 10 + 64 + 1
    assert [order.evict() for _ in range(10)] == list(range(10))
