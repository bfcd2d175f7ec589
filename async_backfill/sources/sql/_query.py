"""Run statements on one connection, and stop them on the server when the caller is cancelled."""

from __future__ import annotations

import asyncio
import os
import time
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from weakref import WeakKeyDictionary

from anyio import move_on_after
from sqlalchemy.pool import NullPool, StaticPool

from async_backfill._common.own_task import result_of_task
from async_backfill.sources.sql._errors import is_not_prepared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sqlalchemy as sa
    from aiosqlite import Connection
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.pool import Pool

Rows: TypeAlias = "Sequence[Sequence[Any]]"

_SQLITE: Final = "sqlite"
_AGAIN: Final = 0.05  # seconds between two interrupts of a statement
_CONNECTING: Final = 1.0  # seconds that a connection may take before it is cancelled: a server may be silent
_LEAVING: Final = (
    5.0  # seconds that a cancelled query is waited for: its driver may wait for such a server, too
)

_ELSEWHERE: Final = (
    "the engine is used in another event loop, which has not ended: make one engine for each event loop"
)

_OF_NO_LOOP: Final = (NullPool, StaticPool)  # one keeps nothing, one the database that is in memory

_running: ContextVar[Query | None] = ContextVar("_running", default=None)


class Query:
    """Statements on one connection, run in a task of its own that ends no later than its caller.

    :param steps: the statements with their parameters.
    :param plain: whether `rows` returns the rows of the driver, which are quicker than SQLAlchemy's.
    """

    # anyio cancels again at each step, which would cut off the cleanup of SQLAlchemy and its driver: stop the
    # query at the server, return the connection. So the task is cancelled once and waited for. On SQLite, a
    # cancelled statement would go on in its thread and keep the database locked, so it is interrupted there:
    # see decision 41 in notes.md.

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
        return await result_of_task(asyncio.create_task(self._run()), self._stop)

    def connects(self) -> None:
        """Note that a new connection is being made for this query."""
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
        end = time.monotonic() + _LEAVING
        while is_sqlite and self._executing is not None and time.monotonic() < end:
            raw = await self._executing.get_raw_connection()
            await cast("Connection", raw.driver_connection).interrupt()
            # An interrupt that comes before the statement has begun does nothing.
            await asyncio.wait([task], timeout=_AGAIN)
        if self._connecting is not None:
            # asyncpg leaves an unretrieved exception when it is cancelled here: see decision 42 in notes.md.
            with move_on_after(_CONNECTING):
                await self._connecting.wait()
        if not (is_sqlite and self._is_leaving):
            task.cancel()
        await asyncio.wait([task], timeout=_LEAVING)


def note_error(context: ExceptionContext) -> None:
    """Drop the connections of the pool on which the statements of a query are not prepared.

    A listener for ``handle_error``; errors of others on the same engine are theirs.
    """
    if _running.get() is not None and is_not_prepared(context.original_exception):
        context.is_disconnect = True


class EngineUse:
    """The process and the event loop that an engine is used in.

    The connections in its pool belong to them: a forked process would share their sockets with its parent,
    and a connection of SQLite would wait for a thread that is not there.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._process = os.getpid()

    def come_here(self) -> None:
        """Give the engine an empty pool, if it was used in another event loop or process.

        :raises RuntimeError: when the other event loop has not ended.
        """
        try:
            loop, process = asyncio.get_running_loop(), os.getpid()
        except RuntimeError:
            raise RuntimeError("a source of SQL needs asyncio, which does not run here") from None
        pool = self._engine.pool
        made_in, before = _uses().get(pool, (self._process, None))
        is_of_no_loop = before is not None and isinstance(pool, _OF_NO_LOOP)
        if process == made_in and (loop is before or is_of_no_loop):
            return
        if process != made_in:
            _inherited().append((pool, before))
        elif before is not None and not before.is_closed():
            raise RuntimeError(_ELSEWHERE)
        if process != made_in or before is not None:
            self._engine.sync_engine.dispose(close=False)
        self._process = process
        _uses()[self._engine.pool] = process, loop


@cache  # engines share a pool, and sources an engine
def _uses() -> WeakKeyDictionary[Pool, tuple[int, asyncio.AbstractEventLoop]]:
    """Return the process and the event loop that each pool is used in."""
    return WeakKeyDictionary()


@cache
def _inherited() -> list[object]:
    """Return what is kept until this process ends: to let it go may close it for the parent, too."""
    return []


def note_connect(*_: object) -> None:
    """Tell the current query, if there is one, that it is connecting; a listener for ``do_connect``."""
    query = _running.get()
    if query is not None:
        query.connects()
