"""A store in this process's memory, bounded by the number of entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._common.validation import whole_or_none
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent
from async_backfill.stores._eviction.orders import Eviction, Order, make_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from async_backfill.contracts import ResumableOrder

__all__ = ["MemoryStore"]


class MemoryStore(Generic[K, V]):
    """A dict with a capacity; when it is full, it evicts the key that is next in its eviction order.

    Keys are compared as in any ``dict``, by ``==`` and ``hash``: ``1``, ``1.0`` and ``True`` are one
    key, ``"1"`` is another.

    :param capacity: the largest number of entries, ``None`` for no limit; 0 keeps nothing.
    :param eviction: the name of the eviction order; first in, first out by default.
    :raises ConfigurationError: for any other capacity or eviction.
    """

    __slots__ = ("_capacity", "_entries", "_eviction", "_order", "_read", "_removals")

    def __init__(self, capacity: int | None = None, *, eviction: Eviction = "fifo") -> None:
        self._capacity = whole_or_none("capacity", capacity, least=0)
        self._eviction: Eviction = eviction
        self._order: Order[K] = make_order(eviction, self._capacity)
        entries = self._order.entries
        self._entries: dict[K, V] = {} if entries is None else entries
        self._removals = 0
        # Chosen once, not at each hit: where hits do not matter, a hit is one dict lookup (decision 30).
        touch = self._order.touch
        self._read: Callable[[K, Absent], V | Absent] = (
            self._entries.get if touch is None else _touching(self._entries.get, touch)
        )

    @property
    def read(self) -> Callable[[K, Absent], V | Absent]:
        """The function that a hit calls: returns the value of a key, else the default; counts as a use."""
        return self._read

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> Mapping[K, V]:
        """The entries, always the same live mapping."""
        return self._entries

    @property
    def touch(self) -> Callable[[K], object] | None:
        """The function that records a hit of a key; ``None`` when hits do not matter."""
        return self._order.touch

    @property
    def hit_counts(self) -> dict[K, int] | None:
        """The dict in which a hit may count itself, up to 3, instead of calling ``touch``; else ``None``."""
        return self._order.hit_counts

    @property
    def capacity(self) -> int | None:
        """The largest number of entries; ``None`` without a limit."""
        return self._capacity

    @property
    def removals(self) -> int:
        """How many times entries were removed, for any reason."""
        return self._removals

    def peek(self, key: K, default: Absent = ABSENT, /) -> V | Absent:
        """Return the value of ``key``, else ``default``; does not count as a use."""
        return self._entries.get(key, default)

    def set_many(self, items: Mapping[K, V], /, *, evict: bool = True) -> Sequence[K]:
        """Add or replace ``items`` in their order; return the keys evicted to make room, oldest first.

        With ``evict=False`` none is evicted: a new key for which there is no room is left out.
        """
        entries, order, capacity = self._entries, self._order, self._capacity
        evicted: list[K] = []
        for key, value in items.items():
            if key not in entries:
                if capacity is not None and len(entries) >= capacity:
                    if not evict or not capacity:
                        continue
                    evicted.append(self.evict_oldest(again=True) if evicted else self.evict_oldest())
                order.add(key)
            entries[key] = value
        return evicted

    def set_one(self, key: K, value: V) -> K | Absent:
        """Do what `set_many` does, for one key; return the key evicted for it, or `ABSENT`."""
        entries, order, capacity = self._entries, self._order, self._capacity
        evicted: K | Absent = ABSENT
        if key not in entries:
            if capacity is not None and len(entries) >= capacity:
                if not capacity:
                    return ABSENT
                evicted = order.evict()
                entries.pop(evicted, None)
                self._removals += 1
            order.add(key)
        entries[key] = value
        return evicted

    def admit(self, key: K, value: V) -> None:
        """Add ``key``, a new one for which there is room, as a key that has already been read."""
        self._order.add(key, proven=True)
        self._entries[key] = value

    @property
    def eviction(self) -> Eviction:
        """The name of the eviction order."""
        return self._eviction

    @property
    def order(self) -> ResumableOrder[K]:
        """The eviction order, as far as it can be taken up again."""
        return self._order

    def resume(self, items: Mapping[K, V], places: Mapping[K, tuple[int, int]]) -> Sequence[K]:
        """Add ``items``, new keys, as far as there is room; return the keys that were added.

        :param places: the queue of the eviction order behind whose keys each key belongs, and its hits.
        """
        added: list[K] = []
        for key, value in items.items():
            if self._capacity is not None and len(self._entries) >= self._capacity:
                break
            self._order.resume(key, *places[key])
            self._entries[key] = value
            added.append(key)
        return added

    def delete_many(self, keys: Iterable[K], /) -> None:
        """Remove ``keys``; keys that the store does not hold are ignored."""
        for key in keys:
            if key in self._entries:
                del self._entries[key]
                self._order.discard(key)
                self._removals += 1
        if not self._entries:  # a dict gives its memory back only when it is cleared
            self._entries.clear()

    def clear(self) -> None:
        """Remove everything."""
        self._entries.clear()
        self._order.clear()
        self._removals += 1

    def free_room(self) -> int | None:
        """Return how many keys can be added before one is evicted; ``None`` without a limit."""
        return None if self._capacity is None else self._capacity - len(self._entries)

    def evict_oldest(self, *, again: bool = False) -> K:
        """Remove and return the key that is next in the eviction order; `LookupError` when empty.

        :param again: whether others were evicted in the same step, so that this one must do little work.
        """
        key = self._order.evict(again=True) if again else self._order.evict()
        self._entries.pop(key, None)
        self._removals += 1
        return key


def _touching(
    get: Callable[[K, Absent], V | Absent], touch: Callable[[K], object]
) -> Callable[[K, Absent], V | Absent]:
    def read(key: K, default: Absent) -> V | Absent:
        value = get(key, default)
        if value is not default:
            touch(key)
        return value

    return read
