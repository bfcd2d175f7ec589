"""The guard for writers that the store knows nothing of: what was written is compared with the source."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final, Generic

from anyio import CancelScope, current_time, sleep

from async_backfill._common.attempt import attempt
from async_backfill._common.error_text import error_line, key_text
from async_backfill._common.line_a_second import LineASecond
from async_backfill._envelopes.values.same import is_same
from async_backfill.contracts import K, Kept, V
from async_backfill.warming._reading_again import read_again
from async_backfill.warming._unguarded import Unguarded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.contracts import FarStore, Invalidations, Source

_LOGGER: Final = logging.getLogger("async_backfill.warming")
_MOST_ROUNDS: Final = 10
_CLEANING: Final = 5.0
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5
_CHANGING: Final = "it changed each time that it was read"


class Rechecked(Generic[K, V]):
    """Writes rows, reads them again, and mends those that have changed, until none has.

    So a change that was committed before the last look is in the store, and who commits later and tells the
    store comes later as well. For a moment an old value can be read.

    :param invalidations: is told which keys were mended or removed, for processes that have read them.
    """

    def __init__(
        self, store: FarStore[K, V], source: Source[K, V], invalidations: Invalidations[K] | None
    ) -> None:
        self._store = store
        self._source = source
        self._invalidations = invalidations
        self._plain = Unguarded(store)
        self._log = LineASecond(_LOGGER, current_time)

    def now(self) -> float:
        """Return the time of the event loop."""
        return self._plain.now()

    async def write(self, rows: Mapping[K, V], read_at: float, ttl: float | None) -> Kept[K]:
        """Write ``rows`` as the source has them at the end; those that it has no more are removed.

        When that fails they are removed, within five seconds: nobody would know which are old.
        """
        try:
            return await self._write(rows, read_at, ttl)
        except BaseException:
            await self._clean(tuple(rows))
            raise

    async def _write(self, rows: Mapping[K, V], read_at: float, ttl: float | None) -> Kept[K]:
        rejected: dict[K, str] = {}
        newer: list[K] = []
        left = dict(rows)
        for number in range(_MOST_ROUNDS):
            kept = await self._plain.write(left, read_at, ttl)
            if number:  # not before: who is told reads the store again
                await self._tell(tuple(left))
            rejected.update(kept.rejected)
            written = {key: value for key, value in left.items() if key not in kept.rejected}
            if not written:
                break
            again = await read_again(self._source, tuple(written))
            rejected.update((key, error_line(error)) for key, error in again.failed.items())
            newer.extend(again.gone)
            left = {
                key: value
                for key, value in again.rows.items()
                # With NaN in it a value is not equal to itself.
                if value != written[key] and not is_same(value, written[key])
            }
            await self._remove((*again.gone, *again.failed))
            if not left:
                break
        else:
            rejected.update(dict.fromkeys(left, _CHANGING))
            await self._remove(tuple(left))
        return Kept(kept=len(rows) - len(newer) - len(rejected), newer=newer, rejected=rejected)

    async def _clean(self, keys: tuple[K, ...]) -> None:
        end, pause = current_time() + _CLEANING, _FIRST_PAUSE
        why = "no answer"
        while current_time() < end:
            scope = CancelScope(deadline=end, shield=True)
            cleaned = await attempt(partial(self._remove, keys), scope)
            if not cleaned.stopped:
                if cleaned.error is None:
                    return
                if cleaned.must_stop:
                    raise cleaned.error
                why = error_line(cleaned.error)
                with CancelScope(deadline=end, shield=True):
                    await sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
        self._log.warning(
            "%s rows of a copy, from that of %s on, could be neither compared with the source nor "
            "removed everywhere, and may be old until they are copied again: %s",
            len(keys),
            key_text(keys[0]),
            why,
        )

    async def _remove(self, keys: tuple[K, ...]) -> None:
        if keys:
            await self._store.delete_many(keys)
            await self._tell(keys)

    async def _tell(self, keys: tuple[K, ...]) -> None:
        if self._invalidations is not None:
            await self._invalidations.publish(keys)
