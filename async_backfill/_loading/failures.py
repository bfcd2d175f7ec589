"""From the one exception of a failed load to an exception for each of its waiters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill.errors import (
    AsyncBackfillError,
    CacheClosedError,
    CircuitOpenError,
    LoadCycleError,
    LoadError,
    LoadTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Hashable


class ClosingError(CacheClosedError):
    """The closing of the very cache that loads, as opposed to one that its source asks."""


def failure_of(key: Hashable, cause: BaseException) -> AsyncBackfillError:
    """Return a new exception for one caller who waited for ``key``, to be raised ``from cause``.

    Every waiter needs its own: an exception raised a thousand times collects a thousand tracebacks.
    """
    match cause:
        case ClosingError():
            return CacheClosedError(f"{cause} (key {key!r})")
        case LoadCycleError():
            return LoadCycleError(str(cause), key=key, circle=cause.circle)
        case CircuitOpenError():
            return CircuitOpenError(f"{cause} (key {key!r})", key=key)
        case LoadTimeoutError():
            return LoadTimeoutError(f"loading {key!r}: {cause}; nothing was cached", key=key)
    what = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    return LoadError(f"loading {key!r} failed: {what}; nothing was cached, the next get tries again", key=key)
