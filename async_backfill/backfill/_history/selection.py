"""The selection from history: the hottest keys that are not cached."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final, Generic

from anyio import CancelScope, Lock
from anyio.lowlevel import checkpoint

from async_backfill._common.log_lines import CacheLog
from async_backfill.backfill._history.ranking import STEP, ranked
from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from async_backfill.backfill._history.hot_keys import HotKeys
    from async_backfill.contracts import Selection


_LOGGER: Final = logging.getLogger("async_backfill.journal")
_TELLING: Final = 3  # fewer keys may all have been deleted
CACHED: Final = 4.0
"""How many times the heat of a cached key counts: of 1 to 16 and endless, what met the goal most often."""
_LOOKS: Final = 2000
"""Keys looked at in one step: about a millisecond."""


class HottestFirst(Generic[K]):
    """Selects the hottest keys that are neither cached nor in flight, hottest first.

    Many hot keys are ranked, and looked at, in steps between which other tasks run.

    :param hot: the hot keys.
    :param otherwise: the selection to use while there is no history; ``None`` to select nothing then.
    :param has_history: returns whether hot keys were known when the cache was last empty.
    :param is_cached: returns whether a key is in the store, or known to be absent.
    :param is_loading: returns whether a key is in flight.
    :param removals: returns a number that rises whenever an entry is removed from the store.
    :param cache: the name of the cache, for the log.
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
        cache: str | None = None,
    ) -> None:
        self._log = CacheLog(_LOGGER, cache)
        self._hot = hot
        self._otherwise = otherwise
        self._has_history = has_history
        self._is_cached = is_cached
        self._is_loading = is_loading
        self._removals = removals
        self._plan: Sequence[K] = ()
        self._place = 0
        self._planned_at = -1
        self._covered_at = -1
        self._selecting = Lock(fast_acquire=True)
        self._selected = 0
        self._has_told = False
        self._first: Collection[K] = frozenset()

    async def select(self, limit: int, /) -> Sequence[K]:
        """Return the ``limit`` hottest keys that are missing, hottest first."""
        if not self._has_history():
            return () if self._otherwise is None else await self._otherwise.select(limit)
        async with self._selecting:
            await self._bring_up_to_date()
            plan, selected = self._plan, []
            for place in range(self._place, len(plan)):  # an islice would pass over all places before these
                if self._is_missing(plan[place]):
                    selected.append(plan[place])
                    if len(selected) == limit:
                        break
                if place % _LOOKS == _LOOKS - 1:
                    await checkpoint()
        if len(plan) > _LOOKS:  # others ran meanwhile
            selected = [key for key in selected if self._is_missing(key)]
        self._selected = len(selected)
        return selected

    def outlook(self) -> bool | None:
        """Return whether a selection would find a key; ``None`` when it would have to look further to know.

        A few keys are looked at, however many there are.
        """
        if not self._has_history():
            return False if self._otherwise is None else self._otherwise.outlook()
        if self._is_out_of_date() and not self._has_planned():
            return None
        if not self._skip_what_is_there():
            return None
        if self._may_be_used_up():
            if not self._has_planned():
                return None
            self._skip_what_is_there()
            self._note_cover()
        return self._place < len(self._plan)

    def drop(self, keys: Collection[K], /) -> None:
        """Forget ``keys``, which the source does not have."""
        if len(keys) == self._selected >= _TELLING and not self._has_told:
            self._has_told = True
            key = next(iter(keys))
            self._log.warning(
                "the source has none of the %d hottest keys, such as %s (a %s), so nothing is warm: if their "
                "journal was made for keys of another type, make it anew (history --key-type)",
                len(keys),
                reprlib.repr(key),
                type(key).__name__,
            )
        self._hot.drop(keys)
        if self._otherwise is not None:
            self._otherwise.drop(keys)

    async def ranking(self) -> Sequence[K]:
        """Return the keys in the order in which they are loaded, as ranked lately or now."""
        async with self._selecting:
            if self._is_out_of_date():
                await self._make_plan()
            return self._plan

    def _use(self, ranking: Sequence[K]) -> None:
        self._plan = ranking
        self._place = 0
        self._planned_at = self._hot.lookups

    def start_again(self, first: Collection[K] = ()) -> None:
        """Rank the keys again before the next selection, because the cache is empty.

        :param first: those that were cached: their heat counts ``CACHED`` times.
        """
        self._planned_at = -1
        self._first = first if isinstance(first, (Mapping, AbstractSet)) else frozenset(first)

    async def _bring_up_to_date(self) -> None:
        """Move to the first key of the ranking that is missing, and rank the keys again now and then.

        Sorting the hot keys for each batch would cost more than the batch, so they are sorted when the
        ranking is used up, and after as many lookups as there are hot keys.
        """
        if self._is_out_of_date():
            await self._make_plan()
        await self._skip_all_that_is_there()
        if self._may_be_used_up():
            await self._make_plan()
            await self._skip_all_that_is_there()
            self._note_cover()

    def _is_out_of_date(self) -> bool:
        return self._planned_at < 0 or self._hot.lookups - self._planned_at > len(self._hot)

    def _may_be_used_up(self) -> bool:
        """Return whether the ranking is at its end, and another one may find keys."""
        return (
            self._place == len(self._plan)
            and self._hot.lookups - self._planned_at > len(self._hot) // 8
            and self._covered_at != self._removals()
        )

    def _note_cover(self) -> None:
        if self._place == len(self._plan):  # until an entry is removed, only a miss makes a key hot
            self._covered_at = self._removals()

    def _has_planned(self) -> bool:
        """Rank the hot keys, if they are few; return whether they are."""
        if len(self._hot) > STEP:
            return False
        heats = self._hot.all_heats()
        self._use(sorted(heats, key=self._worth_loading(self._first, heats.__getitem__), reverse=True))
        self._first = frozenset()
        return True

    async def _make_plan(self) -> None:
        if not self._has_planned():
            # To its end, or with a short timeout it would begin anew for ever.
            with CancelScope(shield=True):
                first, self._first = self._first, frozenset()
                self._use(await ranked(self._hot, self._worth_loading(first, self._hot.heat)))

    def _worth_loading(self, first: Collection[K], heat: Callable[[K], float]) -> Callable[[K], float]:
        """Return what to rank keys by: their heat, which counts more for those that were cached."""
        return (lambda key: heat(key) * CACHED if key in first else heat(key)) if first else heat

    async def _skip_all_that_is_there(self) -> None:
        while not self._skip_what_is_there():
            await checkpoint()

    def _skip_what_is_there(self) -> bool:
        """Move on to the first key that is missing, for a few keys; return whether it got there."""
        plan = self._plan
        for place in range(self._place, min(self._place + _LOOKS, len(plan))):
            if self._is_missing(plan[place]):
                self._place = place
                return True
        self._place = min(self._place + _LOOKS, len(plan))
        return self._place == len(plan)

    def _is_missing(self, key: K) -> bool:
        return key in self._hot and not self._is_cached(key) and not self._is_loading(key)
