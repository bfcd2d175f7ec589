"""A store whose values expire, against a dict that is searched through each time."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from async_backfill import FreshnessPolicy
from async_backfill.outcomes import ABSENT
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.stores._fresh import FreshStore
from async_backfill.stores.memory import MemoryStore
from async_backfill.stores.weighed import WeighedStore
from async_backfill.testing import ManualClock

TTL, STALE_FOR, RETRY_AFTER = 10.0, 5.0, 3.0
keys = st.sampled_from("abcdef")
several = st.lists(keys, unique=True, max_size=4)


class FreshMachine(RuleBasedStateMachine):
    """Times of the model are kept for ever; the store must agree and forget what has left."""

    eviction = "fifo"

    @initialize(capacity=st.sampled_from([None, 1, 2, 4]), jitter=st.sampled_from([0.0, 0.5, 1.0]))
    def make(self, capacity, jitter):
        self.capacity, self.jitter = capacity, jitter
        self.clock = ManualClock()
        policy = FreshnessPolicy(ttl=TTL, jitter=jitter, stale_for=STALE_FOR, retry_after=RETRY_AFTER, seed=1)
        self.expired = []
        self.inner = MemoryStore(capacity, eviction=self.eviction)
        self.store = FreshStore(
            self.inner,
            policy,
            clock=self.clock,
            expired=self.expired.extend,
        )
        self.value = 0
        self.set_at = {}
        self.values = {}
        self.failed_at = {}

    def forget(self, gone):
        for key in gone:
            self.set_at.pop(key, None)
            self.values.pop(key, None)
            self.failed_at.pop(key, None)

    def age(self, key):
        return self.clock() - self.set_at.get(key, -math.inf)

    def sweep(self):
        """Take what the store may have let go by itself out of the model, after a check that it may."""
        gone, self.expired[:] = list(self.expired), []
        assert all(self.age(key) >= TTL * (1.0 - self.jitter) + STALE_FOR for key in gone)
        self.forget(gone)

    @rule(several=several, evict=st.booleans())
    def set_many(self, several, evict):
        self.value += 1
        items = dict.fromkeys(several, self.value)
        evicted = self.store.set_many(items, evict=evict)
        self.sweep()
        self.set_at.update(dict.fromkeys(items, self.clock()))
        self.values.update(items)
        for key in items:
            self.failed_at.pop(key, None)
        # Who is there is the store's underneath to say; it has tests of its own.
        self.forget([key for key in "abcdef" if self.inner.peek(key) is ABSENT])
        assert evict or evicted == []

    @rule(several=several)
    def delete_many(self, several):
        self.store.delete_many(several)
        self.forget(several)

    @rule(several=several)
    def refresh_failed(self, several):
        self.store.refresh_failed(several)
        for key in several:
            if self.inner.peek(key) is not ABSENT:
                self.failed_at[key] = self.clock()

    @rule()
    def clear(self):
        self.store.clear()
        self.forget(list(self.values))

    @rule()
    def evict_oldest(self):
        if len(self.store):
            self.forget([self.store.evict_oldest()])
        else:
            with pytest.raises(LookupError):
                self.store.evict_oldest()

    @rule(seconds=st.sampled_from([0.125, 2.875, 3.0, 5.0, 9.875, 10.0, 15.0, 100.0]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def look_how_much_room_there_is(self):
        room = self.store.free_room()
        self.sweep()
        assert room == (None if self.capacity is None else self.capacity - len(self.store))
        assert len(self.store._leaving) <= 2 * len(self.store) + 64

    @invariant()
    def what_is_found_is_the_latest_value_in_its_time(self):
        for key in "abcdef":
            age = self.age(key)
            for found, until in (
                (self.store.read(key, ABSENT), TTL),
                (self.store.peek(key), TTL),
                (self.store.leftover(key), TTL + STALE_FOR),
            ):
                assert found is ABSENT or (found == self.values[key] and age < until)
                if key in self.values and age < until - TTL * self.jitter:
                    assert found == self.values[key]
            assert self.store.is_fresh(key) is (self.store.peek(key) is not ABSENT)

    @invariant()
    def a_key_is_left_alone_after_a_failure_for_as_long_as_was_said(self):
        for key in self.values:
            failed_at = self.failed_at.get(key, -math.inf)
            assert self.store.may_refresh(key) is (self.clock() >= failed_at + RETRY_AFTER)

    @invariant()
    def nothing_is_remembered_of_what_is_not_there(self):
        store = self.store
        assert self.capacity is None or len(store) <= self.capacity
        assert len(store._fresh_until) == len(store) >= len(store._retry_at)


@pytest.mark.parametrize("eviction", EVICTIONS)
def test_whatever_is_done_a_value_is_fresh_then_stale_then_gone(eviction):
    machine = type("Machine", (FreshMachine,), {"eviction": eviction})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )


def store_of(**policy):
    clock = ManualClock()
    expired = []
    policy = FreshnessPolicy(**{"ttl": TTL, **policy})
    return FreshStore(MemoryStore(2), policy, clock=clock, expired=expired.extend), clock, expired


def test_a_value_is_fresh_until_its_ttl_then_stale_until_its_end_to_the_instant():
    store, clock, expired = store_of(stale_for=STALE_FOR)
    store.set_many({"a": 1})
    clock.advance(TTL - 1e-9)
    assert (store.read("a", ABSENT), store.has_expired("a")) == (1, False)
    clock.advance(1e-9)
    assert (store.read("a", ABSENT), store.leftover("a"), store.has_expired("a")) == (ABSENT, 1, True)
    clock.advance(STALE_FOR - 1e-6)
    assert store.leftover("a") == 1
    clock.advance(2e-6)

    assert (store.leftover("a"), store.free_room(), expired, store.has_expired("a")) == (
        ABSENT,
        2,
        ["a"],
        False,
    )


def test_what_expired_makes_room_before_anybody_is_evicted():
    store, clock, _ = store_of()
    store.set_many({"a": 1})
    clock.advance(TTL / 2)
    store.set_many({"b": 2})
    clock.advance(TTL / 2)

    assert store.set_many({"c": 3}) == []
    assert (store.peek("b"), store.peek("c"), len(store)) == (2, 3, 2)


def test_replacing_a_value_for_ever_does_not_grow_what_is_remembered():
    store, clock, _ = store_of()
    for number in range(10_000):
        store.set_many({"a": number})
        clock.advance(0.001)

    assert len(store._leaving) < 200


def test_times_of_what_comes_together_are_apart_but_few_numbers():
    store = FreshStore(MemoryStore(), FreshnessPolicy(ttl=10.0), clock=ManualClock())
    store.set_many(dict.fromkeys(range(1000)))
    times = store.fresh_until.values()

    assert 40 < len(set(times)) == len({id(time) for time in times}) <= 64
    assert 9.5 < min(times) <= max(times) <= 10.0


@pytest.mark.parametrize("policy", [{"ttl": TTL}, {"ttl": None, "ttl_of": lambda *_: None}])
def test_a_value_replaced_by_one_that_is_too_heavy_leaves_no_time_behind(policy):
    clock, expired = ManualClock(), []
    inner = WeighedStore(10, lambda _, value: value)
    store = FreshStore(inner, FreshnessPolicy(**policy), clock=clock, expired=expired.extend)
    store.set_many({"a": 1})
    store.set_many({"a": 100, "b": 1})
    assert (store.peek("a"), [*store.fresh_until]) == (ABSENT, ["b"])
    clock.advance(TTL)
    store.sweep()
    assert expired == [key for key in ["b"] if policy["ttl"]]


@given(
    stale_for=st.floats(0.0, 1e308) | st.sampled_from([1e16, float(sys.maxsize)]),
    begin=st.floats(0.0, 1e9),
    ttl=st.floats(1e-3, 1e6),
)
def test_no_value_is_taken_for_fresh_after_its_time_however_long_it_is_stale(stale_for, begin, ttl):
    clock, told = ManualClock(begin), []
    policy = FreshnessPolicy(ttl=ttl, stale_for=stale_for)
    store = FreshStore(MemoryStore(), policy, clock=clock)
    store.tell_soonest = told.append
    store.set_many({"a": 1, "b": 2})
    store.sweep()
    assert told
    assert told[-1] <= min(store.fresh_until.values())
