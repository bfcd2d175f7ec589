"""What a miss may need besides a load: known answers, second loads, and how each miss ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._loading.failures import GivenUpError, failure_of
from async_backfill.contracts import K, V
from async_backfill.errors import AsyncBackfillError, LoadCycleError
from async_backfill.outcomes import ABSENT, Absent, Failed, LoadCause, MissCause

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.loader import Loader
    from async_backfill._lookup.counters import Counters
    from async_backfill._lookup.near_tier import NearTier
    from async_backfill._lookup.revalidation import Revalidation
    from async_backfill.backfill._history.recorder import HeatRecorder


class SlowPaths(Generic[K, V]):
    """The part of a miss that is the same for one key and for many.

    ``has_known``
        whether a miss may be answered without a load, so that `known` must be asked first.
    ``may_know``
        a function that returns whether this is so for a key; ``None`` where it is so for none.

    ``read``
        looks a key up in the near tier, as a hit does.

    :param revalidation: serves stale values and known absences; ``None`` where nothing expires and no
        absence is kept.
    :param heat: records which keys are looked up; ``None`` without history.
    """

    def __init__(
        self,
        near: NearTier[K, V],
        loader: Loader[K, V],
        revalidation: Revalidation[K, V] | None,
        *,
        counters: Counters,
        heat: HeatRecorder[K] | None,
    ) -> None:
        self._near = near
        self._loader = loader
        self._revalidation = revalidation
        self._counters = counters
        self._heat = heat
        self.has_known = near.has_unread_keys or revalidation is not None
        self.read = near.read
        self.may_know = self._make_may_know() if self.has_known else None

    def _make_may_know(self) -> Callable[[K], bool]:
        """Return a quick function that says whether something may be known of a key."""
        fresh, dates, absent = self._near.fresh, self._near.fresh_until, self._near.absent
        if self._near.has_unread_keys or (fresh is not None and dates is None):
            return lambda _: True
        held: Collection[K] = () if dates is None else dates
        if absent is None:
            return held.__contains__
        return lambda key: key in held or key in absent

    async def known(self, keys: Sequence[K]) -> dict[K, V | Absent]:
        """Return what is known of ``keys``, counted and noted: unread or stale values, and absences."""
        unread = {key: self._near.promote(key) for key in keys}
        values = {key: value for key, value in unread.items() if value is not ABSENT}
        self._counters.hits += len(values)
        if values:
            self.note(tuple(values))
        left = [key for key in keys if key not in values]
        if left and self._revalidation is not None:
            return {**values, **await self._revalidation.answer(left)}
        return dict(values)

    def found_since(self, key: K) -> V | Absent:
        """Return the value of ``key`` if a backfill that was waited for has brought it."""
        value = self._near.promote(key)
        return self._near.store.peek(key, ABSENT) if value is ABSENT else value

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

    async def wait(self, awaited: Mapping[Batch[K, V], K], causes: Mapping[K, MissCause]) -> None:
        """Wait until each batch of ``awaited`` has landed; those of ``causes`` fail if that is a cycle."""
        try:
            await self._loader.wait(awaited)
        except LoadCycleError:
            self._counters.failed += len(causes)
            for cause in causes.values():
                self._counters.count_cause(MissCause.FAILED, cause)
            raise

    async def resolved(
        self, key: K, batch: Batch[K, V], cause: MissCause, *, led: bool
    ) -> V | Absent | Failed:
        """Return the outcome of ``key``, which failed in ``batch`` or moved on from it, in the end."""
        if batch.moved is not None:
            batch = (await self.follow({key: batch}, {key: cause}))[key]
        outcome = batch.outcome(key)
        if failed_for_others(batch, outcome):
            outcome = (await self.load_again((key,), {key: cause}, {key} if led else set()))[key]
        return outcome

    async def follow(
        self, joined: Mapping[K, Batch[K, V]], causes: Mapping[K, MissCause]
    ) -> dict[K, Batch[K, V]]:
        """Wait for the loads that keys of ``joined`` moved on to; return the batch with the outcome of each.

        A load that all others had left before this caller came to wait for it is made again.
        """
        ended = dict(joined)
        while True:
            awaited: dict[Batch[K, V], K] = {}
            for key, batch in ended.items():
                onward = None if batch.moved is None else batch.moved.get(key)
                if onward is None and isinstance(batch.error, GivenUpError):
                    onward, _ = self._loader.batch_queue.join(key)
                if onward is not None:
                    ended[key] = onward
                    awaited[onward] = key
            if not awaited:
                return ended
            await self.wait(awaited, {key: causes[key] for key in joined})

    async def load_again(
        self, keys: Sequence[K], causes: Mapping[K, MissCause], led: set[K]
    ) -> dict[K, V | Absent | Failed]:
        """Load ``keys`` once more each time that they may have failed for the sake of others.

        The last time joins no backfill, so that a caller waits for two failing ones at the most.
        """
        outcomes: dict[K, V | Absent | Failed] = {}
        for join in (self._loader.batch_queue.join, self._loader.batch_queue.join_live):
            joined: dict[K, Batch[K, V]] = {}
            for key in keys:
                joined[key], leads = join(key)
                self._counters.led += leads and key not in led
                led.update((key,) if leads else ())
            awaited = {batch: key for key, batch in joined.items()}
            await self.wait(awaited, {key: causes[key] for key in keys})
            joined = await self.follow(joined, causes)
            outcomes.update((key, batch.outcome(key)) for key, batch in joined.items())
            keys = [key for key in keys if failed_for_others(joined[key], outcomes[key])]
            if not keys:
                break
        return outcomes

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
