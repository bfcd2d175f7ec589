"""The load of one backfill: through the loader, with a receipt, and judged by its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from anyio import CancelScope

from async_backfill._common.attempt import attempt
from async_backfill.backfill._episode import cause_line, is_value, judged
from async_backfill.contracts import K
from async_backfill.errors import CacheClosedError
from async_backfill.records import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from async_backfill.backfill._receipts.receipts import Receipts
    from async_backfill.contracts import Selection, Source


class BulkLoad(Generic[K]):
    """Loads the keys of a backfill; what went wrong is reported, never raised.

    :param source: loads the keys; in a cache the loader.
    :param selection: forgets the keys that do not exist.
    :param receipts: records which of the keys are read; ``None`` without probation.
    :param lookups: the number of lookups that the cache has counted.
    """

    def __init__(
        self,
        source: Source[K, object],
        selection: Selection[K],
        receipts: Receipts[K] | None,
        lookups: Callable[[], int],
    ) -> None:
        self._source = source
        self._selection = selection
        self._receipts = receipts
        self._lookups = lookups

    async def load(
        self, number: int, keys: Sequence[K], report: Callable[[Status, int, str | None], None]
    ) -> None:
        """Load ``keys`` for backfill ``number``.

        :param report: called when it begins and when it has ended, with the status, the number of keys that
            were delivered, and what went wrong.
        """
        report(Status.STARTED, 0, None)
        status, loaded = Status.CANCELLED, 0
        delivered: Collection[K] = ()
        if self._receipts is not None:
            self._receipts.begin(number, keys, self._lookups())
        error: str | None = "the cache closed"
        try:
            call = await attempt(lambda: self._source.load_many(keys), CancelScope())
            if call.error is None:
                answers = call.result or {}
                self._selection.drop([key for key in keys if key not in answers])
                status, loaded, error = judged(answers)
                delivered = {key for key, answer in answers.items() if is_value(answer)}
            elif not isinstance(call.error, CacheClosedError):
                status, error = Status.FAILED, cause_line(call.error)
        finally:
            report(status, loaded, error)
            if self._receipts is not None:
                self._receipts.landed(number, keys, delivered, self._lookups())
