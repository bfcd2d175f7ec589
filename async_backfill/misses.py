"""A lookup that found nothing fresh: known to be absent, stale, or to be loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias

from async_backfill.contracts import K, V
from async_backfill.errors import LoadCycleError
from async_backfill.loading.circles import outer_batch
from async_backfill.loading.failures import failure_of
from async_backfill.outcomes import ABSENT, Absent, Failed, LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from async_backfill.backfill.backfiller import Backfiller
    from async_backfill.contracts import Trigger
    from async_backfill.holdings import Holdings
    from async_backfill.loading.batch import Batch
    from async_backfill.loading.loader import Loader
    from async_backfill.revalidation import Revalidation
    from async_backfill.stats import Counters

    _Board: TypeAlias = Callable[[K], tuple[Batch[K, V], bool]]


class Misses(Generic[K, V]):
    """Answers lookups that are no hits, and counts them.

    :param known: answers what needs no load; ``None`` where nothing expires and no absence is kept.
    :param inline: whether the miss that starts a backfill waits for it.
    """

    def __init__(
        self,
        holdings: Holdings[K, V],
        loader: Loader[K, V],
        backfiller: Backfiller[K] | None,
        known: Revalidation[K, V] | None,
        *,
        trigger: Trigger,
        counters: Counters,
        inline: bool,
    ) -> None:
        self._holdings = holdings
        self._loader = loader
        self._backfiller = backfiller
        self._known = known
        self._trigger = trigger
        self._counters = counters
        self._inline = inline

    async def answer(self, key: K) -> V | Absent:
        """Return the value of ``key``, which has no fresh one, or its absence.

        :raises LoadError: when the source failed and there is no stale value.
        :raises CacheClosedError: when the cache closes first.
        """
        if self._known is not None and (known := await self._known.answer((key,))):
            return known[key]
        counters = self._counters
        counters.misses += 1
        if self._trigger.observe_miss(counters.lookups) and await self._backfilled_inline():
            value = self._holdings.store.peek(key, ABSENT)
            if value is not ABSENT:
                return value
        outcome: V | Absent | Failed = ABSENT
        for board in self._boards():
            batch, leads = board(key)
            counters.led += leads
            await self._wait({batch: key}, 1)
            outcome = batch.outcome(key)
            if not _is_failed_backfill(batch, outcome):
                break
        return self._settled(key, outcome)

    async def answer_many(self, keys: Sequence[K]) -> dict[K, V]:
        """Do as `answer` for distinct ``keys`` at once; return the values of those that exist.

        :raises LoadError: for the first of ``keys`` that failed, once all have ended.
        """
        values: dict[K, V | Absent] = dict.fromkeys(keys, ABSENT)
        if self._known is not None:
            values.update(known := await self._known.answer(keys))
            keys = [key for key in keys if key not in known]
        counters = self._counters
        due = False
        for _ in keys:
            counters.misses += 1
            due = self._trigger.observe_miss(counters.lookups) or due
        if due and await self._backfilled_inline():
            values.update({key: self._holdings.store.peek(key, ABSENT) for key in keys})
            keys = [key for key in keys if values[key] is ABSENT]
        outcomes: dict[K, V | Absent | Failed] = {}
        for board in self._boards():
            loaded = await self._load_all(keys, board)
            outcomes.update((key, outcome) for key, (_, outcome) in loaded.items())
            keys = [key for key, (batch, outcome) in loaded.items() if _is_failed_backfill(batch, outcome)]
        failures: list[BaseException] = []
        for key, outcome in outcomes.items():
            try:
                values[key] = self._settled(key, outcome)
            except Exception as failure:  # noqa: BLE001 - every key is counted before one is raised
                failures.append(failure)
        if failures:
            raise failures[0]
        return {key: value for key, value in values.items() if value is not ABSENT}

    async def _backfilled_inline(self) -> bool:
        """Offer a backfill; return whether it was waited for, which a load inside a load never does."""
        episode = None if self._backfiller is None else self._backfiller.offer()
        if episode is None or not self._inline or outer_batch() is not None:
            return False
        await episode.done.wait()
        return True

    def _boards(self) -> tuple[_Board[K, V], ...]:
        """Return how to load a key, and how again each time that only a backfill of it has failed.

        The last way joins no backfill, so that a caller waits for two failing ones at the most.
        """
        return self._loader.board, self._loader.board, self._loader.board_live

    async def _load_all(
        self, keys: Iterable[K], board: _Board[K, V]
    ) -> dict[K, tuple[Batch[K, V], V | Absent | Failed]]:
        boarded: dict[K, Batch[K, V]] = {}
        awaited: dict[Batch[K, V], K] = {}
        for key in keys:
            batch, leads = board(key)
            self._counters.led += leads
            boarded[key] = batch
            awaited.setdefault(batch, key)
        if awaited:
            await self._wait(awaited, len(boarded))
        return {key: (batch, batch.outcome(key)) for key, batch in boarded.items()}

    async def _wait(self, awaited: Mapping[Batch[K, V], K], lookups: int) -> None:
        try:
            await self._loader.wait(awaited)
        except LoadCycleError:
            self._counters.failed += lookups
            raise

    def _settled(self, key: K, outcome: V | Absent | Failed) -> V | Absent:
        """Count how a miss ended; return its value or its absence, or raise its failure."""
        if outcome is ABSENT:
            self._counters.absent += 1
        elif isinstance(outcome, Failed):
            self._counters.failed += 1
            raise failure_of(key, outcome.error) from outcome.error
        return outcome


def _is_failed_backfill(batch: Batch[K, V], outcome: object) -> bool:
    return isinstance(outcome, Failed) and batch.cause is LoadCause.BACKFILL
