"""Calls of the source and the store, each in bounded time, and what stops a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from anyio import CancelScope, current_time

from async_backfill._common.attempt import attempt
from async_backfill._common.error_text import error_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class StoppedError(Exception):
    """The copy cannot go on; the text says at what, the ``cause`` is that of the `CopyError`."""

    def __init__(self, what: str, cause: BaseException) -> None:
        super().__init__(what)
        self.cause = cause


class TooManyDeadError(StoppedError):
    """More rows could not be copied than may be left out."""


async def in_time(
    call: Callable[[], Awaitable[T]], seconds: float | None, setting: str
) -> tuple[T | None, BaseException | None]:
    """Return the result of ``call()``, or its error, after ``seconds`` at the latest.

    :raises StoppedError: for an error that ends the task or the process.
    """
    scope = CancelScope() if seconds is None else CancelScope(deadline=current_time() + seconds)
    done = await attempt(call, scope)
    if done.must_stop and done.error is not None and not done.stopped:
        raise StoppedError("a call was ended", done.error)
    if done.stopped:
        late = TimeoutError(f"took longer than {seconds} s ({setting})")
        late.__cause__ = done.error
        return None, late
    return done.result, done.error


def page_error(error: BaseException) -> StoppedError:
    """Return the error of a page that could not be written."""
    return StoppedError(f"a page could not be written: {error_line(error)}", error)
