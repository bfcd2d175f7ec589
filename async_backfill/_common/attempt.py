"""Call user code and capture what it raises, except a genuine cancellation."""

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
    """The ``result`` of a call, or the ``error`` that it raised.

    ``stopped``
        whether the scope ended the call: its deadline passed, or it was cancelled.
    ``must_stop``
        whether the task, or the process, must end because of the error.
    """

    result: T | None
    error: BaseException | None
    stopped: bool
    must_stop: bool


async def attempt(call: Callable[[], Awaitable[T]], scope: CancelScope) -> Attempt[T]:
    """Await ``call()`` inside ``scope`` and return its result or error; raise only a genuine cancellation.

    User code may raise the backend's cancellation exception although nothing was cancelled. If it
    escaped, it would cancel the task group and every caller with it. It is genuine only when an
    enclosing scope is cancelled; otherwise it is an error like any other. See decision 3 in notes.md.
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
        except BaseException as raised:  # noqa: BLE001 - the caller hands it on
            error, must_stop = raised, isinstance(raised, (KeyboardInterrupt, SystemExit))
    stopped = scope.cancelled_caught or (error is not None and scope.cancel_called)
    return Attempt(result, error, stopped, must_stop)
