"""Backfill from history: the hottest keys that are not cached."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from async_backfill.backfill._history.hot_keys import HotKeys
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
        self._plan: list[K] = []
        self._place = 0
        self._planned_at = -1
        self._covered_at = -1

    async def select(self, limit: int, /) -> Sequence[K]:
        """Return the ``limit`` hottest keys that are missing, hottest first."""
        if not self._has_history():
            return () if self._otherwise is None else await self._otherwise.select(limit)
        self._bring_up_to_date()
        missing = filter(self._is_missing, islice(self._plan, self._place, None))
        return list(islice(missing, limit))

    def outlook(self) -> bool | None:
        """Return whether a selection would find something, or ``None`` where it would have to scan."""
        if not self._has_history():
            return False if self._otherwise is None else self._otherwise.outlook()
        self._bring_up_to_date()
        return self._place < len(self._plan)

    def drop(self, keys: Collection[K], /) -> None:
        """Forget ``keys``: the source does not have them any more."""
        self._hot.drop(keys)
        if self._otherwise is not None:
            self._otherwise.drop(keys)

    def start_again(self) -> None:
        """Look again which keys are the hottest: the cache was emptied."""
        self._planned_at = -1

    def _bring_up_to_date(self) -> None:
        """Go on to the first key that is missing, in an order that is worked out anew now and then.

        Sorting the hot keys for each batch would cost more than the batch: it is done when the order is
        used up, and when as many lookups have gone by as there are hot keys.
        """
        age = self._hot.lookups - self._planned_at
        if self._planned_at < 0 or age > len(self._hot):
            self._make_plan()
        self._skip_what_is_there()
        if (
            self._place == len(self._plan)
            and age > len(self._hot) // 8
            and self._covered_at != self._removals()
        ):
            self._make_plan()
            self._skip_what_is_there()
            if self._place == len(self._plan):  # until something leaves, only a miss makes another key hot
                self._covered_at = self._removals()

    def _make_plan(self) -> None:
        self._plan = self._hot.hottest()
        self._place = 0
        self._planned_at = self._hot.lookups

    def _skip_what_is_there(self) -> None:
        while self._place < len(self._plan) and not self._is_missing(self._plan[self._place]):
            self._place += 1

    def _is_missing(self, key: K) -> bool:
        return key in self._hot and not self._is_cached(key) and not self._is_loading(key)
