"""A lookup that found nothing fresh: known to be absent, stale, or to be loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._loading.cycles import outer_batch, running_batch
from async_backfill._loading.failures import failure_of
from async_backfill.contracts import K, V
from async_backfill.errors import AsyncBackfillError, LoadCycleError
from async_backfill.outcomes import ABSENT, Absent, Failed, LoadCause, MissCause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.loader import Loader
    from async_backfill._lookup.miss_watch import MissWatch
    from async_backfill._lookup.near_tier import NearTier
    from async_backfill._lookup.revalidation import Revalidation
    from async_backfill.backfill._history.recorder import HeatRecorder
    from async_backfill.stats import Counters


class Misses(Generic[K, V]):
    """Answers lookups that are no hits, and counts them.

    :param known: answers what needs no load; ``None`` where nothing expires and no absence is kept.
    :param alarm: decides when a backfill is due, and offers it.
    :param heat: is told of every lookup that found nothing; ``None`` where no heat is kept.
    :param companions: says what to load along with a missed key.
    """

    def __init__(
        self,
        near: NearTier[K, V],
        loader: Loader[K, V],
        known: Revalidation[K, V] | None,
        *,
        miss_watch: MissWatch[K],
        counters: Counters,
        heat: HeatRecorder[K] | None,
        companions: Callable[[K], Sequence[K]] | None,
    ) -> None:
        self._near = near
        self.has_more = near.has_unread_keys or known is not None
        self._loader = loader
        self._known = known
        self._miss_watch = miss_watch
        self._miss_watch_listens = miss_watch.listens
        self._counters = counters
        self._heat = heat
        self._companions = companions

    async def answer(self, key: K) -> V | Absent:
        """Return the value of ``key``, which has no fresh one, or its absence.

        :raises LoadError: when the source failed and there is no stale value.
        :raises CacheClosedError: when the cache closes first.
        """
        if self.has_more and (known := await self._answer_without_load(key)):
            return known[key]
        cause = MissCause.COLD
        if self._counters.causes is None:
            self._counters.misses += 1
        else:
            cause = self.count_miss(key)
        if (
            self._miss_watch_listens
            and self._is_due(cause)
            and (value := await self._backfilled(key)) is not ABSENT
        ):
            return value
        if self._heat is not None:
            self._heat.missed((key,))
        is_outermost = running_batch.get() is None or outer_batch() is None
        batch, led = self._join(key, is_outermost=is_outermost)
        self._counters.led += led
        if batch.is_landed:
            pass
        elif is_outermost:
            # As `wait` does: a coroutine less for each of the thousands that wait for one load.
            batch.waiters += 1
            try:
                await batch.done.wait()
            finally:
                batch.waiters -= 1
                if not (batch.waiters or batch.is_landed):
                    self._loader.give_up(batch)
        else:
            await self.wait({batch: key}, {key: cause})
        outcome = batch.outcome(key)
        if not isinstance(outcome, (Absent, Failed)):
            return outcome
        if failed_for_others(batch, outcome):
            outcome = await self._load_again(key, cause, led=led)
        return self.settled(key, outcome, cause)

    def _is_due(self, cause: MissCause) -> bool:
        """Tell the alarm of a miss; return whether it calls for a backfill."""
        due = self._miss_watch.missed(cause)
        if self._miss_watch.is_guarded:
            self._miss_watch.write()
        return due

    async def _backfilled(self, key: K) -> V | Absent:
        """Offer a backfill; return the value of ``key`` if that was waited for, and brought it."""
        if not await self._miss_watch.backfilled():
            return ABSENT
        value = self.found_since(key)
        if value is not ABSENT:
            self.note((key,))
        return value

    def _join(self, key: K, *, is_outermost: bool) -> tuple[Batch[K, V], bool]:
        if self._companions is None and is_outermost:
            return self._loader.join_at_once(key)
        batch, led = self._loader.batch_queue.join(key)
        if led and self._companions is not None:
            self._loader.batch_queue.enqueue_along(batch, self._companions(key))
        return batch, led

    async def _answer_without_load(self, key: K) -> Mapping[K, V | Absent]:
        """Return what is known of ``key``, counted: its value, stale or unread so far, or its absence."""
        known: Mapping[K, V | Absent] = {}
        value = self._near.promote(key)
        if value is not ABSENT:
            self._counters.hits += 1
            known = {key: value}
        elif self._known is not None:
            known = await self._known.answer((key,))
        if known:
            self.note((key,))
        return known

    async def _load_again(self, key: K, cause: MissCause, *, led: bool) -> V | Absent | Failed:
        """Load ``key`` once more each time that it may have failed for the sake of others.

        The last time joins no backfill, so that a caller waits for two failing ones at the most.
        """
        outcome: V | Absent | Failed = ABSENT
        for join in (self._loader.batch_queue.join, self._loader.batch_queue.join_live):
            batch, leads = join(key)
            self._counters.led += leads and not led
            led = led or leads
            await self.wait({batch: key}, {key: cause})
            outcome = batch.outcome(key)
            if not failed_for_others(batch, outcome):
                break
        return outcome

    def note(self, keys: Sequence[K]) -> None:
        """Note the heat of ``keys``: after a backfill, which must not load what this lookup loads anyway."""
        if self._heat is not None:
            self._heat.missed(keys)

    def count_miss(self, key: K) -> MissCause:
        """Count a miss of ``key``; return why it was one, as far as is known before it is loaded."""
        self._counters.misses += 1
        if self._counters.causes is None:
            return MissCause.COLD
        cause = self._near.miss_cause(key)
        self._counters.count_cause(cause)
        return cause

    def found_since(self, key: K) -> V | Absent:
        """Return what an inline backfill may have brought."""
        value = self._near.promote(key)
        return self._near.store.peek(key, ABSENT) if value is ABSENT else value

    async def wait(self, awaited: Mapping[Batch[K, V], K], causes: Mapping[K, MissCause]) -> None:
        """Wait until each batch of ``awaited`` has landed; those of ``causes`` fail if that is a circle."""
        try:
            await self._loader.wait(awaited)
        except LoadCycleError:
            self._counters.failed += len(causes)
            for cause in causes.values():
                self._counters.count_cause(MissCause.FAILED, cause)
            raise

    def settled(self, key: K, outcome: V | Absent | Failed, cause: MissCause) -> V | Absent:
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


def failed_for_others(batch: Batch[K, V], outcome: object) -> bool:
    """Return whether a failure may be due to keys that only a backfill or a guess wanted.

    A batch that the source never answered would not do better without them.
    """
    if not isinstance(outcome, Failed):
        return False
    if batch.cause is LoadCause.BACKFILL:
        return True
    return bool(batch.along) and batch.error is not None and not isinstance(batch.error, AsyncBackfillError)
