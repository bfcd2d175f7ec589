"""The keeper of a cache's tasks: a task of its own, so that any task may open the cache, and any close it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Final

from anyio import (
    CancelScope,
    Event,
    create_task_group,
    current_time,
    get_cancelled_exc_class,
    move_on_after,
)
from anyio.lowlevel import current_token

from async_backfill._common.log_lines import CacheLog

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anyio.abc import TaskGroup

    Work = Callable[[], Coroutine[object, object, None]]

_LOGGER: Final = logging.getLogger("async_backfill.load")
_LAST_CALLS: Final = 5.0


class Keeper:
    """Runs the tasks of one opening in a task group inside a task of its own.

    A task group belongs to the task that entered it, and waits for all of its tasks. The first would bind the
    cache to the task that opened it, which a fixture or a framework ends before it closes the cache. The
    second would keep the cache from closing beside user code that does not yield to cancellation, such as a
    thread: tasks that go on are left to the event loop after five seconds.

    ``over``
        called once when the tasks have ended, or are about to: `end` was called, one of them failed, or the
        event loop is ending.
    ``errors``
        what tasks have raised.
    """

    def __init__(self, cache: str | None) -> None:
        self._log = CacheLog(_LOGGER, cache)
        self._scope = CancelScope()
        self._group: TaskGroup | None = None
        self._waiting: list[Work] = []
        self._late: set[object] = set()
        self._ended = Event()
        self.is_over = False
        self.over: Callable[[], object] = _nothing
        self.errors: tuple[BaseException, ...] = ()
        self._task: object = None

    def start(self) -> None:
        """Start the task that the others run in."""
        self._task = _start(self._run)

    def spawn(self, work: Work) -> None:
        """Start a task; once the others have ended, one that is cancelled from the start."""
        if self._group is not None:
            with suppress(RuntimeError):  # the group has ended in this turn
                self._group.start_soon(work)
                return
        elif not self.is_over:
            self._waiting.append(work)
            return
        task = _start(partial(_cancelled, work, self._log))
        if isinstance(task, asyncio.Task):  # the event loop does not keep it
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    def cancel(self) -> None:
        """Cancel all tasks."""
        self._scope.cancel()

    async def end(self) -> None:
        """Cancel all tasks and wait until they have ended, for five seconds at the most."""
        self._scope.cancel()
        late = current_time() + _LAST_CALLS
        cancelled: BaseException | None = None
        while not self._ended.is_set() and (left := late - current_time()) > 0:
            try:
                with move_on_after(left, shield=True):
                    await self._ended.wait()
            except get_cancelled_exc_class() as error:  # asyncio's own Task.cancel() gets through a shield
                cancelled = error
        if not self._ended.is_set():
            self._log.warning(
                "the cache is closed, but calls of its source or far tier go on: they did not end within "
                "%s s after they were cancelled",
                _LAST_CALLS,
            )
        if cancelled is not None:
            raise cancelled

    async def _run(self) -> None:
        try:
            with self._scope:
                async with create_task_group() as group:
                    self._group = group
                    for work in self._waiting:
                        group.start_soon(work)
                    try:
                        await Event().wait()  # no timer: whoever makes time jump would end it
                    finally:
                        self._end()
        except BaseExceptionGroup as errors:
            self.errors = errors.exceptions
            _, unexpected = errors.split((KeyboardInterrupt, SystemExit))
            if unexpected is not None:
                self._log.exception("a task of the cache has failed, so it is closed", exc_info=unexpected)
        except get_cancelled_exc_class():
            pass  # the event loop is ending
        finally:
            self._group = None
            self._end()
            self._ended.set()

    def _end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.over()


async def _cancelled(work: Work, log: CacheLog) -> None:
    with CancelScope() as scope:
        scope.cancel()
        try:
            await work()
        except Exception:
            log.exception("a task of a cache that is closed has failed")


def _start(work: Work) -> object:
    """Start a task that belongs to no task group, and return it."""
    loop = current_token().native_token
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.create_task(work())
    from trio.lowlevel import spawn_system_task  # noqa: PLC0415 - where there is no asyncio there is trio

    return spawn_system_task(work, context=copy_context())


def _nothing() -> None:
    """Do nothing."""
