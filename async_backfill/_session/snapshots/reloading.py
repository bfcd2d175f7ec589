"""Load restored keys again, in batches behind live misses: first what is missing, then what may be old."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic

from anyio import sleep

from async_backfill._session.snapshots.holdings import Holdings, steps
from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError
from async_backfill.outcomes import ABSENT, Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.loader import Loader
    from async_backfill._session.snapshots.notes import Notes

_SHARE: Final = 0.5
"""The share of ``stale_for`` over which the batches are spread: what fails has as long for another try."""
_LARGEST_PART: Final = 0.25
"""The part of that time between two batches at the most: a small snapshot is tried again as well."""
_LEAST_PAUSE: Final = 0.01
_AFTER_FAILURE: Final = 1.0
_A_STEP: Final = 128


class Reloading(Generic[K, V]):
    """Loads keys through ``loader``, ``batch`` at a time, as refreshes: behind live misses."""

    def __init__(
        self, loader: Loader[K, V], holdings: Holdings[K, V], notes: Notes[K], *, batch: int
    ) -> None:
        self._loader = loader
        self._holdings = holdings
        self._notes = notes
        self._batch = batch

    async def load(self, keys: dict[K, None], add_later: Callable[[Sequence[K]], None]) -> None:
        """Load those of ``keys`` that are not cached, at most as many as there are places, the last ones.

        :param add_later: restores those of some keys that need no load.
        """
        most = self._holdings.store.capacity
        for key in tuple(islice(keys, 0 if most is None else max(0, len(keys) - most))):
            del keys[key]
        # Else they would be younger than all that has outlived as many others: the log knows of no hits.
        survivors = self._holdings.keys() if keys and self._holdings.order == "lru" else ()
        while keys:
            some = list(islice(keys, self._batch))
            peek, later = self._holdings.store.peek, self._notes.later
            missing = [key for key in some if key not in later and peek(key, ABSENT) is ABSENT]
            if not await self._refresh(missing):  # a source that fails is not asked for the rest
                some = list(keys)
            add_later(some)
            for key in some:
                keys.pop(key, None)
        for part in steps(reversed([key for _, key in survivors])):
            self._holdings.touch(part)
            await sleep(0.0)

    async def renew(self, seconds: float) -> None:
        """Load what is marked, spread over a part of ``seconds``; what fails is tried again until then."""
        marked = self._notes.marked
        share = min(_LARGEST_PART, self._batch / max(1, len(marked)))
        pause = max(_LEAST_PAUSE, seconds * _SHARE * share)
        while marked:
            some = list(islice(marked, self._batch))
            held = [key for key in some if self._holdings.store.peek(key, ABSENT) is not ABSENT]
            await self._refresh(held)
            failed = [key for key in held if key in marked]
            for key in some:
                marked.pop(key, None)
            marked.update(dict.fromkeys(failed))  # behind the others
            await sleep(max(pause, _AFTER_FAILURE) if failed else pause)

    async def _refresh(self, keys: Sequence[K]) -> bool:
        """Load ``keys``; return whether the source answered for some of them, if there are any."""
        try:
            joined: dict[K, Batch[K, V]] = {key: self._loader.batch_queue.join_refresh(key) for key in keys}
            await self._loader.wait({batch: key for key, batch in joined.items()})
        except CacheClosedError:
            await sleep(_AFTER_FAILURE)  # the cache cancels this
            return False
        failed = (batch.error or isinstance(batch.found.get(key), Failed) for key, batch in joined.items())
        return not keys or not all(failed)


async def remove_marked(holdings: Holdings[K, V], notes: Notes[K]) -> None:
    """Remove the values that are marked, a few at a time."""
    while notes.marked:
        some = list(islice(notes.marked, _A_STEP))
        for key in some:
            del notes.marked[key]
        holdings.remove(some)
        await sleep(0.0)
