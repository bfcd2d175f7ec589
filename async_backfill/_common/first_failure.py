"""Collect failures, and raise the first of them, without keeping what their loads had in hand.

A frame that holds an error which was raised through it, its traceback and the error keep each other alive
until the garbage collector finds them, and with them all local variables on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def raise_first(failures: MutableMapping[Any, Exception]) -> NoReturn:
    """Raise the first of ``failures``, and empty it."""
    failure = next(iter(failures.values()))
    failures.clear()
    try:
        raise failure
    finally:
        del failure


def let_go(error: Exception) -> Exception:
    """Return ``error``, which was raised in a call of the caller's, without the frames of both."""
    inner = error.__traceback__ and error.__traceback__.tb_next
    return error.with_traceback(inner and inner.tb_next)
