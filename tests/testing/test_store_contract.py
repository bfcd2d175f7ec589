"""The suite for stores in memory: each way to break the contract fails a test of it."""

from __future__ import annotations

import pytest

from async_backfill import MemoryStore
from async_backfill.outcomes import ABSENT
from async_backfill.testing import StoreContract
from tests.testing.suites import failed_tests, names_of


class Store:
    """A store that does as it should: an LRU in a dict."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.entries = {}
        self.removals = 0

    def __len__(self):
        return len(self.entries)

    def read(self, key, default):
        if key in self.entries:
            self.entries[key] = self.entries.pop(key)
        return self.entries.get(key, default)

    def peek(self, key, default):
        return self.entries.get(key, default)

    def free_room(self):
        return None if self.capacity is None else self.capacity - len(self)

    def is_full(self):
        return self.capacity is not None and len(self) >= self.capacity

    def set_many(self, items, *, evict=True):
        evicted = []
        for key, value in items.items():
            if key not in self.entries and self.is_full():
                if not evict:
                    continue
                evicted.append(self.evict_oldest())
            self.entries[key] = value
        return evicted

    def delete_many(self, keys):
        for key in keys:
            if self.entries.pop(key, ABSENT) is not ABSENT:
                self.removals += 1

    def clear(self):
        self.entries.clear()
        self.removals += 1

    def evict_oldest(self):
        if not self.entries:
            raise LookupError
        key = next(iter(self.entries))
        del self.entries[key]
        self.removals += 1
        return key


class HoldsOneTooMany(Store):
    def is_full(self):
        return self.capacity is not None and len(self) > self.capacity


class EvictsInSilence(Store):
    def set_many(self, items, *, evict=True):
        super().set_many(items, evict=evict)
        return []


class AlwaysEvicts(Store):
    def set_many(self, items, *, evict=True):
        return super().set_many(items)


class AddsNothingWithoutEvict(Store):
    def set_many(self, items, *, evict=True):
        return super().set_many(items) if evict else []


class RefusesAllIfOneFindsNoRoom(Store):
    def set_many(self, items, *, evict=True):
        new = [key for key in items if key not in self.entries]
        if not evict and self.capacity is not None and len(new) > self.free_room():
            return []
        return super().set_many(items, evict=evict)


class EvictsForANewValue(Store):
    def set_many(self, items, *, evict=True):
        evicted = [self.evict_oldest()] if evict and items and self.is_full() else []
        return evicted + list(super().set_many(items, evict=evict))


class KeepsTheOldValue(Store):
    def set_many(self, items, *, evict=True):
        return super().set_many({**items, **{key: self.entries[key] for key in items if key in self.entries}})


class PeekIsARead(Store):
    def peek(self, key, default):
        return self.read(key, default)


class TakesNoneForAbsent(Store):
    def peek(self, key, default):
        value = super().peek(key, default)
        return default if value is None else value


class ClearMakesANewDict(Store):
    """What was taken of the store before goes on finding what is no longer there."""

    def __init__(self, capacity):
        super().__init__(capacity)
        self.read = self.entries.get

    def clear(self):
        self.entries = {}
        self.removals += 1


class DeletesOnlyFromLists(Store):
    def delete_many(self, keys):
        len(keys)
        super().delete_many(keys)


class CannotDeleteWhatIsNotThere(Store):
    def delete_many(self, keys):
        for key in keys:
            del self.entries[key]
            self.removals += 1


class ReadTakesAway(Store):
    def read(self, key, default):
        return self.entries.pop(key, default)


class CountsNoRemovals(Store):
    @property
    def removals(self):
        return 0

    @removals.setter
    def removals(self, count):
        pass


class CountsSettingAsARemoval(Store):
    def set_many(self, items, *, evict=True):
        self.removals += 1
        return super().set_many(items, evict=evict)


class EvictsNoneWhenEmpty(Store):
    def evict_oldest(self):
        return super().evict_oldest() if self.entries else None


class EvictsWithoutRemoving(Store):
    def evict_oldest(self):
        return next(iter(self.entries))


class HasFreeRoomForEver(Store):
    def free_room(self):
        return self.capacity


class RemembersTheOrderAfterClear(Store):
    """After clear another key leaves than in a new store."""

    turns = 0

    def clear(self):
        super().clear()
        self.turns = 1

    def evict_oldest(self):
        if self.turns and len(self) > 1:
            self.entries[next(iter(self.entries))] = self.entries.pop(next(iter(self.entries)))
        return super().evict_oldest()


class ForgetsOneInAHundred(Store):
    sets = 0

    def set_many(self, items, *, evict=True):
        self.sets += 1
        evicted = super().set_many(items, evict=evict)
        if self.sets == 100 and self.entries:
            self.entries.popitem()
        return evicted


def suite(store):
    class Suite(StoreContract):
        keys = tuple(range(14))

        def make_store(self, capacity):
            return store(capacity)

    return Suite()


@pytest.mark.parametrize("store", [Store, MemoryStore])
def test_a_store_that_keeps_its_promises_passes(store):
    assert failed_tests(suite(store)) == set()


@pytest.mark.parametrize(
    ("store", "test"),
    [
        (HoldsOneTooMany, "test_more_items_than_there_is_room_for_leave_a_full_store"),
        (HoldsOneTooMany, "test_no_order_of_calls_breaks_the_capacity_or_loses_a_value"),
        (EvictsInSilence, "test_each_key_that_leaves_a_full_store_is_returned"),
        (EvictsInSilence, "test_more_items_than_there_is_room_for_leave_a_full_store"),
        (AlwaysEvicts, "test_without_evict_nobody_leaves_and_who_finds_no_room_is_left_out"),
        (AddsNothingWithoutEvict, "test_without_evict_a_key_that_is_there_has_its_new_value"),
        (RefusesAllIfOneFindsNoRoom, "test_without_evict_nobody_leaves_and_who_finds_no_room_is_left_out"),
        (EvictsForANewValue, "test_a_new_value_replaces_the_old_one_and_needs_no_room"),
        (KeepsTheOldValue, "test_a_new_value_replaces_the_old_one_and_needs_no_room"),
        (PeekIsARead, "test_peek_changes_nothing"),
        (TakesNoneForAbsent, "test_what_was_set_is_found_and_none_is_a_value"),
        (ClearMakesANewDict, "test_read_and_peek_that_were_taken_once_serve_for_ever"),
        (DeletesOnlyFromLists, "test_deleted_keys_are_gone_and_others_stay"),
        (CannotDeleteWhatIsNotThere, "test_deleted_keys_are_gone_and_others_stay"),
        (ReadTakesAway, "test_read_changes_nothing_that_is_held"),
        (CountsNoRemovals, "test_removals_grow_with_all_that_leaves_and_with_nothing_else"),
        (CountsSettingAsARemoval, "test_removals_grow_with_all_that_leaves_and_with_nothing_else"),
        (EvictsNoneWhenEmpty, "test_evict_oldest_removes_one_key_at_a_time_until_the_store_is_empty"),
        (EvictsWithoutRemoving, "test_evict_oldest_removes_one_key_at_a_time_until_the_store_is_empty"),
        (EvictsWithoutRemoving, "test_a_deleted_key_can_come_back_and_leaves_once"),
        (HasFreeRoomForEver, "test_as_many_keys_as_there_is_free_room_evict_nobody"),
        (HasFreeRoomForEver, "test_a_store_with_room_for_everything_keeps_everything"),
        (RemembersTheOrderAfterClear, "test_a_cleared_store_is_like_a_new_one"),
        (ForgetsOneInAHundred, "test_no_order_of_calls_breaks_the_capacity_or_loses_a_value"),
    ],
)
def test_a_store_that_breaks_a_promise_fails_the_test_of_it(store, test):
    assert test in failed_tests(suite(store))


def test_each_test_of_the_suite_fails_for_a_store_that_does_nothing():
    class Nothing(Store):
        def __init__(self, capacity):
            super().__init__(capacity)
            self.capacity = 5

        def peek(self, key, default):
            return None

        def set_many(self, items, *, evict=True):
            return None

        def read(self, key, default):
            raise NotImplementedError

        def delete_many(self, keys):
            raise NotImplementedError

    assert failed_tests(suite(Nothing)) == names_of(StoreContract)
