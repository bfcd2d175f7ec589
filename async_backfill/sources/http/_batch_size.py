"""How many keys one batch request has: fewer once the service has found one too long."""

from __future__ import annotations

import logging
import time
from itertools import islice
from typing import TYPE_CHECKING, Final

from async_backfill._common.line_a_second import LineASecond
from async_backfill.sources.http._answers import HTTPSourceError, StatusError, TooLongError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from async_backfill.contracts import K

_LOGGER: Final = logging.getLogger("async_backfill.sources.http")
_TRIED_AGAIN: Final = 32


class BatchSize:
    """The largest number of keys in one request, now.

    It is halved when a request was too long, and doubled again after 32 requests of that size were not: a few
    long keys do not make all later requests small.

    :param most: the largest number at any time; 1 where there are no batches.
    :param too_long: the statuses with which the service says that a request is too long.
    :param host: the host of the service, for the log.
    """

    def __init__(self, most: int, too_long: Collection[int], *, host: str) -> None:
        self._most = most
        self._host = host
        self._too_long = too_long
        self._taken = 0
        self._log = LineASecond(_LOGGER, time.monotonic)
        self.now = most

    def pieces(self, job: Mapping[K, str]) -> Iterator[dict[K, str]]:
        """Yield ``job`` in pieces of this size."""
        left = iter(job.items())
        while piece := dict(islice(left, self.now)):
            yield piece

    def was_taken(self, keys: int) -> None:
        """Note that a request for ``keys`` keys was not too long."""
        if self.now < self._most and keys == self.now:
            self._taken += 1
            if self._taken == _TRIED_AGAIN:
                self.now, self._taken = min(2 * self.now, self._most), 0

    def cuts(self, error: HTTPSourceError, keys: int) -> bool:
        """Return whether ``error`` says that a request for ``keys`` keys was too long, and note that."""
        is_told = isinstance(error, StatusError) and error.status in self._too_long
        if not (is_told or isinstance(error, TooLongError)):
            return False
        self.now, self._taken = min(self.now, max(keys // 2, 1)), 0
        how = f"HTTP {error.status}" if isinstance(error, StatusError) else "its URL"
        self._log.warning(
            f"{self._host}: a request for {keys} keys was too long ({how}), at most {self.now} now"
        )
        return True
