"""The exceptions of a failed load: a new one for each waiter, made from the one cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._common.shown import error_text, shown
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


CLOSED: Final = "the cache closed before the load ended"


class ClosingError(CacheClosedError):
    """The cache that loads was closed, as opposed to another cache that its source uses."""


class GivenUpError(LoadError):
    """The load of a batch was ended because no caller waited for it any more."""

    def __init__(self) -> None:
        super().__init__("cancelled: no caller waits for it any more")


def failure_of(key: Hashable, cause: BaseException) -> AsyncBackfillError:
    """Return a new exception for one caller who waited for ``key``, to be raised ``from cause``.

    Each waiter needs its own: one exception raised a thousand times collects a thousand tracebacks.
    """
    name = shown(key)
    match cause:
        case ClosingError():
            return CacheClosedError(f"{cause} (key {name})")
        case LoadCycleError():
            return LoadCycleError(str(cause), key=key, cycle=cause.cycle)
        case CircuitOpenError():
            return CircuitOpenError(f"{cause} (key {name})", key=key)
        case LoadTimeoutError():
            return LoadTimeoutError(f"loading {name}: {cause}; nothing was cached", key=key)
    what = error_text(cause)
    return LoadError(f"loading {name} failed: {what}; nothing was cached, the next get tries again", key=key)
