"""Eager start of a load: its caller takes the first step at once, with a worker as the current task.

Most of the cost of a lone miss is two turns of the event loop: one until a worker takes the batch, one until
the caller continues. When nothing else is ready in this turn, no other caller can join the batch, so waiting
gains nothing; a load that never awaits anything then ends without a turn.

The step must not run as the caller's own task. The caller may be cancelled while others wait for the load,
and what a source enters (``asyncio.timeout``, a cancel scope, a task group) remembers the current task and
must be left in the same one. So for this one step a sleeping worker is the current task, by the functions
that asyncio documents for task implementations ("Extending", "Task lifetime support"); the worker takes all
other steps itself. All steps run in one context, or tokens of context variables would not fit.

See decision 33 in notes.md.
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
_NOT_BEGUN: Final = object()
_IN_A_ROW: Final = 64
_EXPERIENCE: Final = 32
# Documented for implementations of tasks; here, because a lookup in the module would show in a lone miss.
_current_task: Final = asyncio.current_task
_leave_task: Final = asyncio._leave_task  # noqa: SLF001 - as above
_enter_task: Final = asyncio._enter_task  # noqa: SLF001 - as above
_HAS_EAGER_TASKS: Final = sys.version_info >= (3, 12)


class Rest(Generic[T]):
    """The rest of a call after its first step, or all of it; awaited once, by the task that it belongs to.

    All steps run in ``context``, on any event loop; nothing that the call sets there is seen by its task.

    :param yielded: what the first step yielded; not given, all steps are taken by the task.
    """

    __slots__ = ("_context", "_coroutine", "_interrupted", "_yielded")

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], context: Context, yielded: Any = _NOT_BEGUN
    ) -> None:
        self._coroutine: Any = coroutine
        self._context: Any = context
        self._yielded = yielded
        self._interrupted: BaseException | None = None

    def interrupt(self, error: BaseException) -> None:
        """Keep ``error``, raised into the task before it could await this; the call gets it later."""
        self._interrupted = error

    def __await__(self) -> Generator[Any, Any, T]:
        """Take all steps that are left, in the context of the first one."""
        run, send, throw = self._context.run, self._coroutine.send, self._coroutine.throw
        yielded, error = self._yielded, self._interrupted
        sent = thrown = None
        if error is not None and yielded is not None:
            yielded.cancel()
        try:
            if yielded is _NOT_BEGUN:
                yielded = run(send, None)
            while True:
                if error is None:
                    if getattr(yielded, "_asyncio_future_blocking", None) is False:
                        # Awaiting a future marks it, and the task that gets it removes the mark.
                        yielded._asyncio_future_blocking = True  # noqa: SLF001 - the protocol of futures
                    try:
                        sent = yield yielded
                    except BaseException as raised:  # noqa: BLE001 - the coroutine handles it
                        error = raised
                if error is None:
                    yielded = run(send, sent)
                else:
                    thrown, error = error, None
                    yielded = run(throw, thrown)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            # This frame is part of the traceback of an error, and must hold neither that nor the context.
            run = send = throw = yielded = sent = error = thrown = None
            self._coroutine = self._context = self._yielded = self._interrupted = None


class Raised:
    """A call that raised ``error`` in its first step; the task that the step was taken for raises it."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error: Any = error

    def interrupt(self, error: BaseException) -> None:
        """Raise ``error`` instead, because it was raised into the task meanwhile."""
        self._error = error

    def __await__(self) -> Generator[Any, Any, NoReturn]:
        """Raise the error."""
        error, self._error = self._error, None
        try:
            raise error
            yield  # which makes this a generator
        finally:
            del error  # or error, traceback and this frame would keep each other alive


class EagerSteps:
    """Takes the first steps of calls in the running event loop.

    ``left``
        how many may be taken before others must have a turn: a caller in a loop lets them run.

    :param loop: the running event loop.
    :param ready: the callbacks that run in the loop's next turn.
    """

    __slots__ = ("_loop", "_ready", "left")

    def __init__(self, loop: asyncio.AbstractEventLoop, ready: Collection[object]) -> None:
        self._loop = loop
        self._ready = ready
        self.left = _IN_A_ROW

    def may_take_one(self) -> bool:
        """Return whether nothing else is ready to run in this turn of the event loop."""
        # An eager task runs while the one that started it may start more.
        return not self._ready and not (_HAS_EAGER_TASKS and self._loop.get_task_factory() is not None)

    async def next_turn(self) -> None:
        """Let others run."""
        self.left = _IN_A_ROW
        await asyncio.sleep(0)

    def loads(self, keys: int) -> None:
        """Take note that a batch of so many keys is about to be loaded, which was queued."""

    def take(
        self, call: Coroutine[Any, Any, T], task: asyncio.Task[Any] | None, context: Context
    ) -> T | Rest[T] | Raised:
        """Take the first step of ``call`` as if ``task`` ran, not the caller; return its result or rest."""
        loop = self._loop
        caller = _current_task(loop)
        if caller is None or task is None:
            return Rest(call, context)
        _leave_task(loop, caller)
        _enter_task(loop, task)
        try:
            return Rest(call, context, context.run(call.send, None))
        except StopIteration as end:
            result: T = end.value
            return result
        except BaseException as error:  # noqa: BLE001 - it is the task's
            # Without this frame, which knows the caller.
            return Raised(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
        finally:
            _leave_task(loop, task)
            _enter_task(loop, caller)


class StepsByExperience(EagerSteps):
    """The same where nobody tells what is ready: on uvloop.

    When the latest 32 batches had one key each, so will the next. Where that ends, one key is loaded apart
    from those that come in the same turn, and the next 32 batches are queued again.
    """

    __slots__ = ("_caller", "_lone")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop, ())
        self._lone = 0
        self._caller: asyncio.Task[Any] | None = None

    def may_take_one(self) -> bool:
        """Return whether it looks as if nobody else asked in this turn; another task that did is proof."""
        if self._lone < _EXPERIENCE:
            return False
        caller = _current_task(self._loop)
        if self._caller is None:
            self._caller = caller
            self._loop.call_soon(self._turn_is_over)
        return self._caller is caller

    def loads(self, keys: int) -> None:
        """Take note that a batch of so many keys is about to be loaded, which was queued."""
        self._lone = self._lone + 1 if keys == 1 else 0

    def _turn_is_over(self) -> None:
        self._caller = None


def eager_steps() -> EagerSteps | None:
    """Return the eager steps of the running event loop; ``None`` on trio."""
    loop = current_token().native_token
    if not isinstance(loop, asyncio.AbstractEventLoop):
        return None
    ready = getattr(loop, "_ready", None)
    return EagerSteps(loop, ready) if isinstance(ready, deque) else StepsByExperience(loop)


def running_task() -> asyncio.Task[Any] | None:
    """Return the current asyncio task; ``None`` on trio."""
    loop = current_token().native_token
    return asyncio.current_task(loop) if isinstance(loop, asyncio.AbstractEventLoop) else None
