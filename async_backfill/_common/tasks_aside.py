"""Tasks that run beside a block and end with it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import create_task_group

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import TaskGroup


@asynccontextmanager
async def tasks_aside() -> AsyncGenerator[TaskGroup, None]:
    """Run tasks beside the block, and cancel them at its end; its error is raised as it is, in no group."""
    failed: Exception | None = None
    async with create_task_group() as tasks:
        try:
            yield tasks
        except Exception as error:  # noqa: BLE001 - raised again below
            failed = error
        finally:
            tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
