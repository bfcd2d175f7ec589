"""When each key of a simulated server last changed, for as long as a page may be older than that."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_backfill.contracts import Clock


class Marks(Generic[K]):
    """The times of changes: of writes, removals and ends of leases, and of the last clear.

    :param moment: the time, of which no two calls return the same.
    :param seconds: how long a mark is needed: the longest time between the read of a page and its write.
    """

    def __init__(self, moment: Clock, seconds: float) -> None:
        self._moment = moment
        self._seconds = seconds
        self._changed: dict[K, float] = {}
        self.cleared = -math.inf
        """When every key changed last."""

    def __len__(self) -> int:
        """Return the number of marks that are kept."""
        return len(self._changed)

    def leave(self, keys: Iterable[K] | None) -> None:
        """Note that ``keys`` change now; ``None`` means every key."""
        moment = self._moment()
        if keys is None:
            self.cleared = moment
            self._changed.clear()
        else:
            for key in keys:
                self._changed.pop(key, None)
                self._changed[key] = moment
        self._drop_overdue()

    def leave_read(self, keys: Iterable[K], read_at: float) -> None:
        """Note that ``keys`` now have values of a read that began at ``read_at``."""
        self._changed.update(dict.fromkeys(keys, read_at))

    def later(self, keys: Iterable[K], read_at: float) -> list[K]:
        """Return those of ``keys`` that changed after ``read_at``."""
        if self.cleared > read_at:
            return list(keys)
        return [key for key in keys if self._changed.get(key, -math.inf) > read_at]

    def _drop_overdue(self) -> None:
        # In the order of their changes, but for reads, whose time may be earlier: those go a little later.
        needed = self._moment() - self._seconds
        while self._changed:
            key = next(iter(self._changed))
            if self._changed[key] >= needed:
                break
            del self._changed[key]
