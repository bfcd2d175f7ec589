"""Least recently used: the key whose last hit, or addition, is the longest ago leaves first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic

from async_backfill.contracts import K


class LruOrder(Generic[K]):
    """Evicts the key that was neither added nor hit for the longest time."""

    __slots__ = ("_order", "touch")

    def __init__(self) -> None:
        self._order: OrderedDict[K, None] = OrderedDict()
        self.touch = self._order.move_to_end

    def add(self, key: K, /, *, proven: bool = False) -> None:  # noqa: ARG002 - all are equal here
        """Put ``key`` at the young end."""
        self._order[key] = None

    def discard(self, key: K, /) -> None:
        """Take ``key`` out of the order."""
        del self._order[key]

    def evict(self) -> K:
        """Remove and return the key that was used the longest ago; `LookupError` when there is none."""
        if not self._order:
            raise LookupError("nothing to evict")
        return self._order.popitem(last=False)[0]

    def clear(self) -> None:
        """Forget all keys."""
        self._order.clear()
