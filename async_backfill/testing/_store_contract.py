"""Contract tests for a store in memory, the near tier (L1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill.contracts import BoundedStore, K
from async_backfill.outcomes import ABSENT
from async_backfill.testing._claims import holds, same
from async_backfill.testing._store_course import StoreCourse

if TYPE_CHECKING:
    from collections.abc import Sequence

_CAPACITIES: Final = (1, 2, 3, 7)
_STEPS: Final = 400


class StoreContract(Generic[K]):
    """Tests of the promises of `BoundedStore`; inherit from it, and give ``make_store`` and ``keys``.

    Nothing here imports pytest, and no test is async, so no plugin is needed::

        class TestMyStore(StoreContract[str]):
            keys = [f"key {number}" for number in range(20)]

            def make_store(self, capacity):
                return MyStore(capacity)

    A store with a random order must draw the same numbers in each store that is made.
    """

    keys: Sequence[K]
    """Distinct keys, twelve or more."""

    may_be_limitless: bool = True
    """Whether a store can have no limit."""

    def make_store(self, capacity: int | None, /) -> BoundedStore[K, Any]:
        """Return an empty store for ``capacity`` entries; ``None`` is without a limit."""
        raise NotImplementedError

    def test_a_new_store_is_empty(self) -> None:
        for capacity in self._capacities():
            store = self.make_store(capacity)
            same(len(store), 0, "a new store has no entries")
            same(self._held(store), {}, "a new store holds no key")
            same(store.capacity, capacity, "a store knows its capacity")
            same(store.free_room(), capacity, "all of its room is free")

    def test_what_was_set_is_found_and_none_is_a_value(self) -> None:
        store = self.make_store(2)
        items = {self.keys[0]: "value", self.keys[1]: None}
        same(list(store.set_many(items)), [], "a store with room evicts no key")
        same(self._held(store), items, "the set values are found")
        same(len(store), 2, "a store counts its entries")

    def test_peek_and_read_return_the_default_for_a_key_that_is_not_there(self) -> None:
        store = self.make_store(2)
        store.set_many({self.keys[0]: 1})
        for look in (store.peek, store.read):
            holds("a key that is not there has the default", kept=look(self.keys[1], ABSENT) is ABSENT)

    def test_read_and_peek_that_were_taken_once_serve_for_ever(self) -> None:
        store = self.make_store(2)
        key = self.keys[0]
        for look in (store.read, store.peek):
            store.set_many({key: 1})
            same(look(key, ABSENT), 1, "it finds values set later")
            store.clear()
            same(look(key, ABSENT), ABSENT, "it finds nothing after clear")
            store.set_many({key: 2})
            same(look(key, ABSENT), 2, "it finds values set after clear")
            store.delete_many((key,))
            same(look(key, ABSENT), ABSENT, "it finds nothing that was deleted")

    def test_a_new_value_replaces_the_old_one_and_needs_no_room(self) -> None:
        store = self.make_store(3)
        store.set_many(dict.fromkeys(self.keys[:3], "old"))
        new = dict.fromkeys(self.keys[:3], "new")
        same(list(store.set_many(new)), [], "a new value for a stored key evicts no key")
        same(self._held(store), new, "the newest values are found")

    def test_setting_nothing_changes_nothing(self) -> None:
        store = self._full(2)
        before = self._held(store)
        for evict in (True, False):
            same(list(store.set_many({}, evict=evict)), [], "setting nothing evicts no key")
        same(self._held(store), before, "setting nothing changes nothing")

    def test_each_key_that_leaves_a_full_store_is_returned(self) -> None:
        for capacity in _CAPACITIES:
            store = self._full(capacity)
            for key in self.keys[capacity:]:
                before = self._held(store)
                evicted = list(store.set_many({key: "new"}))
                same(len(evicted), 1, "one new key evicts one key")
                expected = {**before, key: "new"}
                del expected[evicted[0]]
                same(self._held(store), expected, "the returned key has left, and no other")

    def test_more_items_than_there_is_room_for_leave_a_full_store(self) -> None:
        for capacity in _CAPACITIES:
            store = self.make_store(capacity)
            evicted = set(store.set_many(dict.fromkeys(self.keys, 1)))
            same(len(store), capacity, "the store is full")
            same(set(self.keys) - set(self._held(store)), evicted, "each key that left was returned")

    def test_without_evict_nobody_leaves_and_who_finds_no_room_is_left_out(self) -> None:
        for capacity in _CAPACITIES:
            store = self.make_store(capacity)
            first, items = self.keys[0], dict.fromkeys(self.keys, "new")
            store.set_many({first: "old"})
            same(list(store.set_many(items, evict=False)), [], "no key is evicted")
            same(self._held(store), dict.fromkeys(self.keys[:capacity], "new"), "the first keys get the room")

    def test_without_evict_a_key_that_is_there_has_its_new_value(self) -> None:
        store = self._full(3)
        same(
            list(store.set_many({self.keys[5]: 1, self.keys[1]: "new"}, evict=False)), [], "no key is evicted"
        )
        same(store.peek(self.keys[1], ABSENT), "new", "a stored key has its new value")
        same(store.peek(self.keys[5], ABSENT), ABSENT, "a new key is left out")

    def test_as_many_keys_as_there_is_free_room_evict_nobody(self) -> None:
        for capacity in _CAPACITIES:
            for held in range(capacity + 1):
                store = self.make_store(capacity)
                store.set_many(dict.fromkeys(self.keys[:held], 1))
                same(store.free_room(), capacity - held, "the rest of the room is free")
                store.delete_many(self.keys[:1])
                rest = dict.fromkeys(self.keys[1 : capacity + 1], 1)
                same(list(store.set_many(rest)), [], "keys that find free room evict no key")
                same(store.free_room(), 0, "no room is left")

    def test_a_store_with_room_for_everything_keeps_everything(self) -> None:
        items = {key: number for number, key in enumerate(self.keys)}
        for capacity in [len(items), None] if self.may_be_limitless else [len(items)]:
            store = self.make_store(capacity)
            same(list(store.set_many(items)), [], "no key is evicted")
            same(self._held(store), items, "everything is kept")
            same(store.free_room(), None if capacity is None else 0, "the room that is left")

    def test_peek_changes_nothing(self) -> None:
        peeked, left_alone = self._full(7), self._full(7)
        for _ in range(5):
            for key in (self.keys[0], self.keys[3], self.keys[11]):
                peeked.peek(key, ABSENT)
        for key in self.keys[7:10]:
            same(
                list(peeked.set_many({key: 1})),
                list(left_alone.set_many({key: 1})),
                "the next evicted key is the same with and without a peek",
            )
        same(self._drained(peeked), self._drained(left_alone), "peek does not change the order of eviction")

    def test_read_changes_nothing_that_is_held(self) -> None:
        store = self._full(3)
        before = self._held(store)
        for key in self.keys:
            store.read(key, ABSENT)
        same(self._held(store), before, "reading keeps everything")
        same(len(store), 3, "reading keeps the number of entries")

    def test_deleted_keys_are_gone_and_others_stay(self) -> None:
        store = self._full(7)
        expected = self._held(store)
        gone = (self.keys[2], self.keys[5])
        store.delete_many(key for key in (*gone, self.keys[11]))
        for key in gone:
            del expected[key]
        same(self._held(store), expected, "deleted keys are gone, and no others")
        same(store.free_room(), 2, "their room is free")

    def test_a_deleted_key_can_come_back_and_leaves_once(self) -> None:
        store = self._full(3)
        key = self.keys[1]
        store.delete_many((key,))
        store.set_many({key: "again"})
        same(store.peek(key, ABSENT), "again", "a deleted key is found once it was set again")
        same(sorted(map(repr, self._drained(store))), sorted(map(repr, self.keys[:3])), "each leaves once")

    def test_a_cleared_store_is_like_a_new_one(self) -> None:
        store = self._full(3)
        store.clear()
        same((len(store), store.free_room()), (0, 3), "all of its room is free")
        same(self._held(store), {}, "nothing is found")
        store.clear()
        fresh = self.make_store(3)
        for key in self.keys:
            evicted = [list(one.set_many({key: 1})) for one in (store, fresh)]
            same(evicted[0], evicted[1], "after clear the same keys are evicted as in a new store")

    def test_evict_oldest_removes_one_key_at_a_time_until_the_store_is_empty(self) -> None:
        store = self._full(7)
        left = self._held(store)
        while left:
            del left[store.evict_oldest()]
            same(self._held(store), left, "the returned key has left, and no other")
        try:
            key = store.evict_oldest()
        except LookupError:
            return
        raise AssertionError(f"an empty store evicted {key!r}, expected a LookupError")

    def test_removals_grow_with_all_that_leaves_and_with_nothing_else(self) -> None:
        store = self.make_store(2)
        counts = [store.removals]
        store.set_many({self.keys[0]: 1, self.keys[1]: 2})
        store.set_many({self.keys[0]: 3})
        store.read(self.keys[0], ABSENT)
        store.peek(self.keys[1], ABSENT)
        store.set_many({self.keys[5]: 1}, evict=False)
        store.delete_many((self.keys[5],))
        same(store.removals, counts[0], "nothing has left")
        for leave in (
            lambda: store.set_many({self.keys[2]: 1}),
            store.evict_oldest,
            lambda: store.delete_many([key for key in self.keys if store.peek(key, ABSENT) is not ABSENT]),
        ):
            leave()
            counts.append(store.removals)
        store.set_many({self.keys[0]: 1})
        store.clear()
        counts.append(store.removals)
        same(counts, sorted(set(counts)), "the number grows each time something leaves")

    def test_no_order_of_calls_breaks_the_capacity_or_loses_a_value(self) -> None:
        for capacity in self._capacities():
            StoreCourse(self.make_store(capacity), self.keys).run(_STEPS)

    def _capacities(self) -> Sequence[int | None]:
        return (*_CAPACITIES, None) if self.may_be_limitless else _CAPACITIES

    def _full(self, capacity: int) -> BoundedStore[K, Any]:
        store = self.make_store(capacity)
        store.set_many({key: number for number, key in enumerate(self.keys[:capacity])})
        return store

    def _held(self, store: BoundedStore[K, Any]) -> dict[K, Any]:
        found = {key: store.peek(key, ABSENT) for key in self.keys}
        return {key: value for key, value in found.items() if value is not ABSENT}

    def _drained(self, store: BoundedStore[K, Any]) -> Sequence[K]:
        return [store.evict_oldest() for _ in range(len(store))]
