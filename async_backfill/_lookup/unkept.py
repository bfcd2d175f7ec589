"""Values that the near tier (L1) could not keep: counted, and said in the log now and then."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.line_a_second import LineASecond
from async_backfill._common.log_lines import CacheLog

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from async_backfill._lookup.counters import Counters
    from async_backfill.contracts import Clock, K, Store

_LOGGER: Final = logging.getLogger("async_backfill")


class Unkept:
    """Counts the loaded values that were not kept, and logs at most one line a second."""

    def __init__(self, counters: Counters, clock: Clock, cache: str | None) -> None:
        self._counters = counters
        self._log = LineASecond(CacheLog(_LOGGER, cache), clock)

    def note(self, key: Hashable, error: Exception) -> None:
        """Record that the value of ``key`` was not kept, because of ``error``."""
        self._counters.unkept += 1
        self._log.warning(
            "the value of %r was not kept in memory, those who waited were served: %s: %s",
            key,
            type(error).__name__,
            error,
            error=error,
        )


def one_by_one(keep: Callable[[K], object], keys: Iterable[K], store: Store[K, Any]) -> dict[K, Exception]:
    """Call ``keep`` with each of ``keys``; remove those for which it fails from ``store``, and return why."""
    failures: dict[K, Exception] = {}
    for key in keys:
        try:
            keep(key)
        except Exception as error:  # noqa: BLE001 - one key must not cost the others
            with suppress(Exception):  # of the hash of the key: it was the failure
                failures[key] = error
            with suppress(Exception):  # the old value must not outlive the new one
                store.delete_many((key,))
    return failures
