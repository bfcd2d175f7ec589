"""Negative cache: a bounded set of keys that the source does not have, with a ttl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K
from async_backfill.outcomes import ABSENT
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_backfill.contracts import Clock


class AbsentKeys(Generic[K]):
    """Remembers at most ``capacity`` absent keys for ``ttl`` seconds; the oldest are forgotten first.

    They are kept apart from the values, so that a client that invents keys cannot evict values.
    """

    def __init__(self, *, ttl: float, capacity: int, clock: Clock) -> None:
        self._ttl = ttl
        self._clock = clock
        self._until: MemoryStore[K, float] = MemoryStore(capacity)

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, key: K) -> bool:
        until = self._until.peek(key)
        return until is not ABSENT and self._clock() < until

    def add(self, keys: Iterable[K]) -> None:
        """Remember that ``keys`` do not exist, from now on."""
        known = tuple(keys)
        # A key that is added again must become the youngest again.
        self._until.delete_many(known)
        self._until.set_many(dict.fromkeys(known, self._clock() + self._ttl))

    def discard(self, keys: Iterable[K]) -> None:
        """Forget ``keys``: they may exist now."""
        self._until.delete_many(keys)

    def clear(self) -> None:
        """Forget all keys."""
        self._until.clear()
