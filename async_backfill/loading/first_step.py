"""The first step of a load, taken at once by its caller in the name of the worker that owns the load.

Most of what a lone miss costs is two turns of the event loop: one until its batch is taken up, one until
the caller goes on. Where nothing else is ready in this turn nobody can join the batch any more, so there is
nothing to wait for; and a load that never waits is then over without a turn.

The step must not be taken as the caller, who may be cancelled while others wait for the load: what a source
enters (``asyncio.timeout``, a cancel scope, a task group) remembers the current task and must be left in the
same one. So for one step the sleeping worker is the current task, by means of what asyncio documents for
task implementations ("Extending", "Task lifetime support"), and it takes all others itself. They run in one
context, or tokens of context variables would not fit.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Generator
    from contextvars import Context

T = TypeVar("T")
_IN_A_ROW: Final = 64
_HAS_EAGER_TASKS: Final = sys.version_info >= (3, 12)


class Rest(Generic[T]):
    """What is left of a coroutine after its first step, for the task in whose name that was taken.

    It is awaited once.

    :param yielded: what the coroutine waits for.
    :param raised: what it raised in its first step, which the task must hear of and nobody else.
    """

    __slots__ = ("_context", "_coroutine", "_raised", "_yielded", "interrupted")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        context: Context,
        *,
        yielded: Any = None,
        raised: BaseException | None = None,
    ) -> None:
        self._coroutine = coroutine
        self._context = context
        self._yielded = yielded
        self._raised = raised
        self.interrupted: BaseException | None = None
        """What was raised into the task before it could await this."""

    def __await__(self) -> Generator[Any, Any, T]:
        """Take all other steps, in the context of the first."""
        if self._raised is not None:
            raise self._raised
        run, send, yielded, error = self._context.run, self._coroutine.send, self._yielded, self.interrupted
        if error is not None and yielded is not None:
            yielded.cancel()
        try:
            while True:
                if error is None:
                    if getattr(yielded, "_asyncio_future_blocking", None) is False:
                        # Whoever waits for a future marks it, and his task takes the mark away.
                        yielded._asyncio_future_blocking = True  # noqa: SLF001 - the protocol of futures
                    try:
                        yield yielded
                    except BaseException as thrown:  # noqa: BLE001 - it is the coroutine's to handle
                        error = thrown
                if error is None:
                    yielded = run(send, None)
                else:
                    thrown_in, error = error, None
                    yielded = run(self._coroutine.throw, thrown_in)
        except StopIteration as end:
            result: T = end.value
            return result


class FirstSteps:
    """Takes first steps in the running event loop."""

    __slots__ = ("_in_a_row", "_loop", "_ready")

    def __init__(self, loop: asyncio.AbstractEventLoop, ready: Collection[object]) -> None:
        self._loop = loop
        self._ready = ready
        self._in_a_row = 0

    def running_task(self) -> asyncio.Task[Any] | None:
        """Return the task that calls this."""
        return asyncio.current_task(self._loop)

    def may_take_one(self) -> bool:
        """Return whether nobody else runs before the next turn of the event loop.

        After 64 times in a row it says no once, so that who asks in a loop lets others run now and then.
        """
        if self._ready or (_HAS_EAGER_TASKS and self._loop.get_task_factory() is not None):
            return False  # an eager task runs while the one that started it may start more
        self._in_a_row += 1
        if self._in_a_row > _IN_A_ROW:
            self._in_a_row = 0
            return False
        return True

    def take(
        self, coroutine: Coroutine[Any, Any, T], task: asyncio.Task[Any], context: Context
    ) -> tuple[T | None, Rest[T] | None]:
        """Take the first step of ``coroutine`` in the name of ``task``; return its result, or its rest."""
        loop, caller = self._loop, asyncio.current_task(self._loop)
        if caller is None:
            return None, Rest(coroutine, context)
        asyncio._leave_task(loop, caller)  # noqa: SLF001 - documented for implementations of tasks
        asyncio._enter_task(loop, task)  # noqa: SLF001 - as above
        try:
            return None, Rest(coroutine, context, yielded=context.run(coroutine.send, None))
        except StopIteration as end:
            return end.value, None
        except BaseException as error:  # noqa: BLE001 - it is the task's
            return None, Rest(coroutine, context, raised=error)
        finally:
            asyncio._leave_task(loop, task)  # noqa: SLF001 - as above
            asyncio._enter_task(loop, caller)  # noqa: SLF001 - as above


def first_steps() -> FirstSteps | None:
    """Return what takes first steps in the running event loop: asyncio's own, not uvloop or trio."""
    loop = current_token().native_token
    ready = getattr(loop, "_ready", None)
    if not isinstance(loop, asyncio.AbstractEventLoop) or not isinstance(ready, deque):
        return None
    return FirstSteps(loop, ready)
