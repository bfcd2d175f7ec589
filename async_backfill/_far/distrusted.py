"""The keys of which the far store may hold what is no longer true."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Generic

from async_backfill._far.changes import LARGEST_CALL
from async_backfill.contracts import K
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_backfill.errors import StoreError


class Distrusted(Generic[K]):
    """The keys whose change did not reach the store: the ``most`` latest of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: dict[K, None] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: K) -> None:
        """Distrust ``key``, and the oldest of too many no longer."""
        self._keys.pop(key, None)
        self._keys[key] = None
        if len(self._keys) > self._most:
            del self._keys[next(iter(self._keys))]

    def discard(self, key: K) -> None:
        """Trust ``key`` again, if it was distrusted."""
        self._keys.pop(key, None)

    def clear(self) -> None:
        """Trust every key."""
        self._keys.clear()

    async def remove(self, remove: Callable[[Sequence[K]], Awaitable[StoreError | None]]) -> None:
        """Have ``remove`` take all keys out of the store, and stop at its first failure.

        A key that no store could take is not worth another try, nor may it keep the others waiting: it
        is looked for by halving, and dropped.
        """
        most = LARGEST_CALL
        while self._keys:
            keys = tuple(islice(self._keys, most))
            failure = await remove(keys)
            if failure is not None and not isinstance(failure.__cause__, ConfigurationError):
                return
            if failure is not None and len(keys) > 1:
                most = len(keys) // 2
                continue
            most = LARGEST_CALL
            for key in keys:
                del self._keys[key]
