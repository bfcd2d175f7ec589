"""Backfill from history: the hottest keys that are not cached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from async_backfill.backfill.hot_keys import HotKeys
    from async_backfill.contracts import Selection


class HottestFirst(Generic[K]):
    """Selects the hottest keys that are neither cached nor in flight, hottest first.

    Where there is no history yet, ``otherwise`` selects.

    :param has_history: whether it was known what is hot when the cache was last empty.
    :param is_cached: whether a key is in the store, or known to be absent.
    :param is_loading: whether a key is in flight.
    :param removals: rises whenever something leaves the store.
    """

    def __init__(
        self,
        hot: HotKeys[K],
        otherwise: Selection[K] | None,
        *,
        has_history: Callable[[], bool],
        is_cached: Callable[[K], bool],
        is_loading: Callable[[K], bool],
        removals: Callable[[], int],
    ) -> None:
        self._hot = hot
        self._otherwise = otherwise
        self._has_history = has_history
        self._is_cached = is_cached
        self._is_loading = is_loading
        self._removals = removals
        self._covered_at: int | None = None

    async def select(self, limit: int, /) -> Sequence[K]:
        """Return the ``limit`` hottest keys that are missing, hottest first."""
        if not self._has_history():
            return () if self._otherwise is None else await self._otherwise.select(limit)
        return [key for key in self._hot.hottest() if self._is_missing(key)][:limit]

    def outlook(self) -> bool | None:
        """Return whether a selection would find something, or ``None`` where it would have to scan."""
        if not self._has_history():
            return False if self._otherwise is None else self._otherwise.outlook()
        # Once all hot keys are there, another one gets hot only by a miss, which loads it.
        if self._covered_at == self._removals():
            return False
        if any(self._is_missing(key) for key in self._hot):
            return True
        self._covered_at = self._removals()
        return False

    def drop(self, keys: Collection[K], /) -> None:
        """Forget ``keys``: the source does not have them any more."""
        self._hot.drop(keys)
        if self._otherwise is not None:
            self._otherwise.drop(keys)

    def _is_missing(self, key: K) -> bool:
        return not self._is_cached(key) and not self._is_loading(key)
