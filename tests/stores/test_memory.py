"""The store in memory, against a plain list of entries: never above its capacity, first in, first out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from async_backfill import ConfigurationError, MemoryStore
from async_backfill.outcomes import ABSENT
from async_backfill.stores._eviction.orders import EVICTIONS

keys = st.integers(0, 9)
values = st.none() | st.integers(0, 3)


class AgainstAList(RuleBasedStateMachine):
    """The store beside a list of its entries, the one added first at its head."""

    @initialize(capacity=st.none() | st.integers(1, 6))
    def make(self, capacity):
        self.capacity = capacity
        self.store = MemoryStore(capacity)
        self.entries = []
        self.removals = 0

    def place(self, key):
        return next((place for place, (held, _) in enumerate(self.entries) if held == key), None)

    @rule(items=st.dictionaries(keys, values))
    def set_many(self, items):
        evicted = []
        for key, value in items.items():
            place = self.place(key)
            if place is not None:
                self.entries[place] = (key, value)
                continue
            if self.capacity is not None and len(self.entries) == self.capacity:
                evicted.append(self.entries.pop(0)[0])
            self.entries.append((key, value))
        self.removals += len(evicted)

        assert list(self.store.set_many(items)) == evicted

    @rule(gone=st.lists(keys))
    def delete_many(self, gone):
        before = len(self.entries)
        self.entries = [entry for entry in self.entries if entry[0] not in gone]
        self.removals += before - len(self.entries)
        self.store.delete_many(iter(gone))

    @rule()
    def clear(self):
        self.store.clear()
        self.entries.clear()
        assert self.store.removals > self.removals
        self.removals = self.store.removals

    @rule()
    def evict_oldest(self):
        if self.entries:
            self.removals += 1
            assert self.store.evict_oldest() == self.entries.pop(0)[0]
        else:
            with pytest.raises(LookupError):
                self.store.evict_oldest()

    @invariant()
    def it_holds_what_the_list_holds(self):
        entries = dict(self.entries)
        assert {key: self.store.peek(key) for key in range(10)} == {
            key: entries.get(key, ABSENT) for key in range(10)
        }
        assert len(self.store) == len(self.entries)

    @invariant()
    def it_is_never_above_its_capacity(self):
        assert self.store.capacity == self.capacity
        if self.capacity is None:
            assert self.store.free_room() is None
        else:
            assert self.store.free_room() == self.capacity - len(self.entries) >= 0

    @invariant()
    def it_counts_whatever_left(self):
        assert self.store.removals == self.removals


AgainstAList.TestCase.settings = settings(deadline=None, max_examples=100, stateful_step_count=30)
TestAgainstAList = AgainstAList.TestCase


def test_a_full_store_evicts_the_least_recently_added_key():
    store = MemoryStore(2)
    store.set_many({"a": 1, "b": 2})
    store.set_many({"a": 10})
    store.peek("a")

    assert list(store.set_many({"c": 3})) == ["a"]
    assert list(store.set_many({"d": 4, "e": 5})) == ["b", "c"]


def test_more_items_than_fit_push_out_the_first_of_themselves():
    store = MemoryStore(2)

    assert list(store.set_many({"a": 1, "b": 2, "c": 3})) == ["a"]
    assert (store.peek("a"), store.peek("b"), store.peek("c")) == (ABSENT, 2, 3)


def test_a_store_without_a_capacity_never_evicts():
    store = MemoryStore()

    assert list(store.set_many(dict.fromkeys(range(10_000)))) == []
    assert (len(store), store.capacity, store.free_room()) == (10_000, None, None)


def test_peek_gives_the_default_for_a_missing_key_and_none_for_a_cached_none():
    store = MemoryStore()
    store.set_many({"a": None})

    assert store.peek("a", ABSENT) is None
    assert store.peek("b", ABSENT) is ABSENT


def test_keys_are_told_apart_as_in_any_dict():
    store = MemoryStore()
    store.set_many({1: "number", "1": "text", (1,): "tuple"})
    store.set_many({True: "again"})

    assert [store.peek(key) for key in (1, 1.0, True, "1", (1,))] == ["again"] * 3 + ["text", "tuple"]
    assert len(store) == 3


@pytest.mark.parametrize("capacity", [-1, True, False, 2.0, "2", [2]])
def test_a_capacity_that_is_no_whole_number_of_zero_or_more_is_refused(capacity):
    with pytest.raises(ConfigurationError) as refused:
        MemoryStore(capacity)

    assert refused.value.setting == "capacity"


def test_an_empty_store_has_nothing_to_evict():
    with pytest.raises(LookupError):
        MemoryStore(1).evict_oldest()


def read_first(eviction):
    """Return who leaves a full store of ten first when key 0 was added first and has been read since."""
    store = MemoryStore(10, eviction=eviction)
    store.set_many(dict.fromkeys(range(10)))
    for _ in range(2):
        store.read(0, ABSENT)
    return list(store.set_many({"new": None}))


@pytest.mark.parametrize(("eviction", "first"), [("fifo", 0), ("lru", 1), ("sieve", 1), ("s3-fifo", 1)])
def test_reading_a_key_saves_it_in_every_order_but_the_first_in_first_out(eviction, first):
    assert read_first(eviction) == [first]


@pytest.mark.parametrize("eviction", EVICTIONS)
def test_peeking_at_a_key_or_replacing_its_value_does_not_save_it(eviction):
    store = MemoryStore(10, eviction=eviction)
    store.set_many(dict.fromkeys(range(10)))
    for value in range(5):
        store.peek(0, ABSENT)
        store.set_many({0: value})

    assert list(store.set_many({"new": None})) == [0]


@pytest.mark.parametrize("eviction", EVICTIONS)
def test_reading_a_key_that_is_not_there_changes_nothing(eviction):
    store = MemoryStore(2, eviction=eviction)

    assert store.read("a", ABSENT) is ABSENT
    store.set_many({"a": None, "b": False})
    assert store.read("a", ABSENT) is None
    assert store.read("b", ABSENT) is False
    assert len(store) == 2


@pytest.mark.parametrize("eviction", EVICTIONS)
def test_without_eviction_what_is_there_stays_and_what_does_not_fit_is_left_out(eviction):
    store = MemoryStore(3, eviction=eviction)
    store.set_many({"a": 1, "b": 2})

    assert list(store.set_many({"c": 3, "d": 4, "a": 10}, evict=False)) == []
    assert [store.peek(key) for key in "abcd"] == [10, 2, 3, ABSENT]


@settings(deadline=None, max_examples=100)
@given(
    eviction=st.sampled_from(EVICTIONS),
    capacity=st.integers(1, 6),
    operations=st.lists(
        st.tuples(st.booleans(), st.dictionaries(keys, values)) | st.tuples(st.none(), keys), max_size=40
    ),
)
def test_in_every_order_no_more_is_held_than_fits_and_whoever_left_is_named(eviction, capacity, operations):
    store = MemoryStore(capacity, eviction=eviction)
    expected = set()
    for evict, argument in operations:
        if evict is None:
            store.read(argument, ABSENT)
            store.delete_many([argument, 10])
            expected.discard(argument)
            continue
        evicted = store.set_many(argument, evict=evict)
        assert evict or not evicted
        now = {key for key in range(10) if store.peek(key) is not ABSENT}
        assert len(now) == len(store) <= capacity
        assert now | set(evicted) >= expected
        assert now <= expected | set(argument)
        expected = now


@pytest.mark.parametrize("eviction", EVICTIONS)
def test_a_key_that_cannot_be_hashed_changes_nothing(eviction):
    store = MemoryStore(2, eviction=eviction)
    store.set_many({"a": 1, "b": 2})
    for use in (store.peek, lambda key: store.read(key, ABSENT), lambda key: store.delete_many([key])):
        with pytest.raises(TypeError):
            use([])

    assert (len(store), store.removals) == (2, 0)
    assert [store.evict_oldest(), store.evict_oldest()] == ["a", "b"]
