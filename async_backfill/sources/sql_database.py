"""A database to ask: an engine of SQLAlchemy's, and what its errors mean to who asks."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from anyio import CancelScope
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_backfill.errors import AsyncBackfillError, ConfigurationError
from async_backfill.limits import positive_seconds_or_none, whole
from async_backfill.sources.sql_query import Query, Rows, note_connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from async_backfill.contracts import K

_POSTGRES: Final = "postgresql"
_DRIVERS: Final = MappingProxyType(
    {
        "postgres": "postgresql+asyncpg",
        "postgresql": "postgresql+asyncpg",
        "sqlite": "sqlite+aiosqlite",
    }
)
_MOST_PARAMETERS: Final = 32_000  # SQLite takes 32,766 in one statement, PostgreSQL 32,767
_MOST_MILLISECONDS: Final = 2**31 - 1
_LONGEST: Final = 300
_WRONG_NAMES: Final = MappingProxyType(  # PostgreSQL's appendix A, "Error Codes"
    {"42P01": "table", "42703": "column"}
)


class QueryError(AsyncBackfillError):
    """The database refused or stopped a query; the text is one line, SQLAlchemy's error is the cause."""


@asynccontextmanager
async def open_database(url: str | sa.URL, **options: Any) -> AsyncIterator[AsyncEngine]:
    """Make an engine for a database URL, inside ``async with``, which closes its connections at the end.

    :param url: such as ``postgresql://user:password@host/database`` or ``sqlite:///file.db``; without a
        driver it gets asyncpg or aiosqlite.
    :param options: for SQLAlchemy's ``create_async_engine``.
    :raises ConfigurationError: when the URL cannot be used; what it says never shows the URL.
    """
    try:
        parsed = make_url(url)
        parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
        engine = create_async_engine(parsed, hide_parameters=True, **options)
    except (ArgumentError, InvalidRequestError, NoSuchModuleError, ValueError):
        allowed = "such as postgresql://user@host/database or sqlite:///file.db"
        raise ConfigurationError(
            "url", f"is not the URL of a database with an async driver, {allowed}"
        ) from None
    try:
        yield engine
    finally:
        with CancelScope(shield=True):
            await engine.dispose()


class Database:
    """Asks an engine, each query in a transaction of its own."""

    def __init__(self, engine: AsyncEngine, timeout: float | None) -> None:
        if not isinstance(engine, AsyncEngine):  # a URL given instead would show its password
            raise ConfigurationError("engine", f"a {type(engine).__name__} is no AsyncEngine of SQLAlchemy's")
        seconds = positive_seconds_or_none("timeout", timeout)
        self._engine = engine
        if not sa.event.contains(engine.sync_engine, "do_connect", note_connect):
            sa.event.listen(engine.sync_engine, "do_connect", note_connect)
        self.is_postgres = engine.dialect.name == _POSTGRES
        self._limit: sa.Executable | None = None
        if self.is_postgres and seconds is not None:
            milliseconds = min(math.ceil(seconds * 1000), _MOST_MILLISECONDS)
            # SET LOCAL, as a function.
            self._limit = sa.select(sa.func.set_config("statement_timeout", str(milliseconds), sa.true()))

    def possible(self, keys: Sequence[K]) -> Sequence[K]:
        """Return those of ``keys`` that the database can hold as text; the others cannot exist in it."""
        wrong = [key for key in keys if isinstance(key, str) and not self._can_hold(key)]
        return [key for key in keys if key not in wrong] if wrong else keys

    async def ask(
        self, statement: sa.Executable, parameters: Mapping[str, Any], *, plain: bool = False
    ) -> Rows:
        """Return the rows; a query that finds its connection lost is asked once more.

        After a restart of the server, each connection in the pool is a lost one; SQLAlchemy drops them all
        at the first.

        :param plain: see `Query`.
        """
        try:
            return await self._ask_once(statement, parameters, plain=plain)
        except StatementError as error:
            if not _is_lost(error):
                raise _refusal(error) from error
        try:
            return await self._ask_once(statement, parameters, plain=plain)
        except StatementError as error:
            raise _refusal(error) from error

    async def _ask_once(
        self, statement: sa.Executable, parameters: Mapping[str, Any], *, plain: bool
    ) -> Rows:
        steps = [(statement, parameters)]
        if self._limit is not None:
            steps.insert(0, (self._limit, {}))
        return await Query(self._engine, steps, plain=plain).rows()

    def _can_hold(self, key: str) -> bool:
        try:
            key.encode()
        except UnicodeEncodeError:  # half a surrogate pair
            return False
        return not (self.is_postgres and "\0" in key)


def query_keys_of(value: int) -> int:
    """Return ``value`` when it is a number of keys that one query may have."""
    if (number := whole("query_keys", value, least=1)) > _MOST_PARAMETERS:
        raise ConfigurationError("query_keys", f"{number} is more than {_MOST_PARAMETERS}")
    return number


def _is_lost(error: StatementError) -> bool:
    return bool(getattr(error, "connection_invalidated", False))


def _refusal(error: StatementError) -> Exception:
    driver = error.orig if error.orig is None or error.orig.__cause__ is None else error.orig.__cause__
    problem = " ".join(str(driver or error).split())[:_LONGEST]
    if _is_lost(error):
        return ConnectionError(f"the connection to the database was lost: {problem}")
    if setting := _WRONG_NAMES.get(getattr(error.orig, "sqlstate", None) or ""):
        return ConfigurationError(setting, problem)
    for setting in ("table", "column"):
        if problem.startswith(f"no such {setting}"):  # SQLite has one code for all errors of SQL
            return ConfigurationError(setting, problem)
    return QueryError(problem)
