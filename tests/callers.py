"""Callers for the tests: calls that run at the same time, and what came of each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import looptime
import trio.testing
from anyio import CancelScope, create_task_group, fail_after, get_cancelled_exc_class
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from async_backfill import AsyncBackfillError

FOR_EVER: Final = 1e5
PENDING: Final = "pending"
CANCELLED: Final = "cancelled"


class Caller:
    """One call in a task of its own; ``outcome`` is its value, or the error of ours that it ended with."""

    def __init__(self, function: Callable[..., Awaitable[Any]], *args: object) -> None:
        self.outcome: Any = PENDING
        self._function = function
        self._args = args
        self._scope = CancelScope()

    def cancel(self) -> None:
        self._scope.cancel()

    async def run(self) -> None:
        with self._scope:
            try:
                self.outcome = await self._function(*self._args)
            except AsyncBackfillError as error:
                self.outcome = error
        if self._scope.cancelled_caught:
            self.outcome = CANCELLED


def start(tasks: TaskGroup, function: Callable[..., Awaitable[Any]], *args: object) -> Caller:
    """Start ``function(*args)`` in a task of its own."""
    caller = Caller(function, *args)
    tasks.start_soon(caller.run)
    return caller


async def outcomes(function: Callable[..., Awaitable[Any]], *calls: tuple[object, ...]) -> list[Any]:
    """Call ``function`` with each of ``calls`` at the same time; return what came of them, in order.

    Callers who wait for ever are an error, not a test that hangs.
    """
    with fail_after(FOR_EVER):
        async with create_task_group() as tasks:
            callers = [start(tasks, function, *args) for args in calls]
    return [caller.outcome for caller in callers]


async def leaked_cancellation() -> BaseException:
    """Return a cancellation that the backend raised and that is over: nobody is cancelled by it."""
    leaked: list[BaseException] = []
    with CancelScope() as scope:
        scope.cancel()
        try:
            await checkpoint()
        except get_cancelled_exc_class() as error:
            leaked.append(error)
            raise
    return leaked[0]


def run(main: Callable[[], Awaitable[Any]], backend: str) -> Any:
    """Run ``main()`` in an event loop of its own on ``backend``, in virtual time, and return its value."""
    if backend == "asyncio":
        options = {"loop_factory": lambda: looptime.new_event_loop(start=0.0, end=None)}
    else:
        options = {"clock": trio.testing.MockClock(autojump_threshold=0.0)}
    return anyio.run(main, backend=backend, backend_options=options)
