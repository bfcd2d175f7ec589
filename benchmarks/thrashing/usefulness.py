"""The share of backfilled keys that were read before they left, and the keys that backfills evicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill.events import KeysEvicted, LoadFinished
from async_backfill.outcomes import LoadCause

if TYPE_CHECKING:
    from collections.abc import Hashable

    from async_backfill.events import Event


class Usefulness:
    """Follows every backfilled key until its first hit or its eviction, as an observer of a cache.

    A key that is backfilled again after it left counts again. Only a hit makes a key useful: the
    miss that started the backfill would have loaded its own key anyway.

    ``backfilled``
        keys that backfills have loaded.
    ``useful``
        those of them that were hit before they left.
    ``evicted``
        keys that backfills have pushed out.
    """

    def __init__(self) -> None:
        self.backfilled = 0
        self.useful = 0
        self.evicted = 0
        self._unread: set[Hashable] = set()
        self._just_evicted = 0

    def __call__(self, event: Event) -> None:
        """Note one event of the cache."""
        if isinstance(event, KeysEvicted):
            self._unread.difference_update(event.keys)
            self._just_evicted += len(event.keys)
        elif isinstance(event, LoadFinished):
            # A load is told of right after the evictions that made room for it.
            if event.cause is LoadCause.BACKFILL:
                self.backfilled += len(event.found)
                self.evicted += self._just_evicted
                self._unread.update(event.found)
            self._just_evicted = 0

    def hit(self, key: Hashable) -> None:
        """Note a hit of ``key``."""
        if key in self._unread:
            self._unread.remove(key)
            self.useful += 1

    @property
    def share(self) -> float | None:
        """The useful share of the backfilled keys; ``None`` when there are none."""
        return self.useful / self.backfilled if self.backfilled else None
