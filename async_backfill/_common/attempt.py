"""Calling code of the user's so that nothing it raises escapes, save a cancellation meant for us."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from anyio import current_effective_deadline, get_cancelled_exc_class

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import CancelScope

T = TypeVar("T")


@dataclass(slots=True)  # a frozen one takes three times as long to make, once for each load
class Attempt(Generic[T]):
    """What came of a call: its ``result``, or the ``error`` it raised.

    ``stopped`` says that the scope ended the call: its deadline passed, or it was cancelled.
    ``must_stop`` says that the exception wants the task (or the process) to end, too.
    """

    result: T | None
    error: BaseException | None
    stopped: bool
    must_stop: bool


async def attempt(call: Callable[[], Awaitable[T]], scope: CancelScope) -> Attempt[T]:
    """Await ``call()`` inside ``scope`` and return what came of it; raise only a real cancellation.

    A call may raise the backend's cancellation exception by itself, with nobody having cancelled
    it. Let through, it would cancel the task group and with it every caller; so it is told from a
    real one by whether an enclosing scope is in fact cancelled, and becomes an error like others.
    """
    result: T | None = None
    error: BaseException | None = None
    must_stop = False
    with scope:
        try:
            result = await call()
        except get_cancelled_exc_class() as cancelled:
            if current_effective_deadline() == -math.inf:
                raise
            error, must_stop = cancelled, True
        except BaseException as raised:  # noqa: BLE001 - the caller hands it to those who wait
            error, must_stop = raised, isinstance(raised, (KeyboardInterrupt, SystemExit))
    stopped = scope.cancelled_caught or (error is not None and scope.cancel_called)
    return Attempt(result, error, stopped, must_stop)
