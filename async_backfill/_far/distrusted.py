"""Distrusted keys: their copy in the far tier (L2) may be stale, because a write failed."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Generic

from async_backfill._common.key_size import LONGEST, size_of
from async_backfill._far.changes import LARGEST_CALL
from async_backfill.contracts import K
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_backfill._far.failed_clear import FailedClear
    from async_backfill.errors import StoreError


class Distrusted(Generic[K]):
    """The keys whose explicit change did not reach the far tier, at most the latest ``most``.

    An invalidation during an outage would otherwise bring the old value back with the first read after
    it: decision 39 in notes.md. Long keys count as several, of 4 KiB each. After a clear that failed every
    key is distrusted, until one succeeds. A key whose change arrived, but not the message to the others, is
    trusted; only the message is sent again.
    """

    def __init__(self, most: int, failed_clear: FailedClear[K]) -> None:
        self._most = most
        self._failed_clear = failed_clear
        self._keys: dict[K, int] = {}
        self._counted = 0
        self._untold: set[K] = set()

    def __contains__(self, key: K) -> bool:
        return self._failed_clear.is_uncleared or (key in self._keys and key not in self._untold)

    def __len__(self) -> int:
        return len(self._keys)

    def __bool__(self) -> bool:
        return self._failed_clear.is_owed or bool(self._keys)

    def add(self, key: K) -> None:
        """Distrust ``key``; if there are too many keys, trust the oldest again."""
        self.discard(key)
        self._keys[key] = 1 + size_of(key) // LONGEST
        self._counted += self._keys[key]
        while self._counted > self._most and len(self._keys) > 1:
            self.discard(next(iter(self._keys)))

    def discard(self, key: K) -> None:
        """Trust ``key`` again, if it was distrusted."""
        self._counted -= self._keys.pop(key, 0)
        self._untold.discard(key)

    def written(self, key: K, *, is_told: bool) -> None:
        """Trust ``key``, whose change arrived; tell the others of it later, unless that is done."""
        self.discard(key)
        if not is_told:
            self.add(key)
            self._untold.add(key)

    async def clear(self) -> StoreError | None:
        """Clear the far tier; trust every key after that, or no key when it has failed."""
        failure = await self._failed_clear.clear()
        if not self._failed_clear.is_uncleared:
            self._keys.clear()
            self._untold.clear()
            self._counted = 0
        return failure

    def nudge(self, key: K) -> None:
        """Make again what failed of a clear, if that is due; ``key`` is any key."""
        self._failed_clear.nudge(key)

    async def remove(
        self,
        remove: Callable[[Sequence[K]], Awaitable[StoreError | None]],
        tell: Callable[[Sequence[K]], Awaitable[StoreError | None]],
    ) -> None:
        """Remove all keys from the far tier with ``remove``, and trust them; stop at the first failure.

        A key that no store can take would block the others for ever: it is found by bisection, and
        dropped.

        :param remove: removes keys from the store, and returns the error if that failed.
        :param tell: tells the other caches of keys, and returns the error if that failed.
        """
        most = LARGEST_CALL
        while self._keys:
            keys = tuple(islice(self._keys, most))
            unwritten = [key for key in keys if key not in self._untold]
            failure = await remove(unwritten) if unwritten else None
            if failure is None:
                self._untold.update(self._keys.keys() & unwritten)
                failure = await tell(keys)
            if failure is not None and not isinstance(failure.__cause__, ConfigurationError):
                return
            if failure is not None and len(keys) > 1:
                most = len(keys) // 2
                continue
            most = LARGEST_CALL
            for key in keys:
                self.discard(key)
