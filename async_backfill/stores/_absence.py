"""Negative cache: a bounded set of keys that the source does not have, with a ttl."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.key_size import LONGEST, is_long
from async_backfill._common.line_a_second import LineASecond
from async_backfill._common.log_lines import CacheLog
from async_backfill.contracts import K
from async_backfill.outcomes import ABSENT
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_backfill.contracts import Clock


_LOGGER: Final = logging.getLogger("async_backfill")
_TOO_LONG: Final = (
    f"a key of more than {LONGEST} bytes does not exist, and that is not remembered:"
    " the source is asked for it each time"
)


class AbsentKeys(Generic[K]):
    """Remembers at most ``capacity`` absent keys for ``ttl`` seconds; the oldest are forgotten first.

    They are kept apart from the values, so that a client that invents keys cannot evict values. A key of more
    than 4 KiB is not remembered: so the memory is bounded in bytes, too.
    """

    def __init__(self, *, ttl: float, capacity: int, clock: Clock, cache: str | None = None) -> None:
        self._ttl = ttl
        self._clock = clock
        self._said = LineASecond(CacheLog(_LOGGER, cache), clock)
        self._until: MemoryStore[K, float] = MemoryStore(capacity)

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, key: K) -> bool:
        until = self._until.peek(key)
        return until is not ABSENT and self._clock() < until

    def add(self, keys: Iterable[K], since: float | None = None) -> int:
        """Remember that ``keys`` did not exist at ``since``, or now; return how many are too long."""
        asked = tuple(keys)
        known = [key for key in asked if not is_long(key)]
        if len(known) < len(asked):
            self._said.warning(_TOO_LONG)
        # A key that is added again must become the youngest again.
        self._until.delete_many(known)
        self._until.set_many(dict.fromkeys(known, (self._clock() if since is None else since) + self._ttl))
        return len(asked) - len(known)

    def discard(self, keys: Iterable[K]) -> None:
        """Forget ``keys``: they may exist now."""
        self._until.delete_many(keys)

    def clear(self) -> None:
        """Forget all keys."""
        self._until.clear()
