"""Receipts: how many of the keys that a backfill loaded were read before they were removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from async_backfill.records import BackfillCause

_USELESS_BELOW: Final = 0.05
_REST_AFTER: Final = 2


@dataclass(slots=True)
class Receipt:
    """What became of the keys of a backfill: how many came, in how many calls, and how many were read.

    ``coming``
        the keys that are being loaded: whether each was read before all of them had come, ``None`` unless it
        was read or removed.
    """

    number: int
    cause: BackfillCause
    keys: Collection[Any]
    lookup: int = 0
    loaded: int = 0
    unresolved: int = 0
    read: int = 0
    calls: int = 0
    landed: bool = False
    coming: dict[Any, bool | None] = field(default_factory=dict)


class Receipts(Generic[K]):
    """Follows the keys of each backfill until all are read or removed, or for ``window`` lookups.

    A backfill was useless when less than a twentieth of its keys were read. After two useless ones in a
    row backfills are `at_rest` until `wake` is called.

    :param window: lookups after which a receipt is written at the latest.
    :param report: called by `write` with the receipt of each backfill.
    """

    def __init__(self, *, window: int, report: Callable[[Receipt], None]) -> None:
        self._window = window
        self._report = report
        self._open: dict[int, Receipt] = {}
        self._owners: dict[K, int] = {}
        self._ended: list[Receipt] = []
        self._useless = 0
        self._counts_from: int | None = 0
        self.counted = 0

    def __len__(self) -> int:
        return len(self._owners)

    @property
    def at_rest(self) -> bool:
        """Whether the last two backfills were useless, and `wake` was not called since."""
        return self._useless >= _REST_AFTER

    def wake(self) -> None:
        """Allow backfills again."""
        self._useless = 0

    def watch(self, keys: Collection[K], /, *, anew: bool) -> None:  # noqa: ARG002 - it follows them anyway
        """Count in ``counted`` the keys that are read of the next backfill and of later ones, if ``anew``."""
        if anew:
            self._counts_from = None
            self.counted = 0

    def begin(self, number: int, cause: BackfillCause, keys: Collection[K]) -> None:
        """Open the receipt of backfill ``number``, which ``cause`` has started, for ``keys``."""
        if self._counts_from is None:
            self._counts_from = number
        self._open[number] = Receipt(number, cause, keys)

    def asks(self, number: int, keys: Iterable[K]) -> None:
        """Follow ``keys``, which backfill ``number`` is about to load."""
        receipt = self._open[number]
        receipt.coming = dict.fromkeys(keys)
        self._owners.update(dict.fromkeys(receipt.coming, number))

    def came(self, number: int, delivered: Collection[K]) -> None:
        """Record that of the keys that backfill ``number`` asked for it has loaded ``delivered``."""
        receipt = self._open[number]
        coming, receipt.coming = receipt.coming, {}
        receipt.loaded += len(delivered)
        for key, read in coming.items():
            if read is not None:
                receipt.read += read and key in delivered
            elif self._owners.get(key) == number:
                if key in delivered:
                    receipt.unresolved += 1
                else:
                    del self._owners[key]

    def landed(self, number: int, lookup: int, calls: int) -> None:
        """Record that backfill ``number`` has ended after ``calls``; what it still awaits did not come."""
        receipt = self._open[number]
        self.came(number, ())
        receipt.landed, receipt.lookup, receipt.calls = True, lookup, calls
        if not receipt.loaded:
            del self._open[number]
        elif not receipt.unresolved:
            self._end(number)

    def resolved(self, key: K, *, read: bool) -> bool:
        """Record that ``key`` was read, or removed unread; return whether a backfill had loaded it."""
        number = self._owners.pop(key, None)
        if number is None:
            return False
        receipt = self._open[number]
        if self._counts_from is not None and number >= self._counts_from:
            self.counted += read
        if key in receipt.coming:
            receipt.coming[key] = read
            return True
        receipt.read += read
        receipt.unresolved -= 1
        if receipt.landed and not receipt.unresolved:
            self._end(number)
        return True

    def write(self, lookup: int) -> None:
        """Report the receipts that have ended; first end those whose ``window`` is over at ``lookup``."""
        while self._open:
            number, receipt = next(iter(self._open.items()))
            if not receipt.landed or lookup - receipt.lookup < self._window:
                break
            for key in receipt.keys:
                if self._owners.get(key) == number:
                    del self._owners[key]
            self._end(number)
        while self._ended:
            self._report(self._ended.pop(0))

    def _end(self, number: int) -> None:
        receipt = self._open.pop(number)
        self._ended.append(receipt)
        self._useless = self._useless + 1 if receipt.read < _USELESS_BELOW * receipt.loaded else 0
