"""Unread keys beside the others: one place each, never more than fit, and each is reported once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from async_backfill.outcomes import ABSENT
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.stores._probation import ProbationStore
from async_backfill.stores.memory import MemoryStore

KEYS = range(14)
keys = st.sampled_from(KEYS)
several = st.lists(keys, unique=True, max_size=8)


class ProbationMachine(RuleBasedStateMachine):
    """Values are numbers that rise, so that an older one would show."""

    eviction = "fifo"

    @initialize(capacity=st.sampled_from([None, 1, 3, 12]))
    def make(self, capacity):
        self.capacity = capacity
        self.resolved = Counter()
        self.entered = Counter()
        self.store = ProbationStore(
            MemoryStore(capacity, eviction=self.eviction),
            resolved=lambda key, _: self.resolved.update([key]),
        )
        self.values = {}
        self.value = 0

    def put(self, several, put):
        """Who leaves is the store's to say; nobody leaves unsaid, and nobody comes with an older value."""
        self.value += 1
        before, new = self.values, dict.fromkeys(several, self.value)
        evicted = put(new)
        known = {**before, **new}
        self.values = {key: known[key] for key in known if self.store.peek(key) is not ABSENT}
        assert set(before) - set(self.values) <= set(evicted) <= set(known)

    @rule(several=several, evict=st.booleans())
    def set_many(self, several, evict):
        before = set(self.values)
        self.put(several, lambda items: self.store.set_many(items, evict=evict))
        assert evict or before <= set(self.values)

    @rule(several=several, evict=st.booleans(), first_out=st.booleans())
    def set_unread(self, several, evict, first_out):
        # One that is unread already could leave for another of them, and come back at once.
        several = [key for key in several if key not in self.store._unread]
        before = set(self.values)
        self.put(several, lambda items: self.store.set_unread(items, evict=evict, first_out=first_out))
        self.entered.update(several)
        assert evict or before <= set(self.values)

    @rule(key=keys)
    def promote(self, key):
        unread = key in self.store._unread
        found = self.store.promote(key)
        assert found == (self.values[key] if unread else ABSENT)
        assert not unread or self.store.read(key, ABSENT) == found

    @rule(several=several)
    def delete_many(self, several):
        self.store.delete_many(several)
        for key in several:
            self.values.pop(key, None)

    @rule()
    def clear(self):
        self.store.clear()
        self.values.clear()

    @rule()
    def evict_oldest(self):
        if self.values:
            del self.values[self.store.evict_oldest()]
        else:
            with pytest.raises(LookupError):
                self.store.evict_oldest()

    @invariant()
    def it_holds_the_latest_values_and_no_more_than_fit(self):
        assert {
            key: self.store.peek(key) for key in KEYS if self.store.peek(key) is not ABSENT
        } == self.values
        assert len(self.store) == len(self.values)
        assert self.capacity is None or len(self.store) <= self.capacity
        assert self.store.free_room() == (None if self.capacity is None else self.capacity - len(self.values))

    @invariant()
    def a_key_is_either_unread_or_found_by_a_hit(self):
        for key in self.values:
            assert (key in self.store._unread) is (self.store.read(key, ABSENT) is ABSENT)

    @invariant()
    def each_key_that_came_unread_is_told_of_once(self):
        waiting = Counter(list(self.store._unread))
        assert self.resolved + waiting == self.entered


@pytest.mark.parametrize("eviction", EVICTIONS)
def test_whatever_is_done_each_key_has_one_place_and_is_told_of_once(eviction):
    machine = type("Machine", (ProbationMachine,), {"eviction": eviction})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=50, stateful_step_count=25, deadline=None)
    )


def store_of(capacity, eviction="fifo"):
    return ProbationStore(MemoryStore(capacity, eviction=eviction), resolved=lambda *_: None)


def test_unread_keys_leave_before_those_in_use():
    store = store_of(20)
    store.set_many(dict.fromkeys(range(5), 0))
    store.set_unread(dict.fromkeys(range(5, 20), 0), evict=False)
    evicted = [store.evict_oldest() for _ in range(13)]

    assert evicted == list(range(5, 18))


def test_of_keys_that_are_worth_less_and_less_the_last_leaves_first():
    store = store_of(20)
    store.set_unread(dict.fromkeys(range(20), 0), evict=False, first_out=True)

    assert [store.evict_oldest() for _ in range(3)] == [19, 18, 17]


def test_without_eviction_unread_keys_fill_free_room_only():
    store = store_of(10)
    store.set_many(dict.fromkeys(range(8), 0))

    assert store.set_unread(dict.fromkeys(range(8, 20), 0), evict=False) == []
    assert [key for key in range(20) if store.peek(key) is not ABSENT] == list(range(10))


def test_with_eviction_unread_keys_take_no_more_than_a_tenth_from_those_in_use():
    store = store_of(100)
    store.set_many(dict.fromkeys(range(100), 0))
    store.set_unread(dict.fromkeys(range(100, 200), 0), evict=True)

    assert sum(store.read(key, ABSENT) is not ABSENT for key in range(100)) == 90


def test_what_nobody_ever_reads_does_not_stay_for_good():
    store = store_of(100)
    store.set_unread(dict.fromkeys(range(10), 0), evict=True)
    for key in range(10, 1000):
        store.set_many({key: 0})

    assert [key for key in range(10) if store.peek(key) is not ABSENT] == []


def test_s3_fifo_takes_a_key_that_was_read_on_probation_for_proven():
    store = store_of(20, "s3-fifo")
    store.set_unread({"a": 1}, evict=False)
    store.promote("a")
    for number in range(60):
        store.set_many({number: 0})

    assert store.peek("a") == 1
