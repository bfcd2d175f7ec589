"""The exceptions of a failed load: a new one for each waiter, made from the one cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._common.error_text import error_line, key_text, one_line
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
    shown = key_text(key)
    match cause:
        case ClosingError():
            return CacheClosedError(f"{cause} (key {shown})")
        case LoadCycleError():
            return LoadCycleError(one_line(str(cause)), key=key, cycle=cause.cycle)
        case CircuitOpenError():
            return CircuitOpenError(f"{cause} (key {shown})", key=key)
        case LoadTimeoutError():
            return LoadTimeoutError(f"loading {shown}: {one_line(str(cause))}; nothing was cached", key=key)
    what = error_line(cause)
    return LoadError(f"loading {shown} failed: {what}; nothing was cached, the next get tries again", key=key)
