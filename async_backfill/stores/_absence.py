"""Keys that the source does not have, remembered for a while and up to a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K
from async_backfill.outcomes import ABSENT
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_backfill.contracts import Clock


class AbsentKeys(Generic[K]):
    """Remembers absent keys for ``ttl`` seconds, ``capacity`` of them; the oldest are forgotten first.

    They have a store of their own, so that a client who makes keys up pushes out no value.
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
        # A key that is remembered anew must also become the youngest.
        self._until.delete_many(known)
        self._until.set_many(dict.fromkeys(known, self._clock() + self._ttl))

    def discard(self, keys: Iterable[K]) -> None:
        """Forget ``keys``: they may exist now."""
        self._until.delete_many(keys)

    def clear(self) -> None:
        """Forget all keys."""
        self._until.clear()
