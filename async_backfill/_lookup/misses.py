"""Answer the misses of `get_many`: few source calls, one wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._common.first_failure import let_go
from async_backfill._lookup.slow_paths import failed_for_others
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent, Failed, MissCause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.loader import Loader
    from async_backfill._lookup.counters import Counters
    from async_backfill._lookup.miss_watch import MissWatch
    from async_backfill._lookup.slow_paths import SlowPaths


class ManyMisses(Generic[K, V]):
    """Answers ``get_many`` as `Misses` answers ``get``, for all keys at once.

    It waits for the batches that load the keys, never for a single key.
    """

    def __init__(
        self,
        paths: SlowPaths[K, V],
        loader: Loader[K, V],
        *,
        miss_watch: MissWatch[K],
        counters: Counters,
        companions: Callable[[K], Sequence[K]] | None,
    ) -> None:
        self._paths = paths
        self._loader = loader
        self._miss_watch = miss_watch
        self._counters = counters
        self._companions = companions

    async def answer(self, keys: Sequence[K]) -> tuple[dict[K, V], dict[K, Exception]]:
        """Return the values of those of ``keys``, which are distinct and not fresh, that exist.

        Returns as well the failures of those that could not be loaded, once all have ended.
        """
        paths = self._paths
        values: dict[K, V | Absent] = {}
        if paths.has_known:
            values.update(await paths.known(keys))
            keys = [key for key in keys if key not in values]
        unknown = keys
        causes: dict[K, MissCause] = {}
        due = False
        for key in keys:
            causes[key] = cause = paths.count_miss(key)
            due = (self._miss_watch.listens and self._miss_watch.missed(cause)) or due
        if self._miss_watch.has_usefulness:
            self._miss_watch.write()
        if due and await self._miss_watch.backfilled():
            values.update((key, paths.found_since(key)) for key in keys)
            keys = [key for key in keys if values[key] is ABSENT]
        if unknown:
            paths.note(unknown)
        failures: dict[K, Exception] = {}
        if keys:
            values.update(await self._load(keys, causes, failures))
        return {key: value for key, value in values.items() if value is not ABSENT}, failures

    async def _load(
        self, keys: Sequence[K], causes: Mapping[K, MissCause], failures: dict[K, Exception]
    ) -> dict[K, V | Absent]:
        """Return the values of ``keys``, and put their failures into ``failures``; both are counted."""
        values: dict[K, V | Absent] = {}
        odd: dict[K, Absent | Failed] = {}
        for key, outcome in (await self._outcomes(keys, causes)).items():
            if outcome is ABSENT or isinstance(outcome, Failed):
                odd[key] = outcome
            else:
                values[key] = outcome
        if odd:
            settling = [(key, odd[key]) for key in keys if key in odd]
            for key, outcome in settling if len(settling) == len(odd) else odd.items():  # a hash may change
                try:
                    self._paths.settled(key, outcome, causes.get(key, MissCause.COLD))
                except Exception as error:  # noqa: BLE001 - every key is counted before one is raised
                    failures[key] = let_go(error)
        return values

    async def _outcomes(
        self, keys: Sequence[K], causes: Mapping[K, MissCause]
    ) -> dict[K, V | Absent | Failed]:
        queue = self._loader.batch_queue
        pages, led = queue.join_many(keys)
        self._counters.led += len(led)
        if self._companions is not None:
            holders = {key: batch for batch, page in pages for key in page}
            for key in led:
                queue.enqueue_along(holders[key], self._companions(key))
        await self._paths.wait({batch: page[0] for batch, page in pages}, causes)
        outcomes: dict[K, V | Absent | Failed] = {}
        again: list[K] = []
        moved: dict[K, Batch[K, V]] = {}
        for batch, page in pages:
            some = batch.outcomes(page)
            outcomes.update(some)
            if batch.moved is not None:
                moved.update((key, batch) for key in page if key in batch.moved)
            if batch.error is not None or batch.wanted:
                again.extend(key for key in page if key not in moved and failed_for_others(batch, some[key]))
        for key, batch in (await self._paths.follow(moved, causes)).items() if moved else ():
            outcomes[key] = batch.outcome(key)
            if failed_for_others(batch, outcomes[key]):
                again.append(key)
        if again:
            outcomes.update(await self._paths.load_again(again, causes, set(led)))
        return outcomes
