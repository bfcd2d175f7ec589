"""When values leave, against a dict that is searched through: with small buckets, whatever comes and goes."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from async_backfill.stores import _leaving
from async_backfill.stores._leaving import A_BUCKET, LeavingTimes

AFTER = 0.5
KEYS = st.integers(0, 12)
TTLS = st.sampled_from([0.0, 1.0, 2.0, 2.0, 2.0, 3.25, 10.0, 100.0, math.inf])


class AgainstADict(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.times = {}
        self.leaving = LeavingTimes(self.times, AFTER)
        self.now = 0.0
        self.fresh = 1000

    def add_one(self, key, ttl):
        self.times[key] = self.now + ttl
        self.leaving.add(key, self.times[key] + AFTER, len(self.times))

    @rule(key=KEYS, ttl=TTLS)
    def add(self, key, ttl):
        self.add_one(key, ttl)

    @rule(keys=st.lists(KEYS, max_size=40), ttl=TTLS)
    def replace_many(self, keys, ttl):
        for key in keys:
            self.add_one(key, ttl)

    @rule(count=st.integers(1, 60), ttl=TTLS, jitter=st.sampled_from([0.0, 0.0, 0.5, 1.0]))
    def add_many(self, count, ttl, jitter):
        draw = random.Random(count)
        for key in range(self.fresh, self.fresh + count):
            self.add_one(key, ttl if math.isinf(ttl) else ttl * (1.0 - jitter * draw.random()))
        self.fresh += count

    @rule(share=st.floats(0, 1), newest=st.booleans())
    def forget_many(self, share, newest):
        keys = list(self.times)
        many = int(share * len(keys))
        for key in keys[len(keys) - many :] if newest else keys[:many]:
            del self.times[key]

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 2.0, 20.0]), most=st.integers(1, 50))
    def wait_and_take_out_what_is_due(self, seconds, most):
        self.now += seconds
        due = {key for key, time in self.times.items() if time + AFTER <= self.now}
        found = set()
        while (again := self.leaving.next()) is not None and again <= self.now:
            for key in self.leaving.due(self.now, most):
                found.add(key)
                self.times.pop(key, None)
        assert found == due

    @rule()
    def clear(self):
        self.times.clear()
        self.leaving.clear()

    @invariant()
    def nobody_who_leaves_is_later_than_the_next_look(self):
        soonest = min(self.times.values(), default=math.inf)
        if not math.isinf(soonest):
            assert self.leaving.next() <= soonest + AFTER

    @invariant()
    def the_buckets_are_in_order_and_counted(self):
        leaving = self.leaving
        assert leaving._starts == sorted(set(leaving._starts))
        assert len(leaving._starts) == len(leaving._buckets)
        assert leaving._records == sum(map(len, leaving._buckets))
        assert all(when < leaving._limit for when, _, _ in leaving._next)


@pytest.fixture
def small_buckets(monkeypatch):
    monkeypatch.setattr(_leaving, "A_BUCKET", 8)


@pytest.mark.usefixtures("small_buckets")
def test_whatever_comes_and_goes_those_leave_whose_time_it_is():
    run_state_machine_as_test(
        AgainstADict, settings=settings(deadline=None, max_examples=100, stateful_step_count=30)
    )


def looked_at(leaving, monkeypatch):
    """Count the keys whose times are looked up in one step, and return the list of counts."""
    counts = []
    original = leaving._living

    def counting(keys, number):
        counts.append(len(keys))
        return original(keys, number)

    monkeypatch.setattr(leaving, "_living", counting)
    return counts


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_no_step_looks_at_more_than_a_few_buckets_of_keys(spread, monkeypatch):
    times, draw = {}, random.Random(1)
    leaving = LeavingTimes(times, 0.0)
    counts = looked_at(leaving, monkeypatch)

    def step(keys):
        assert sum(counts) <= 6 * A_BUCKET
        counts.clear()
        return keys

    for key in range(20 * A_BUCKET):
        times[key] = 10.0 + spread * draw.random()
        leaving.add(key, times[key], len(times))
        step(())
    for key in range(0, 20 * A_BUCKET, 3):
        times[key] = 20.0
        leaving.add(key, 20.0, len(times))
        step(())
    left = set(times)
    while leaving.next() is not None:
        for key in step(leaving.due(50.0, 128)):
            left.remove(key)
            del times[key]
    assert not left


def test_a_record_is_a_reference_and_few_are_dead():
    times = {}
    leaving = LeavingTimes(times, 0.0)
    for key in range(20_000):
        times[key] = float(key)
        times.pop(key - 2_000, None)
        leaving.add(key, times[key], len(times))

        assert len(leaving) <= 1.25 * len(times) + 64 + A_BUCKET
    assert len(leaving._next) <= 2 * A_BUCKET
    assert max(map(len, leaving._buckets)) <= A_BUCKET
