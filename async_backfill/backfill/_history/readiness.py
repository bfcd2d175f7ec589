"""Readiness: whether a cache is warm enough to take traffic, and the wait until it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from anyio import sleep

from async_backfill._common.validation import real
from async_backfill.contracts import K
from async_backfill.errors import CacheClosedError, ConfigurationError
from async_backfill.records import BackfillCause

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.backfill._backfiller import Backfiller
    from async_backfill.backfill._fleet_budget import FleetBudget
    from async_backfill.backfill._history.hot_keys import HotKeys
    from async_backfill.backfill.budget import BackfillBudget

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


class Readiness(Generic[K]):
    """Measures what share of the hot keys is cached, and starts backfills until it is large enough.

    :param hot: the hot keys; ``None`` when the selection is not ``"history"``.
    :param backfiller: loads the hot keys; ``None`` when the cache cannot backfill.
    :param budget: the permits for backfills.
    :param capacity: the largest number of hot keys that can be cached; ``None`` for all.
    :param is_known: returns whether a key is cached, or known to be absent.
    """

    def __init__(
        self,
        hot: HotKeys[K] | None,
        backfiller: Backfiller[K] | None,
        budget: BackfillBudget | FleetBudget,
        *,
        capacity: int | None,
        is_known: Callable[[K], bool],
    ) -> None:
        self._hot = hot
        self._backfiller = backfiller
        self._budget = budget
        self._capacity = capacity
        self._is_known = is_known
        self._wanted: list[K] | None = None
        self._is_open = True

    def is_ready(self, coverage: float) -> bool:
        """Return whether ``coverage`` (0.0 to 1.0) of the hot keys are cached, or the budget is spent."""
        real("coverage", coverage, least=0.0, most=1.0)
        there, wanted = self._count()
        return there >= coverage * wanted or self._budget.permits_left == 0

    async def wait(self, coverage: float) -> None:
        """Offer backfills until `is_ready`; with longer and longer pauses while they do not help.

        :raises CacheClosedError: when the cache closes first.
        """
        pause = _FIRST_PAUSE
        while not self.is_ready(coverage):
            if not self._is_open or self._backfiller is None:
                raise CacheClosedError("the cache closed before it was ready")
            before = self._count()
            episode = self._backfiller.offer(BackfillCause.READY)
            if episode is not None:
                await episode.done.wait()
            if self._count() == before and self._is_open:
                await sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE

    def _count(self) -> tuple[int, int]:
        """Return how many of the hot keys are cached, and how many hot keys there are."""
        if self._hot is None or self._backfiller is None:
            raise ConfigurationError("selection", "must be 'history', or the hot keys are not known")
        if self._wanted is None:
            self._wanted = self._hot.hottest()[: self._capacity]
        # A key that the source does not have, as was found out since, is no longer hot.
        wanted = [key for key in self._wanted if key in self._hot]
        return sum(map(self._is_known, wanted)), len(wanted)

    def flushed(self) -> None:
        """Forget which keys were hot, because the cache was cleared."""
        self._wanted = None

    def stop(self) -> None:
        """End each wait with `CacheClosedError`, because the cache closes."""
        self._is_open = False
