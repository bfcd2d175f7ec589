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
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Generator
    from contextvars import Context

T = TypeVar("T")
_IN_A_ROW: Final = 64
_HAS_EAGER_TASKS: Final = sys.version_info >= (3, 12)


class Done(Generic[T]):
    """The ``result`` of a call that was over after its first step."""

    __slots__ = ("result",)

    def __init__(self, result: T) -> None:
        self.result = result


class Rest(Generic[T]):
    """What is left of a call after its first step; the task in whose name that was taken awaits it, once."""

    __slots__ = ("_context", "_coroutine", "_interrupted", "_yielded")

    def __init__(self, coroutine: Coroutine[Any, Any, T], context: Context, yielded: Any) -> None:
        self._coroutine = coroutine
        self._context = context
        self._yielded = yielded
        self._interrupted: BaseException | None = None

    def interrupt(self, error: BaseException) -> None:
        """Take note of what was raised into the task before it could await this: it is meant for the call."""
        self._interrupted = error

    def __await__(self) -> Generator[Any, Any, T]:
        """Take all other steps, in the context of the first."""
        run, send, throw = self._context.run, self._coroutine.send, self._coroutine.throw
        yielded, error = self._yielded, self._interrupted
        if error is not None and yielded is not None:
            yielded.cancel()
        try:
            while True:
                if error is None:
                    if getattr(yielded, "_asyncio_future_blocking", None) is False:
                        # Whoever awaits a future marks it, and his task takes the mark away.
                        yielded._asyncio_future_blocking = True  # noqa: SLF001 - the protocol of futures
                    try:
                        yield yielded
                    except BaseException as raised:  # noqa: BLE001 - the coroutine handles it
                        error = raised
                if error is None:
                    yielded = run(send, None)
                else:
                    thrown, error = error, None
                    yielded = run(throw, thrown)
        except StopIteration as end:
            result: T = end.value
            return result


class Raised:
    """A call that raised ``error`` in its first step: that is for the task in whose name it was taken."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def interrupt(self, error: BaseException) -> None:
        """Raise ``error`` instead, because it was raised into the task."""
        self._error = error

    def __await__(self) -> Generator[Any, Any, NoReturn]:
        """Raise the error."""
        raise self._error
        yield  # which makes this a generator


class EagerSteps:
    """Takes first steps in the running event loop."""

    __slots__ = ("_in_a_row", "_loop", "_ready")

    def __init__(self, loop: asyncio.AbstractEventLoop, ready: Collection[object]) -> None:
        self._loop = loop
        self._ready = ready
        self._in_a_row = 0

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
        self, call: Coroutine[Any, Any, T], task: asyncio.Task[Any] | None, context: Context
    ) -> Done[T] | Rest[T] | Raised:
        """Take the first step of ``call`` in the name of ``task``; return its result, or what is left."""
        loop, caller = self._loop, asyncio.current_task(self._loop)
        if caller is None or task is None:
            return Rest(call, context, None)
        asyncio._leave_task(loop, caller)  # noqa: SLF001 - documented for implementations of tasks
        asyncio._enter_task(loop, task)  # noqa: SLF001 - as above
        try:
            return Rest(call, context, context.run(call.send, None))
        except StopIteration as end:
            return Done(end.value)
        except BaseException as error:  # noqa: BLE001 - it is the task's
            return Raised(error)
        finally:
            asyncio._leave_task(loop, task)  # noqa: SLF001 - as above
            asyncio._enter_task(loop, caller)  # noqa: SLF001 - as above


def eager_steps() -> EagerSteps | None:
    """Return what takes first steps in the running event loop: asyncio's own, not uvloop or trio."""
    loop = current_token().native_token
    ready = getattr(loop, "_ready", None)
    if not isinstance(loop, asyncio.AbstractEventLoop) or not isinstance(ready, deque):
        return None
    return EagerSteps(loop, ready)


def running_task() -> asyncio.Task[Any] | None:
    """Return the task that calls this, if it is one of asyncio."""
    loop = current_token().native_token
    return asyncio.current_task(loop) if isinstance(loop, asyncio.AbstractEventLoop) else None
