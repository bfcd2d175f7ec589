"""Many lookups at once that found nothing fresh: few calls, and no more waiting than for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._lookup.miss import failed_for_others
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent, Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.loader import Loader
    from async_backfill._lookup.miss import Misses
    from async_backfill._lookup.miss_watch import MissWatch
    from async_backfill._lookup.near_tier import NearTier
    from async_backfill._lookup.revalidation import Revalidation
    from async_backfill.outcomes import MissCause
    from async_backfill.stats import Counters


class ManyMisses(Generic[K, V]):
    """Answers ``get_many`` as `Misses` answers ``get``, for all keys at once.

    They share what they wait for: nobody waits for a key, only for the batches that load them.
    """

    def __init__(
        self,
        misses: Misses[K, V],
        near: NearTier[K, V],
        loader: Loader[K, V],
        known: Revalidation[K, V] | None,
        *,
        miss_watch: MissWatch[K],
        counters: Counters,
        companions: Callable[[K], Sequence[K]] | None,
    ) -> None:
        self._misses = misses
        self._near = near
        self._loader = loader
        self._known = known
        self._miss_watch = miss_watch
        self._counters = counters
        self._companions = companions

    async def answer(self, keys: Sequence[K]) -> dict[K, V]:
        """Return the values of those of ``keys``, which are distinct and not fresh, that exist.

        :raises LoadError: for the first of ``keys`` that failed, once all have ended.
        """
        asked, misses = keys, self._misses
        values: dict[K, V | Absent] = {}
        if misses.has_more:
            values.update(await self._answer_without_load(keys))
            keys = [key for key in keys if key not in values]
        causes: dict[K, MissCause] = {}
        due = False
        for key in keys:
            causes[key] = cause = misses.count_miss(key)
            due = (self._miss_watch.listens and self._miss_watch.missed(cause)) or due
        if self._miss_watch.is_guarded:
            self._miss_watch.write()
        if due and await self._miss_watch.backfilled():
            values.update((key, misses.found_since(key)) for key in keys)
            keys = [key for key in keys if values[key] is ABSENT]
        misses.note(asked)
        if keys:
            values.update(await self._load(keys, causes))
        return {key: value for key, value in values.items() if value is not ABSENT}

    async def _answer_without_load(self, keys: Sequence[K]) -> dict[K, V | Absent]:
        """Return what is known of ``keys``, counted: unread or stale values, and absences."""
        unread = {key: self._near.promote(key) for key in keys}
        values = {key: value for key, value in unread.items() if value is not ABSENT}
        self._counters.hits += len(values)
        left = [key for key in keys if key not in values]
        if left and self._known is not None:
            return {**values, **await self._known.answer(left)}
        return dict(values)

    async def _load(self, keys: Sequence[K], causes: Mapping[K, MissCause]) -> dict[K, V | Absent]:
        """Return what came of ``keys``, counted; raise the first failure among them."""
        values: dict[K, V | Absent] = {}
        odd: dict[K, Absent | Failed] = {}
        for key, outcome in (await self._outcomes(keys, causes)).items():
            if outcome is ABSENT or isinstance(outcome, Failed):
                odd[key] = outcome
            else:
                values[key] = outcome
        failure: Exception | None = None
        for key in keys if odd else ():
            if key in odd:
                try:
                    self._misses.settled(key, odd[key], causes[key])
                except Exception as error:  # noqa: BLE001 - every key is counted before one is raised
                    failure = failure or error
        if failure is not None:
            raise failure
        return values

    async def _outcomes(
        self, keys: Sequence[K], causes: Mapping[K, MissCause]
    ) -> dict[K, V | Absent | Failed]:
        loader = self._loader
        pages, led = loader.batch_queue.join_many(keys)
        self._counters.led += len(led)
        if self._companions is not None:
            holders = {key: batch for batch, page in pages for key in page}
            for key in led:
                loader.batch_queue.enqueue_along(holders[key], self._companions(key))
        await self._misses.wait({batch: page[0] for batch, page in pages}, causes)
        outcomes: dict[K, V | Absent | Failed] = {}
        again: list[K] = []
        for batch, page in pages:
            some = batch.outcomes(page)
            outcomes.update(some)
            if batch.error is not None or batch.wanted:
                again.extend(key for key in page if failed_for_others(batch, some[key]))
        if again:
            outcomes.update(await self._load_again(again, causes, set(led)))
        return outcomes

    async def _load_again(
        self, keys: Sequence[K], causes: Mapping[K, MissCause], led: set[K]
    ) -> dict[K, V | Absent | Failed]:
        """Load ``keys`` once more each time that they may have failed for the sake of others."""
        outcomes: dict[K, V | Absent | Failed] = {}
        for join in (self._loader.batch_queue.join, self._loader.batch_queue.join_live):
            joined: dict[K, Batch[K, V]] = {}
            for key in keys:
                joined[key], leads = join(key)
                self._counters.led += leads and key not in led
                led.update((key,) if leads else ())
            await self._misses.wait(
                {batch: key for key, batch in joined.items()}, {key: causes[key] for key in keys}
            )
            outcomes.update((key, batch.outcome(key)) for key, batch in joined.items())
            keys = [key for key in keys if failed_for_others(joined[key], outcomes[key])]
        return outcomes
