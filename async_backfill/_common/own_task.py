"""A task of its own for what must end in order when its caller is cancelled; of asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CancelScope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def result_of_task(task: asyncio.Task[T], leave: Callable[[asyncio.Task[T]], Awaitable[object]]) -> T:
    """Wait for ``task``, and return its result.

    A cancelled scope of anyio's cancels again at every step, which would cut off the cleanup of a driver: see
    decision 41 in notes.md. So the task is waited for, and not cancelled with its caller.

    :param leave: ends the task when the caller is cancelled, in bounded time.
    """
    try:
        await asyncio.wait([task])
    finally:
        if not task.done():
            with CancelScope(shield=True):
                await leave(task)
        task.add_done_callback(_retrieve)  # a cancelled caller never does
    return task.result()


def _retrieve(task: asyncio.Task[Any]) -> None:
    _ = task.cancelled() or task.exception()
