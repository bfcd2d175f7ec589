"""What goes on while nobody looks: it begins and ends with the server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from async_backfill._common.tasks_aside import tasks_aside
from async_backfill.admin._refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any, TypeAlias

    from anyio.abc import TaskGroup

    Task: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_NOT_THERE = (
    "This page is part of an application that does not run what it begins: see `Application.running`."
)


class Background:
    """Runs tasks inside ``running()``; outside of it none."""

    def __init__(self) -> None:
        self._tasks: TaskGroup | None = None

    @property
    def is_running(self) -> bool:
        """Whether a task can be started."""
        return self._tasks is not None

    @asynccontextmanager
    async def running(self, *always: Task) -> AsyncIterator[None]:
        """Run ``always``, and what is started meanwhile, inside ``async with``; once at a time."""
        if self._tasks is not None:
            yield
            return
        async with tasks_aside() as tasks:
            self._tasks = tasks
            try:
                for each in always:
                    tasks.start_soon(each)
                yield
            finally:
                self._tasks = None

    def start(self, task: Task) -> None:
        """Start a task, which must not raise.

        :raises RefusedError: outside of `running`.
        """
        if self._tasks is None:
            raise RefusedError(503, _NOT_THERE)
        self._tasks.start_soon(task)
