"""A lookup that found nothing fresh: known to be absent, stale, or to be loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias

from async_backfill.contracts import K, V
from async_backfill.errors import AsyncBackfillError, LoadCycleError
from async_backfill.loading.failures import failure_of
from async_backfill.outcomes import ABSENT, Absent, Failed, LoadCause, MissCause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from async_backfill.alarm import Alarm
    from async_backfill.backfill.heat_recorder import HeatRecorder
    from async_backfill.holdings import Holdings
    from async_backfill.loading.batch import Batch
    from async_backfill.loading.loader import Loader
    from async_backfill.revalidation import Revalidation
    from async_backfill.stats import Counters

    _Board: TypeAlias = Callable[[K], tuple[Batch[K, V], bool]]


class Misses(Generic[K, V]):
    """Answers lookups that are no hits, and counts them.

    :param known: answers what needs no load; ``None`` where nothing expires and no absence is kept.
    :param alarm: decides when a backfill is due, and offers it.
    :param heat: is told of every lookup that found nothing; ``None`` where no heat is kept.
    :param companions: says what to load along with a missed key.
    """

    def __init__(
        self,
        holdings: Holdings[K, V],
        loader: Loader[K, V],
        known: Revalidation[K, V] | None,
        *,
        alarm: Alarm[K],
        counters: Counters,
        heat: HeatRecorder[K] | None,
        companions: Callable[[K], Sequence[K]] | None,
    ) -> None:
        self._holdings = holdings
        self._loader = loader
        self._known = known
        self._alarm = alarm
        self._counters = counters
        self._heat = heat
        self._companions = companions

    async def answer(self, key: K) -> V | Absent:
        """Return the value of ``key``, which has no fresh one, or its absence.

        :raises LoadError: when the source failed and there is no stale value.
        :raises CacheClosedError: when the cache closes first.
        """
        counters = self._counters
        value = self._holdings.promote(key)
        if value is not ABSENT:
            counters.hits += 1
            self._note((key,))
            return value
        if self._known is not None and (known := await self._known.answer((key,))):
            self._note((key,))
            return known[key]
        cause = self._count_miss(key)
        due = self._alarm.missed(cause)
        self._alarm.write()
        if due and await self._alarm.backfilled():
            value = self._found_since(key)
            if value is not ABSENT:
                self._note((key,))
                return value
        self._note((key,))
        companions = () if self._companions is None else self._companions(key)
        outcome: V | Absent | Failed = ABSENT
        led = False
        for board in self._boards():
            batch, leads = board(key)
            counters.led += leads and not led
            led = led or leads
            if companions and leads:
                self._loader.board_along(batch, companions)
                companions = ()
            await self._wait({batch: key}, {key: cause})
            outcome = batch.outcome(key)
            if not _failed_for_others(batch, outcome):
                break
        return self._settled(key, outcome, cause)

    async def answer_many(self, keys: Sequence[K]) -> dict[K, V]:
        """Do as `answer` for distinct ``keys`` at once; return the values of those that exist.

        :raises LoadError: for the first of ``keys`` that failed, once all have ended.
        """
        asked = keys
        values: dict[K, V | Absent] = {key: self._holdings.promote(key) for key in keys}
        keys = [key for key, value in values.items() if value is ABSENT]
        self._counters.hits += len(values) - len(keys)
        if keys and self._known is not None:
            values.update(known := await self._known.answer(keys))
            keys = [key for key in keys if key not in known]
        causes: dict[K, MissCause] = {}
        due = False
        for key in keys:
            causes[key] = self._count_miss(key)
            due = self._alarm.missed(causes[key]) or due
        self._alarm.write()
        if due and await self._alarm.backfilled():
            values.update({key: self._found_since(key) for key in keys})
            keys = [key for key in keys if values[key] is ABSENT]
        self._note(asked)
        outcomes: dict[K, V | Absent | Failed] = {}
        led: dict[K, None] = {}
        for board in self._boards():
            loaded = await self._load_all(keys, board, causes, led)
            outcomes.update((key, outcome) for key, (_, outcome) in loaded.items())
            keys = [key for key, (batch, outcome) in loaded.items() if _failed_for_others(batch, outcome)]
        failures: list[BaseException] = []
        for key, outcome in outcomes.items():
            try:
                values[key] = self._settled(key, outcome, causes[key])
            except Exception as failure:  # noqa: BLE001 - every key is counted before one is raised
                failures.append(failure)
        if failures:
            raise failures[0]
        return {key: value for key, value in values.items() if value is not ABSENT}

    def _note(self, keys: Sequence[K]) -> None:
        """Note the heat of ``keys``: after a backfill, which must not load what this lookup loads anyway."""
        if self._heat is not None:
            self._heat.missed(keys)

    def _count_miss(self, key: K) -> MissCause:
        cause = self._holdings.miss_cause(key)
        self._counters.misses += 1
        self._counters.count_cause(cause)
        return cause

    def _found_since(self, key: K) -> V | Absent:
        """Return what an inline backfill may have brought."""
        value = self._holdings.promote(key)
        return self._holdings.store.peek(key, ABSENT) if value is ABSENT else value

    def _boards(self) -> tuple[_Board[K, V], ...]:
        """Return how to load a key, and how again each time that only a backfill of it has failed.

        The last way joins no backfill, so that a caller waits for two failing ones at the most.
        """
        return self._loader.board, self._loader.board, self._loader.board_live

    async def _load_all(
        self,
        keys: Iterable[K],
        board: _Board[K, V],
        causes: Mapping[K, MissCause],
        led: dict[K, None],
    ) -> dict[K, tuple[Batch[K, V], V | Absent | Failed]]:
        """Load ``keys``; add those whose load this miss is the first to start to ``led``."""
        boarded: dict[K, Batch[K, V]] = {}
        awaited: dict[Batch[K, V], K] = {}
        first: list[K] = []
        for key in keys:
            batch, leads = board(key)
            boarded[key] = batch
            awaited.setdefault(batch, key)
            if leads and key not in led:
                led[key] = None
                first.append(key)
        self._counters.led += len(first)
        if self._companions is not None:
            for key in first:
                self._loader.board_along(boarded[key], self._companions(key))
        if awaited:
            await self._wait(awaited, {key: causes[key] for key in boarded})
        return {key: (batch, batch.outcome(key)) for key, batch in boarded.items()}

    async def _wait(self, awaited: Mapping[Batch[K, V], K], causes: Mapping[K, MissCause]) -> None:
        try:
            await self._loader.wait(awaited)
        except LoadCycleError:
            self._counters.failed += len(causes)
            for cause in causes.values():
                self._counters.count_cause(MissCause.FAILED, cause)
            raise

    def _settled(self, key: K, outcome: V | Absent | Failed, cause: MissCause) -> V | Absent:
        """Count how a miss ended; return its value or its absence, or raise its failure."""
        if outcome is ABSENT:
            self._counters.absent += 1
            self._counters.count_cause(MissCause.ABSENT, cause)
            if self._heat is not None:
                self._heat.drop((key,))
        elif isinstance(outcome, Failed):
            self._counters.failed += 1
            self._counters.count_cause(MissCause.FAILED, cause)
            raise failure_of(key, outcome.error) from outcome.error
        return outcome


def _failed_for_others(batch: Batch[K, V], outcome: object) -> bool:
    """Return whether a failure may be due to keys that only a backfill or a guess wanted.

    A batch that the source never answered would not do better without them.
    """
    if not isinstance(outcome, Failed):
        return False
    if batch.cause is LoadCause.BACKFILL:
        return True
    return bool(batch.along) and batch.error is not None and not isinstance(batch.error, AsyncBackfillError)
