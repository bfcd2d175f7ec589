"""The usefulness of backfills: whether their keys are read, and which misses a backfill can prevent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from async_backfill.backfill._receipts.departures import Departures
from async_backfill.backfill._receipts.gate import UsefulnessGate
from async_backfill.backfill._receipts.receipts import Receipt, Receipts
from async_backfill.contracts import K
from async_backfill.records import BackfillCause, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.backfill._audit.log import AuditLog

_DEPARTURES: Final = 4
_WITHOUT_CAPACITY: Final = 100_000


class Usefulness(Generic[K]):
    """The receipts of backfills, the gate for successors, and the ghost list; kept while the cache is closed.

    ``read``
        how many keys were read of those that nobody had asked for.

    :param capacity: of the cache; the ghost list has four times as many keys.
    :param window: lookups after which a receipt is written at the latest.
    :param audit: the audit log that receipts are written to.
    :param lookups: returns the number of lookups that the cache has counted.
    """

    def __init__(
        self, *, capacity: int | None, window: int, audit: AuditLog, lookups: Callable[[], int]
    ) -> None:
        self._audit = audit
        self.read = 0
        self._lookups = lookups
        self.departures: Departures[K] = Departures(
            _WITHOUT_CAPACITY if capacity is None else _DEPARTURES * capacity
        )
        self.receipts: Receipts[K] = Receipts(window=window, report=self._report_backfill)
        self.gate = UsefulnessGate(report=self._report_successors)

    def resolved(self, key: K, read: bool) -> None:  # noqa: FBT001 - the store calls it by position
        """Record that ``key``, loaded by a backfill or as a successor, was read, or removed unread."""
        self.read += read
        if not self.receipts.resolved(key, read=read):
            self.gate.resolved(read=read)

    def write_receipts(self) -> None:
        """Write the receipts that have ended to the audit log."""
        self.receipts.write(self._lookups())
        self.gate.write()

    def flushed(self) -> None:
        """Record that the cache was cleared: all misses from now on are cold."""
        self.departures.forget()
        self.receipts.wake()

    def _report_backfill(self, receipt: Receipt) -> None:
        self._receipt(receipt.cause, receipt.number, receipt.loaded, receipt.read, calls=receipt.calls)

    def _report_successors(self, loaded: int, read: int) -> None:
        self._receipt(BackfillCause.SUCCESSORS, None, loaded, read, calls=0)

    def _receipt(
        self, cause: BackfillCause, number: int | None, loaded: int, read: int, *, calls: int
    ) -> None:
        self._audit.add(
            Status.RECEIPT,
            lookup=self._lookups(),
            cause=cause,
            backfill=number,
            loaded=loaded,
            read=read,
            calls=calls,
        )
