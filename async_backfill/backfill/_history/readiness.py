"""Whether a cache that was cold is warm enough to take traffic."""

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
    """Says what share of the hot keys is cached, and has the others loaded.

    :param hot: which keys are hot; ``None`` where that is not known.
    :param capacity: so many of them can be cached; ``None`` for all.
    :param is_known: whether a key is cached, or known to be absent.
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
        """Return whether ``coverage`` (0.0 to 1.0) of the hot keys are there, or the budget is spent."""
        real("coverage", coverage, least=0.0, most=1.0)
        there, wanted = self._count()
        return there >= coverage * wanted or self._budget.permits_left == 0

    async def wait(self, coverage: float) -> None:
        """Return once `is_ready`; offers a backfill until it is, and less and less often while none helps.

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
        """Return how many of the hot keys are there, and how many there are."""
        if self._hot is None or self._backfiller is None:
            raise ConfigurationError("selection", "must be 'history', or nobody knows which keys are hot")
        if self._wanted is None:
            self._wanted = self._hot.hottest()[: self._capacity]
        # A key that the source turned out not to have is no longer hot.
        wanted = [key for key in self._wanted if key in self._hot]
        return sum(map(self._is_known, wanted)), len(wanted)

    def flushed(self) -> None:
        """Take note that the cache was emptied: look again which keys are hot."""
        self._wanted = None

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._is_open = False
