"""Least recently used: the key whose last use is the longest ago is evicted first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from async_backfill.contracts import K
from async_backfill.stores._eviction.plain import PlainOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class LruOrder(PlainOrder[K]):
    """Evicts the key that was neither added nor hit for the longest time.

    A store keeps its values in ``entries``: a second dict would cost more memory and time, see decision
    34 in notes.md.
    """

    __slots__ = ("entries", "hit_counts", "touch")

    def __init__(self) -> None:
        self.entries: OrderedDict[K, Any] = OrderedDict()
        self.hit_counts = None
        self.touch = self.entries.move_to_end

    def add(self, key: K, /, *, proven: bool = False) -> None:  # noqa: ARG002 - all are equal here
        """Add ``key`` as the youngest."""
        self.entries[key] = None

    def discard(self, key: K, /) -> None:
        """Remove ``key`` from the order."""
        self.entries.pop(key, None)

    def evict(self, *, again: bool = False) -> K:  # noqa: ARG002 - it never does much
        """Remove and return the least recently used key; `LookupError` when there is none."""
        if not self.entries:
            raise LookupError("nothing to evict")
        return self.entries.popitem(last=False)[0]

    def queues(self) -> Sequence[Iterable[K]]:
        """Return the keys, the one used last first."""
        return (reversed(tuple(self.entries)),)

    def resume(self, key: K, queue: int, hits: int, /) -> None:  # noqa: ARG002 - there is one queue
        """Add ``key`` as the least recently used."""
        self.entries[key] = None
        self.entries.move_to_end(key, last=False)

    def clear(self) -> None:
        """Forget all keys."""
        self.entries.clear()
