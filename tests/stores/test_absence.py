"""Keys that do not exist, against an ordered dict that is searched through each time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from async_backfill.stores._absence import AbsentKeys
from async_backfill.testing import ManualClock

TTL = 10.0
several = st.lists(st.sampled_from("abcdef"), unique=True, max_size=4)


class AbsenceMachine(RuleBasedStateMachine):
    @initialize(capacity=st.integers(1, 5))
    def make(self, capacity):
        self.capacity = capacity
        self.clock = ManualClock()
        self.absent = AbsentKeys(ttl=TTL, capacity=capacity, clock=self.clock)
        self.added_at = {}

    @rule(several=several)
    def add(self, several):
        self.absent.add(several)
        for key in several:
            self.added_at.pop(key, None)
            self.added_at[key] = self.clock()
        for key in list(self.added_at)[: -self.capacity]:
            del self.added_at[key]

    @rule(several=several)
    def discard(self, several):
        self.absent.discard(several)
        for key in several:
            self.added_at.pop(key, None)

    @rule()
    def clear(self):
        self.absent.clear()
        self.added_at.clear()

    @rule(seconds=st.sampled_from([0.125, 5.0, 9.875, 10.0]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def a_key_is_known_to_be_absent_in_its_time(self):
        known = {key for key in "abcdef" if key in self.absent}
        assert known == {key for key, at in self.added_at.items() if self.clock() < at + TTL}

    @invariant()
    def no_more_is_remembered_than_allowed(self):
        assert len(self.absent) == len(self.added_at) <= self.capacity


def test_whatever_is_done_absence_is_remembered_for_its_time_and_up_to_a_number():
    run_state_machine_as_test(AbsenceMachine, settings=settings(max_examples=150, deadline=None))


def test_a_million_keys_made_up_take_no_more_room_than_the_last_ten_thousand():
    absent = AbsentKeys(ttl=TTL, capacity=10_000, clock=ManualClock())
    for start in range(0, 1_000_000, 1000):
        absent.add(range(start, start + 1000))

    assert len(absent) == 10_000
    assert all(key in absent for key in range(990_000, 1_000_000))
    assert not any(key in absent for key in range(990_000))
