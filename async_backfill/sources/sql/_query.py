"""Statements on one connection, as a task that ends with its caller, whoever cancels whom."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from anyio import CancelScope, move_on_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sqlalchemy as sa
    from aiosqlite import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Rows: TypeAlias = "Sequence[Sequence[Any]]"

_SQLITE: Final = "sqlite"
_AGAIN: Final = 0.05  # seconds between two interrupts of a statement
_CONNECTING: Final = 1.0  # seconds to let a connection be made before it is cut off: a server may be silent

_running: ContextVar[Query | None] = ContextVar("_running", default=None)


class Query:
    """Statements on one connection, as a task of its own that ends with its caller.

    A cancelled scope of anyio's cancels again at every step, and would cut off what SQLAlchemy and the
    driver do on the way out: tell the server to stop, give the connection back or close it. So the task is
    cancelled once, and waited for. Not so on SQLite, where a cancelled statement would go on in its thread
    and keep the database locked: there the statement is interrupted.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        steps: Sequence[tuple[sa.Executable, Mapping[str, Any]]],
        *,
        plain: bool = False,
    ) -> None:
        self._engine = engine
        self._steps = steps
        self._plain = plain
        self._connecting: asyncio.Event | None = None
        self._executing: AsyncConnection | None = None
        self._is_leaving = False
        self.is_connected = False

    async def rows(self) -> Rows:
        """Return the rows of the last statement."""
        task = asyncio.create_task(self._run())
        try:
            await asyncio.wait([task])
        finally:
            if not task.done():
                with CancelScope(shield=True):
                    await self._stop(task)
            _ = task.cancelled() or task.exception()  # a caller who is cancelled does not ask for it
        return task.result()

    def connects(self) -> None:
        """Take note that a new connection is being made for this query."""
        self._connecting = asyncio.Event()

    async def _run(self) -> Rows:
        rows: Rows = ()
        _running.set(self)
        try:
            connection = self._executing = await self._engine.connect()
        finally:
            if self._connecting is not None:
                self._connecting.set()
        self.is_connected = True
        try:
            for statement, parameters in self._steps:
                result = await connection.execute(statement, parameters)
                # Rows of SQLAlchemy's cost three times as much as those of the driver.
                rows = result.cursor.fetchall() if self._plain and result.returns_rows else result.all()
                result.close()
        finally:
            self._executing, self._is_leaving = None, True
            await connection.close()
        return rows

    async def _stop(self, task: asyncio.Task[Rows]) -> None:
        is_sqlite = self._engine.dialect.name == _SQLITE
        while is_sqlite and self._executing is not None:
            raw = await self._executing.get_raw_connection()
            await cast("Connection", raw.driver_connection).interrupt()
            # An interrupt that comes before the statement has begun does nothing.
            await asyncio.wait([task], timeout=_AGAIN)
        if self._connecting is not None:
            # asyncpg leaves an exception that nobody retrieves when it is cut off here.
            with move_on_after(_CONNECTING):
                await self._connecting.wait()
        if not (is_sqlite and self._is_leaving):
            task.cancel()
        await asyncio.wait([task])


def note_connect(*_: object) -> None:
    """Tell the query that runs, if one does, that it makes a connection; for ``do_connect`` of an engine."""
    query = _running.get()
    if query is not None:
        query.connects()
