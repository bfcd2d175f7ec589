"""Probation: a segment beside the store for backfilled keys that have not been read yet."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic

from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from async_backfill.stores.memory import MemoryStore

SHARE: Final = 0.1
_OFTEN: Final = 4
_SELDOM: Final = 16


class ProbationStore(Generic[K, V]):
    """Adds a segment for unread backfilled keys to ``store``; together they hold at most its capacity.

    `read` does not find an unread key: its first read goes the way of a miss, which calls `promote` to
    move the key into ``store``. So a hit is as quick as without probation: decision 25 in notes.md.

    Eviction: while more than a tenth of the capacity is unread (the share of S3-FIFO's small queue, Yang
    et al., SOSP 2023, section 4), unread keys are evicted first; once half of the capacity holds keys
    that were read, only every fourth time. Unread keys within that tenth are evicted every sixteenth
    time, or keys that are never read would stay for good.

    :param store: the store of the keys that have been read; it must evict by the number of keys only.
    :param resolved: called with a key that is no longer unread, and whether it was read.
    """

    def __init__(self, store: MemoryStore[K, V], *, resolved: Callable[[K, bool], None]) -> None:
        self._store = store
        self._resolved = resolved
        self._unread: OrderedDict[K, V] = OrderedDict()
        self._removals = 0
        self._turn = 0
        capacity = store.capacity
        self._share = None if capacity is None else int(capacity * SHARE)
        self.read: Callable[[K, Absent], V | Absent] = store.read

    def __len__(self) -> int:
        return len(self._store) + len(self._unread)

    @property
    def capacity(self) -> int | None:
        """The largest number of entries, read or unread; ``None`` without a limit."""
        return self._store.capacity

    @property
    def removals(self) -> int:
        """How many times entries were removed, for any reason."""
        return self._removals + self._store.removals

    def peek(self, key: K, default: Absent = ABSENT, /) -> V | Absent:
        """Return the value of ``key``, read or unread, else ``default``; does not count as a read."""
        value = self._unread.get(key, ABSENT)
        return self._store.peek(key, default) if value is ABSENT else value

    @property
    def unread(self) -> Collection[K]:
        """The keys that are on probation."""
        return self._unread.keys()

    def is_unread(self, key: K) -> bool:
        """Return whether ``key`` is on probation."""
        return key in self._unread

    def promote(self, key: K) -> V | Absent:
        """Return the value of ``key`` if it is unread, and move it to the keys that have been read."""
        value: V | Absent = self._unread.pop(key, ABSENT)
        if value is not ABSENT:
            # As proven, or a scan would push out what history brought back: decision 25 in notes.md.
            self._store.admit(key, value)
            self._resolved(key, True)
        return value

    def set_many(self, items: Mapping[K, V], /, *, evict: bool = True) -> Sequence[K]:
        """Add or replace ``items`` as keys that have been read; return the keys evicted for them."""
        evicted: list[K] = []
        for key, value in items.items():
            if key in self._unread:
                del self._unread[key]
                self._resolved(key, False)
            if self._store.peek(key, ABSENT) is ABSENT and self._is_full():
                if not evict:
                    continue
                evicted.append(self.evict_oldest(again=bool(evicted)))
            self._store.set_many({key: value})
        return evicted

    def set_unread(self, items: Mapping[K, V], /, *, evict: bool, first_out: bool = False) -> Sequence[K]:
        """Add ``items`` as unread; return the keys evicted for them.

        A key that has already been read only gets its new value. With ``evict=False`` a new key for
        which there is no room is left out.

        :param first_out: whether a later key is evicted before an earlier one, because it is less hot.
        """
        evicted: list[K] = []
        for key, value in items.items():
            if self._store.peek(key, ABSENT) is not ABSENT:
                self._store.set_many({key: value})
                self._resolved(key, False)
                continue
            if key not in self._unread and self._is_full():
                if not evict:
                    self._resolved(key, False)
                    continue
                evicted.append(self._evict_for_unread(again=bool(evicted)))
            self._unread[key] = value
            # Items come hottest first, and the coldest must be evicted first: decision 24 in notes.md.
            if first_out:
                self._unread.move_to_end(key, last=False)
        return evicted

    def delete_many(self, keys: Iterable[K], /) -> None:
        """Remove ``keys``; keys that the store does not hold are ignored."""
        for key in keys:
            if key in self._unread:
                self._drop(key)
            else:
                self._store.delete_many((key,))

    def clear(self) -> None:
        """Remove everything."""
        for key in tuple(self._unread):
            self._drop(key)
        self._store.clear()

    def free_room(self) -> int | None:
        """Return how many keys can be added before one is evicted; ``None`` without a limit."""
        capacity = self._store.capacity
        return None if capacity is None else capacity - len(self)

    def evict_oldest(self, *, again: bool = False) -> K:
        """Remove and return the key that is evicted next; see `MemoryStore.evict_oldest`."""
        if self._unread and (self._is_unreads_turn() or not len(self._store)):
            return self._evict_unread()
        return self._store.evict_oldest(again=again)

    def _is_unreads_turn(self) -> bool:
        """Return whether an unread key is evicted next; see the class for the order."""
        within_share = len(self._unread) <= (self._share or 0)
        if not within_share and 2 * len(self._store) <= (self._store.capacity or 0):
            return True
        self._turn += 1
        return self._turn % (_SELDOM if within_share else _OFTEN) == 0

    def _is_full(self) -> bool:
        capacity = self._store.capacity
        return capacity is not None and len(self) >= capacity

    def _evict_for_unread(self, *, again: bool) -> K:
        """Make room for an unread key; evict a read key only while less than the tenth is unread."""
        if self._unread and (len(self._unread) >= (self._share or 0) or not len(self._store)):
            return self._evict_unread()
        return self._store.evict_oldest(again=again)

    def _evict_unread(self) -> K:
        key = next(iter(self._unread))
        self._drop(key)
        return key

    def _drop(self, key: K) -> None:
        del self._unread[key]
        self._removals += 1
        self._resolved(key, False)
