"""Remove what has expired while nobody asks for anything: a few values at a time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from anyio import sleep

from async_backfill._common.log_lines import CacheLog

if TYPE_CHECKING:
    from async_backfill.stores._fresh import FreshStore

_LOGGER: Final = logging.getLogger("async_backfill")
_BETWEEN_STEPS: Final = 0.01
_LEAST: Final = 1.0
_MOST: Final = 10.0


async def sweep_until_cancelled(fresh: FreshStore[Any, Any], cache: str | None) -> None:
    """Remove the expired values of ``fresh`` soon after they expired.

    It looks once in 1 to 10 seconds, and each 10 ms while there is more to remove. No step holds the event
    loop for long, whatever the number of values; there is no timer for a key.
    """
    while True:
        try:
            left = fresh.sweep()
        except Exception:
            log = CacheLog(_LOGGER, cache)
            log.exception("the store failed while expired values were removed from it")
            left = None
        if left == 0.0:
            await sleep(_BETWEEN_STEPS)
        else:
            await sleep(_MOST if left is None else min(max(left, _LEAST), _MOST))
