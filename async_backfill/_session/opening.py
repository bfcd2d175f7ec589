"""Open and close a cache: the one place where a task group is opened."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Generic

from anyio import create_task_group
from anyio.lowlevel import current_token

from async_backfill._session.engine import Engine
from async_backfill._session.keeper import Keeper
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from anyio.abc import TaskGroup

    from async_backfill._session.parts import Parts


class Opening(Generic[K, V]):
    """One opening of a cache: its engine, and the task group that owns all of its tasks."""

    def __init__(self, parts: Parts[K, V], tasks: TaskGroup) -> None:
        self._loop = current_token()
        self._tasks = tasks
        self._reports = parts.reports
        self.closing = False
        context = contextvars.copy_context()
        keeper = Keeper(tasks)

        def spawn(work: Callable[[], Coroutine[object, object, None]]) -> None:
            # Tasks outlive the request that needs them first, so they must not inherit its context.
            context.run(keeper.spawn, work)

        self.engine: Engine[K, V] = Engine(parts, spawn)

    def is_of_this_loop(self) -> bool:
        """Return whether the running event loop is the one that this was opened in."""
        return self._loop == current_token()

    async def close(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """End every task; return whether the exception was this task group's own cancellation."""
        self.closing = True
        try:
            await self.engine.close()
        except BaseException:  # asyncio's own Task.cancel() gets through a shield
            await self.end_tasks()
            raise
        finally:
            self._reports.writer = None
        if self._tasks.cancel_scope.cancel_called:
            return await self._tasks.__aexit__(exc_type, exc, traceback)
        await self.end_tasks()
        return None

    async def end_tasks(self) -> None:
        """Cancel every task and wait until they have ended."""
        self._tasks.cancel_scope.cancel()
        # The body's exception is not handed over, or the group would wrap it in an ExceptionGroup.
        await self._tasks.__aexit__(None, None, None)


async def open_engine(parts: Parts[K, V]) -> Opening[K, V]:
    """Start a task group and an engine in it; `Opening.close` must be called in the same task."""
    tasks = create_task_group()
    await tasks.__aenter__()
    opening = Opening(parts, tasks)
    try:
        await opening.engine.start()
    except BaseException:
        await opening.end_tasks()
        raise
    parts.reports.writer = opening.engine.writer
    return opening
