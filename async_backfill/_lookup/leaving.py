"""Keys that leave the near tier: counted, told to observers, and accounted for where backfills are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K
from async_backfill.events import KeysEvicted, KeysExpired
from async_backfill.outcomes import MissCause

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from async_backfill._lookup.counters import Counters
    from async_backfill.backfill._receipts.usefulness import Usefulness
    from async_backfill.events import Event


class Leaving(Generic[K]):
    """Takes note of keys that leave.

    :param usefulness: accounts of how keys left; ``None`` where nobody asks.
    :param notify: calls the observers; ``None`` without observers.
    """

    def __init__(
        self, counters: Counters, usefulness: Usefulness[K] | None, notify: Callable[[Event], None] | None
    ) -> None:
        self._counters = counters
        self._usefulness = usefulness
        self._notify = notify

    def evicted(self, keys: Sequence[K]) -> None:
        """Take note that ``keys`` were evicted."""
        self._counters.evictions += len(keys)
        self.departed(keys, MissCause.EVICTED)
        if self._notify is not None:
            self._notify(KeysEvicted(keys=tuple(keys)))

    def expired(self, keys: Sequence[K]) -> None:
        """Take note that ``keys`` were removed because they had expired."""
        self._counters.expirations += len(keys)
        self.departed(keys, MissCause.EXPIRED)
        if self._notify is not None:
            self._notify(KeysExpired(keys=tuple(keys)))

    def departed(self, keys: Collection[K], cause: MissCause) -> None:
        """Take note that ``keys`` left because of ``cause``."""
        if self._usefulness is not None:
            self._usefulness.departures.note(keys, cause)
