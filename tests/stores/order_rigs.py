"""An eviction order beside a model of it made of plain lists: whatever happens, both name the same key."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

MORE_THAN_THE_QUEUES_TOLERATE_DEAD = 80
KEYS = st.integers(0, 9)


class AgainstAModel(RuleBasedStateMachine):
    """Does the same to an order and to its model, which has ``keys``, all that are there.

    A class below says which: ``make`` returns the two.
    """

    def __init__(self):
        super().__init__()
        self.order, self.model = self.make()
        self.fresh = 1000

    def make(self):
        raise NotImplementedError

    def add_one(self, key):
        self.order.add(key)
        self.model.add(key)

    def discard_one(self, key):
        self.order.discard(key)
        self.model.discard(key)

    def touch_one(self, key):
        if self.order.touch is not None:
            self.order.touch(key)
        self.model.touch(key)

    def evict_one(self):
        if self.model.keys:
            assert self.order.evict() == self.model.evict()
        else:
            with pytest.raises(LookupError):
                self.order.evict()

    @rule(key=KEYS)
    def add_or_touch(self, key):
        (self.touch_one if key in self.model.keys else self.add_one)(key)

    @rule(count=st.integers(1, MORE_THAN_THE_QUEUES_TOLERATE_DEAD))
    def add_many(self, count):
        for key in range(self.fresh, self.fresh + count):
            self.add_one(key)
        self.fresh += count

    @precondition(lambda self: self.model.keys)
    @rule(data=st.data(), times=st.integers(1, 5))
    def touch(self, data, times):
        key = data.draw(st.sampled_from(self.model.keys))
        for _ in range(times):
            self.touch_one(key)

    @precondition(lambda self: self.model.keys)
    @rule(seed=st.integers(0, 99))
    def touch_many(self, seed):
        for key in random.Random(seed).choices(self.model.keys, k=len(self.model.keys)):
            self.touch_one(key)

    @precondition(lambda self: self.model.keys)
    @rule(data=st.data())
    def discard(self, data):
        self.discard_one(data.draw(st.sampled_from(self.model.keys)))

    @precondition(lambda self: self.model.keys)
    @rule(seed=st.integers(0, 99), share=st.floats(0, 1))
    def discard_many(self, seed, share):
        keys = self.model.keys
        for key in random.Random(seed).sample(keys, int(share * len(keys))):
            self.discard_one(key)

    @rule(again=st.lists(KEYS, max_size=100))
    def discard_and_add_again(self, again):
        for key in again:
            if key in self.model.keys:
                self.discard_one(key)
            self.add_one(key)

    @rule()
    def evict(self):
        self.evict_one()

    @rule(keys=st.lists(KEYS, min_size=1, max_size=60))
    def ask_as_a_full_cache_does(self, keys):
        for key in keys:
            if key in self.model.keys:
                self.touch_one(key)
            else:
                self.evict_one()
                self.add_one(key)

    @rule(share=st.floats(0, 1))
    def evict_many(self, share):
        for _ in range(int(share * len(self.model.keys))):
            self.evict_one()

    @rule()
    def clear(self):
        self.order.clear()
        self.model.clear()

    @invariant()
    def dead_places_never_outweigh_the_living(self):
        places = getattr(self.order, "_places", None)
        if places is not None:
            assert 0 <= places._count <= max(65, 1 + len(self.model.keys))
            assert len(places._again) + len(places._dead) <= places._count + len(self.model.keys)

    def teardown(self):
        while self.model.keys:
            self.evict_one()
        self.evict_one()


def case_of(machine):
    """Return ``machine`` as a test case."""
    machine.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
    return machine.TestCase
