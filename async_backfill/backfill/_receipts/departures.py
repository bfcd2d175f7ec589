"""Why a key is not in the cache: it was never there, or it left, and how."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic

from async_backfill.contracts import K
from async_backfill.outcomes import MissCause

if TYPE_CHECKING:
    from collections.abc import Iterable

CURABLE: Final = frozenset({MissCause.COLD, MissCause.EXPIRED})
"""Misses that a backfill can cure: what was evicted would be evicted again, what was invalidated is new."""


class Departures(Generic[K]):
    """Remembers of the ``size`` keys that left last how they left.

    A key of which nothing is remembered counts as never seen: as cold.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._causes: OrderedDict[K, MissCause] = OrderedDict()

    def __len__(self) -> int:
        return len(self._causes)

    def note(self, keys: Iterable[K], cause: MissCause) -> None:
        """Take note that ``keys`` left because of ``cause``."""
        for key in keys:
            self._causes[key] = cause
            self._causes.move_to_end(key)
        while len(self._causes) > self._size:
            self._causes.popitem(last=False)

    def forget(self) -> None:
        """Forget everything: after a flush every key is cold."""
        self._causes.clear()

    def cause(self, key: K) -> MissCause:
        """Return why ``key`` is not there."""
        return self._causes.get(key, MissCause.COLD)
