"""Read keys from the far tier (L2), and tell what may be used from what is outdated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._far.stale_copies import StaleCopies
from async_backfill.contracts import K, V
from async_backfill.errors import StoreError
from async_backfill.outcomes import LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill.contracts import FarStore
    from async_backfill.outcomes import Failed

_A_TENTH: Final = 0.1


@dataclass(slots=True)
class Look(Generic[K, V]):
    """What one read of the far tier found.

    ``copies``
        the seconds for which each value that was ``found`` may be used.
    ``rest``
        the keys that must be loaded.
    ``outdated``
        those of them that have a value there, but an old one.
    ``stale``
        the copies that answer a live miss whose load fails.
    ``failed``
        whether the read failed.
    """

    found: dict[K, V | Failed] = field(default_factory=dict)
    copies: dict[K, float] = field(default_factory=dict)
    rest: Sequence[K] = ()
    outdated: set[K] = field(default_factory=set)
    stale: StaleCopies[K, V] = field(default_factory=StaleCopies)
    failed: bool = False


class FarReads(Generic[K, V]):
    """Reads ``store`` through ``calls``; a failure finds nothing.

    ``is_off``
        whether it reads nothing for now, as if each read failed.

    :param ttl: seconds for which a copy is fresh; ``None`` for ever.
    :param stale_for: seconds after that in which it answers a live miss whose load fails.
    :param seconds_left: returns how long a key stays fresh in memory; ``None`` when nothing expires.
    """

    def __init__(
        self,
        store: FarStore[K, V],
        calls: GuardedCalls,
        *,
        ttl: float | None,
        stale_for: float,
        seconds_left: Callable[[K], float] | None,
    ) -> None:
        self._store = store
        self._calls = calls
        self._ttl = math.inf if ttl is None else ttl
        self._stale_for = stale_for
        self._seconds_left = seconds_left
        self.is_off = False

    async def look(self, keys: Sequence[K], cause: LoadCause) -> Look[K, V]:
        """Read ``keys``; a refresh takes only a copy that is clearly younger than that in memory."""
        look: Look[K, V] = Look(rest=keys)
        if not keys or self.is_off:
            look.failed = self.is_off
            return look
        try:
            copies = await self._calls.call("get", lambda: self._store.get_many(keys))
        except StoreError:
            look.failed = True
            return look
        # Or an early refresh would find its own value again, for ever: decision 37 in notes.md.
        for key, copy in copies.items():
            left = self._ttl - copy.age
            if left > 0.0 and not (cause is LoadCause.REFRESH and self._is_no_newer(key, left)):
                look.found[key] = copy.value
                look.copies[key] = left
            else:
                look.outdated.add(key)
                if cause is LoadCause.MISS:
                    look.stale.keep(key, copy, left, self._stale_for)
        look.rest = [key for key in keys if key not in look.found]
        self._calls.hits += len(keys) - len(look.rest)
        self._calls.misses += len(look.rest)
        return look

    def _is_no_newer(self, key: K, left: float) -> bool:
        """Return whether a copy that stays fresh ``left`` seconds is hardly younger than that in memory."""
        if self._seconds_left is None or math.isinf(self._ttl):
            return False
        return left <= self._seconds_left(key) + _A_TENTH * self._ttl
