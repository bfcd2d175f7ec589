"""What a snapshot needs of the near tier: its entries in eviction order, with their times."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT
from async_backfill.stores._snapshot.format import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from async_backfill.contracts import BoundedStore, Clock
    from async_backfill.policies import FreshnessPolicy
    from async_backfill.stores._fresh import FreshStore
    from async_backfill.stores.memory import MemoryStore

T = TypeVar("T")

_A_STEP: Final = 64


def steps(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield ``items`` by sixty-fours: what is done with these takes about a millisecond."""
    remaining = iter(items)
    while step := list(islice(remaining, _A_STEP)):
        yield step


class Holdings(Generic[K, V]):
    """The entries of ``store``, read and added a few at a time.

    :param tier: ``store`` with all that is around it, such as keys on probation, which take room too.
    :param fresh: their times; ``None`` when nothing expires.
    :param policy: how long a value is fresh at the most, and for how long it may be served after that.
    :param wall_clock: seconds since the epoch.
    :param came: is told which keys a snapshot has brought.
    """

    def __init__(
        self,
        store: MemoryStore[K, V],
        tier: BoundedStore[K, V],
        fresh: FreshStore[K, V] | None,
        policy: FreshnessPolicy,
        *,
        wall_clock: Clock,
        came: Callable[[Sequence[K]], object] | None = None,
    ) -> None:
        self.store = store
        self.came = came
        self._tier = tier
        self._fresh = fresh
        self._ttl = math.inf if policy.ttl is None else policy.ttl
        self._stale_for = policy.stale_for
        self._now = wall_clock

    def keys(self) -> Iterator[tuple[int, K]]:
        """Yield the keys with their queue, what is evicted last first, as they are now."""
        queues = self.store.order.queues()  # all at once, what follows a few at a time
        return ((number, key) for number, queue in enumerate(queues) for key in queue)

    @property
    def order(self) -> str:
        """The name of the eviction order."""
        return self.store.eviction

    def evicted(self, keys: Iterable[K]) -> Iterator[K]:
        """Yield those of ``keys`` that the eviction order remembers to have evicted, once each."""
        told: set[K] = set()
        for key in keys:
            if key not in told and self.store.order.remembers(key):
                told.add(key)
                yield key

    def entries(self, keys: Sequence[tuple[int, K]]) -> list[Entry[K, V]]:
        """Return those of ``keys`` that still have a value that may be served."""
        entries: list[Entry[K, V]] = []
        for queue, key in keys:
            value = self.store.peek(key, ABSENT)
            left = math.inf if self._fresh is None else self._fresh.expires_in(key)
            if value is not ABSENT and left + self._stale_for > 0.0:
                until = None if left == math.inf else self._now() + left
                entries.append(Entry(key, value, until, queue, self.store.order.hits(key)))
        return entries

    def left(self, entry: Entry[K, V], taken_at: float) -> float:
        """Return for how many seconds ``entry`` of a snapshot of that time is fresh; `math.inf` for ever."""
        passed = max(0.0, self._now() - taken_at)  # a clock that was set back makes nothing younger
        until = math.inf if entry.until is None else entry.until - taken_at
        return min(until, self._ttl) - passed

    def may_serve(self, left: float) -> bool:
        """Return whether a value that is fresh for ``left`` seconds may be served."""
        return left > 0.0 or (self._fresh is not None and left + self._stale_for > 0.0)

    def add(self, entries: Sequence[Entry[K, V]], left: Mapping[K, float]) -> list[K]:
        """Add ``entries`` behind what is there, as far as there is room; return the keys that were added.

        :param left: the seconds for which some of them are fresh.
        """
        items = {entry.key: entry.value for entry in entries[: self._tier.free_room()]}
        places = {entry.key: (entry.queue, entry.hits) for entry in entries}
        added: list[K] = []

        def put(items: Mapping[K, V]) -> Sequence[K]:
            added.extend(self.store.resume(items, places))
            return ()

        if self._fresh is None:
            put(items)
        else:
            self._fresh.set_many(items, lifetimes=left, put=put)
        return added

    def add_youngest(self, entries: Sequence[Entry[K, V]], left: Mapping[K, float]) -> list[K]:
        """Add ``entries`` before what is there, as far as there is room; return the keys that were added."""
        items = {entry.key: entry.value for entry in entries}
        if self._fresh is None:
            self._tier.set_many(items, evict=False)
        else:
            self._fresh.set_many(items, evict=False, lifetimes=left)
        return [key for key in items if self.store.peek(key, ABSENT) is not ABSENT]

    def remove(self, keys: Sequence[K]) -> None:
        """Remove ``keys``."""
        self._tier.delete_many(keys)

    def touch(self, keys: Sequence[K]) -> None:
        """Let those of ``keys`` that are cached count as used, in this order."""
        touch = self.store.touch
        for key in keys:
            if touch is not None and self.store.peek(key, ABSENT) is not ABSENT:
                touch(key)
