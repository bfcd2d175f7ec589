"""The keeper of a cache's tasks: a task of its own, so that closing waits for none that does not end."""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, Final, NoReturn

from anyio import (
    CancelScope,
    Event,
    create_task_group,
    get_cancelled_exc_class,
    move_on_after,
    sleep_forever,
)
from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anyio.abc import TaskGroup

    Work = Callable[[], Coroutine[object, object, None]]

_LOGGER: Final = logging.getLogger("async_backfill.load")
_LAST_CALLS: Final = 5.0


class Keeper:
    """Runs the tasks of one opening in a task group inside a task of its own.

    A task group waits for all of its tasks, so one whose user code does not yield to cancellation, such as a
    thread, would keep the cache from closing. When ``tasks`` is cancelled the keeper's group is cancelled
    too, and is waited for as long as last writes are. Tasks that go on are left to the event loop.

    :param tasks: the task group of the cache; what a task raises is raised there.
    """

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._scope = CancelScope()
        self._group: TaskGroup | None = None
        self._waiting: list[Work] = []
        self._is_over = False
        self._ended = Event()
        self._errors: tuple[BaseException, ...] = ()
        self._task = _start(self._run)
        tasks.start_soon(self._hold)

    def spawn(self, work: Work) -> None:
        """Start a task."""
        if self._group is not None:
            self._group.start_soon(work)
        elif self._is_over:  # what is started now must see that it is cancelled
            self._tasks.start_soon(work)
        else:
            self._waiting.append(work)

    async def _run(self) -> None:
        try:
            with self._scope:
                async with create_task_group() as group:
                    self._group = group
                    for work in self._waiting:
                        group.start_soon(work)
                    try:
                        await sleep_forever()
                    finally:
                        self._group, self._is_over = None, True  # from now on it may close at any moment
        except BaseExceptionGroup as errors:
            self._errors = errors.exceptions
        except get_cancelled_exc_class():
            self._tasks.cancel_scope.cancel()
        finally:
            self._group, self._is_over = None, True
            self._ended.set()

    async def _hold(self) -> None:
        """End the keeper when the cache ends, and the cache when a task has failed."""
        try:
            await self._ended.wait()
        finally:
            self._scope.cancel()
            with move_on_after(_LAST_CALLS, shield=True):
                await self._ended.wait()
            if not self._ended.is_set():
                _LOGGER.warning(
                    "the cache is closed, but calls of its source or far tier go on: they did not end within "
                    "%s s after they were cancelled",
                    _LAST_CALLS,
                )
            for error in self._errors:
                self._tasks.start_soon(_raise, error)


async def _raise(error: BaseException) -> NoReturn:
    raise error


def _start(work: Work) -> object:
    """Start a task that belongs to no task group, and return it."""
    loop = current_token().native_token
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.create_task(work())
    from trio.lowlevel import spawn_system_task  # noqa: PLC0415 - where there is no asyncio there is trio

    return spawn_system_task(work, context=copy_context())
