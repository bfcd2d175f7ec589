"""The ghost list: keys that were removed from the cache lately, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.recent_keys import RecentKeys
from async_backfill.contracts import K
from async_backfill.outcomes import MissCause

if TYPE_CHECKING:
    from collections.abc import Iterable

CURABLE: Final = frozenset({MissCause.COLD, MissCause.EXPIRED})
"""Causes of misses that a backfill can prevent.

A key that was evicted would be evicted again, and one that was invalidated has just changed: decision 27 in
notes.md.
"""

_CAUSES: Final = tuple(MissCause)


class Departures(Generic[K]):
    """A ghost list: the ``size`` keys that were removed last, their hashes alone, each with the cause.

    A key that is not in the list counts as cold: never cached.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._recent = RecentKeys()

    def __len__(self) -> int:
        return len(self._recent)

    def note(self, keys: Iterable[K], cause: MissCause) -> None:
        """Record that ``keys`` were removed because of ``cause``."""
        recent, mark = self._recent, _CAUSES.index(cause)
        for key in keys:
            recent.discard(key)
            recent.add(key, self._size, mark)

    def forget(self) -> None:
        """Forget all keys: after a flush every key is cold."""
        self._recent.clear()

    def cause(self, key: K) -> MissCause:
        """Return why ``key`` is not cached."""
        mark = self._recent.mark(key)
        return MissCause.COLD if mark is None else _CAUSES[mark]
