"""Decide from misses whether to offer a backfill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from async_backfill._loading.cycles import outer_batch
from async_backfill.backfill._receipts.departures import CURABLE
from async_backfill.contracts import K

if TYPE_CHECKING:
    from async_backfill._lookup.counters import Counters
    from async_backfill.backfill._backfiller import Backfiller
    from async_backfill.backfill._receipts.usefulness import Usefulness
    from async_backfill.contracts import Trigger
    from async_backfill.outcomes import MissCause

INCURABLE: Final = "no backfill cures these misses: keys that were evicted or invalidated, or do not exist"


class MissWatch(Generic[K]):
    """Reports misses to the trigger, and offers a backfill when it fires.

    ``listens``
        whether misses must be reported: ``False`` where no backfill can be offered.
    ``has_usefulness``
        whether `write` may have anything to audit.

    :param inline: whether the miss that starts a backfill waits for it.
    :param usefulness: accounts of what backfills were good for. With it the trigger sees only misses
        that a backfill can cure.
    :param every_miss: a trigger with the same threshold that sees all misses; when it fires alone, that
        is audited.
    """

    def __init__(
        self,
        trigger: Trigger,
        backfiller: Backfiller[K] | None,
        *,
        counters: Counters,
        inline: bool,
        usefulness: Usefulness[K] | None,
        every_miss: Trigger | None,
    ) -> None:
        self._trigger = trigger
        self._backfiller = backfiller
        self._counters = counters
        self._inline = inline
        self._usefulness = usefulness
        self.has_usefulness = usefulness is not None
        self.listens = backfiller is not None or usefulness is not None
        self._every_miss = every_miss
        self._is_over = False
        self._declines = False

    def missed(self, cause: MissCause) -> bool:
        """Report a miss that was counted already; return whether to offer a backfill."""
        lookups = self._counters.hits + self._counters.misses
        if self._usefulness is None:
            return self._trigger.observe_miss(lookups)
        fires = self._every_miss is not None and self._every_miss.observe_miss(lookups)
        if cause in CURABLE:
            self._is_over = self._trigger.observe_miss(lookups)
            return self._is_over
        self._declines = fires and not self._is_over
        return False

    def write(self) -> None:
        """Write the receipts and skipped backfills that are due, once all misses of a lookup are counted."""
        if self._usefulness is not None:
            self._usefulness.write_receipts()
        if self._declines and self._backfiller is not None:
            self._backfiller.decline(INCURABLE)
        self._declines = False

    async def backfilled(self) -> bool:
        """Offer a backfill; return whether it was waited for, which a load inside a load never does."""
        episode = None if self._backfiller is None else self._backfiller.offer()
        if episode is None or not self._inline or outer_batch() is not None:
            return False
        await episode.done.wait()
        return True
