"""The ghost list: keys that were removed from the cache lately, and why."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.key_size import is_long
from async_backfill.contracts import K
from async_backfill.outcomes import MissCause

if TYPE_CHECKING:
    from collections.abc import Iterable

CURABLE: Final = frozenset({MissCause.COLD, MissCause.EXPIRED})
"""Causes of misses that a backfill can prevent.

A key that was evicted would be evicted again, and one that was invalidated has just changed: decision 27 in
notes.md.
"""


class Departures(Generic[K]):
    """A ghost list: the ``size`` keys that were removed last, each with the cause, without their values.

    A key that is not in the list counts as cold: never cached.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._causes: OrderedDict[K, MissCause] = OrderedDict()

    def __len__(self) -> int:
        return len(self._causes)

    def note(self, keys: Iterable[K], cause: MissCause) -> None:
        """Record that ``keys`` were removed because of ``cause``, but those that are too long."""
        for key in keys:
            if is_long(key):
                continue
            self._causes[key] = cause
            self._causes.move_to_end(key)
        while len(self._causes) > self._size:
            self._causes.popitem(last=False)

    def forget(self) -> None:
        """Forget all keys: after a flush every key is cold."""
        self._causes.clear()

    def cause(self, key: K) -> MissCause:
        """Return why ``key`` is not cached."""
        return self._causes.get(key, MissCause.COLD)
