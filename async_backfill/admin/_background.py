"""What goes on while nobody looks: it begins and ends with the server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import create_task_group

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
        failed: Exception | None = None
        async with create_task_group() as tasks:
            self._tasks = tasks
            try:
                for each in always:
                    tasks.start_soon(each)
                yield
            except Exception as error:  # noqa: BLE001 - raised again below, and not in a group
                failed = error
            finally:
                self._tasks = None
                tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed

    def start(self, task: Task) -> None:
        """Start a task, which must not raise.

        :raises RefusedError: outside of `running`.
        """
        if self._tasks is None:
            raise RefusedError(503, _NOT_THERE)
        self._tasks.start_soon(task)
