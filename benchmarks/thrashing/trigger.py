"""The threshold that the library refuses: 0, at which every miss starts a backfill."""

from __future__ import annotations


class EveryMiss:
    """Fires on every miss, whatever the miss rate is."""

    def __init__(self) -> None:
        self._misses = 0
        self._lookups = 0

    def observe_miss(self, lookup: int, /) -> bool:
        """Note the miss of lookup number ``lookup``; the answer is always to backfill."""
        self._misses += 1
        self._lookups = lookup
        return True

    def reading(self) -> tuple[int, int]:
        """Return the misses and the lookups seen so far."""
        return self._misses, self._lookups
