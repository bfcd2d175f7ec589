"""Keys that were there lately, against an ordered dict: whatever is added, forgotten and cleared."""

from __future__ import annotations

import sys
from collections import OrderedDict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from async_backfill._common.recent_keys import RecentKeys

FAR_APART = [number << 40 for number in range(30)]
KEYS = st.one_of(st.integers(0, 40), st.sampled_from(FAR_APART), st.text(min_size=1, max_size=2))
MANY = 200


class AgainstAnOrderedDict(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.recent, self.model = RecentKeys(), OrderedDict()
        self.fresh = 1000

    def add_one(self, key, most):
        if key not in self.model:
            self.recent.add(key, most)
            self.model[key] = None
            while len(self.model) > most:
                self.model.popitem(last=False)

    def discard_one(self, key):
        known = key in self.model
        self.model.pop(key, None)
        assert self.recent.discard(key) is known

    @rule(key=KEYS, most=st.integers(1, 30))
    def add(self, key, most):
        self.add_one(key, most)

    @rule(count=st.integers(1, MANY), most=st.integers(1, MANY))
    def add_many(self, count, most):
        for key in range(self.fresh, self.fresh + count):
            self.add_one(key, most)
        self.fresh += count

    @rule(key=KEYS)
    def discard(self, key):
        self.discard_one(key)

    @rule(data=st.data())
    def discard_some_that_are_there(self, data):
        for key in data.draw(st.lists(st.sampled_from([*self.model, "not there"]), max_size=20)):
            self.discard_one(key)

    @rule()
    def clear(self):
        self.recent.clear()
        self.model.clear()

    @invariant()
    def both_know_the_same_keys(self):
        assert len(self.recent) == len(self.model)
        assert all(key in self.recent for key in self.model)
        assert "never added" not in self.recent


AgainstAnOrderedDict.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestAgainstAnOrderedDict = AgainstAnOrderedDict.TestCase


def test_a_key_takes_few_bytes_however_long_it_is_and_however_many_come_and_go():
    recent = RecentKeys()
    for number in range(20_000):
        recent.add(f"{number}" * 100, 5_000)
        if number % 3:
            recent.discard(f"{number - 1}" * 100)

    arrays = (recent._hashes, recent._chained, recent._heads, recent._newer, recent._older, recent._rests)
    assert sum(map(sys.getsizeof, arrays)) < 23 * 5_000


def test_keys_that_are_multiples_of_one_number_do_not_share_a_chain():
    recent = RecentKeys()
    for number in range(4_096):
        recent.add(number << 20, 4_096)
    hashes, chained, heads = recent._hashes, recent._chained, recent._heads

    longest = 0
    for head in heads:
        length, place = 0, head
        while place:
            length, place = length + 1, chained[place]
        longest = max(longest, length)
    assert longest < 20
    assert len(hashes) == 4_097


def test_when_far_fewer_are_to_be_remembered_one_addition_forgets_a_bounded_number():
    recent = RecentKeys()
    for number in range(5_000):
        recent.add(number, 5_000)

    recent.add("new", 10)
    assert len(recent) == 5_000 - 1024
    for number in range(10):
        recent.add(f"another {number}", 10)
    assert len(recent) == 10


def test_two_keys_of_one_hash_are_one_key():
    recent = RecentKeys()
    recent.add(-1, 10)

    assert hash(-1) == hash(-2)
    assert recent.discard(-2)
    assert -1 not in recent


def test_a_key_keeps_the_mark_with_which_it_was_added_last():
    recent = RecentKeys()
    recent.add("a", 2)
    recent.add("b", 2, 5)
    assert [recent.mark(key) for key in "abc"] == [0, 5, None]
    recent.add("c", 2)
    recent.discard("b")
    recent.add("b", 2)
    assert [recent.mark(key) for key in "abc"] == [None, 0, 0]
    recent.clear()
    recent.add("b", 2)
    assert recent.mark("b") == 0
