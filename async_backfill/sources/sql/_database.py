"""Run queries on an SQLAlchemy engine, with a timeout and one retry."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa
from anyio import CancelScope
from anyio import Path as AsyncPath
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from async_backfill._common.extras import needed_by
from async_backfill._common.server_hosts import with_hosts_as_settings
from async_backfill._common.validation import positive_seconds_or_none, whole
from async_backfill.errors import ConfigurationError, MissingExtraError
from async_backfill.sources.sql._errors import TROUBLE, is_lost, is_outdated, refusal
from async_backfill.sources.sql._hosts import connect_in_turn, hosts_of
from async_backfill.sources.sql._query import EngineUse, Query, Rows, note_connect, note_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from async_backfill.contracts import K, Seconds

_POSTGRES: Final = "postgresql"
_SQLITE: Final = "sqlite"
_ASYNCPG: Final = "postgresql+asyncpg"
_DRIVERS: Final = MappingProxyType(
    {
        "postgres": _ASYNCPG,
        "postgresql": _ASYNCPG,
        "sqlite": "sqlite+aiosqlite",
    }
)
_MOST_PARAMETERS: Final = 32_000  # SQLite takes 32,766 in one statement, PostgreSQL 32,767
_MOST_MILLISECONDS: Final = 2**31 - 1


@asynccontextmanager
async def open_database(
    url: str | sa.URL, *, create: bool = True, **options: Any
) -> AsyncIterator[AsyncEngine]:
    """Make an SQLAlchemy engine for ``async with``; its connections are closed at the end of the block.

    :param url: the URL of the database, such as ``postgresql://user:password@host/database`` or
        ``sqlite:///file.db``; asyncpg or aiosqlite is added when it names no driver. A standby may follow:
        ``postgresql://user@host:5432,host:5432/database?target_session_attrs=read-write``.
    :param create: whether a file of SQLite that does not exist is made; else it is refused.
    :param options: more options of SQLAlchemy's ``create_async_engine``.
    :raises ConfigurationError: when the URL cannot be used; of it, the text shows at most the name of a file.
    :raises MissingExtraError: when its driver is not installed.
    """
    name = "the URL of a database"
    try:
        parsed = _with_driver(make_url(with_hosts_as_settings(url) if isinstance(url, str) else url))
        name = parsed.drivername
        path = None if create else await _sqlite_file(parsed)
        if path is not None:
            parsed = _never_made(parsed, path)
        with (
            needed_by(parsed.drivername, "sql", "aiosqlite", "asyncpg"),
            needed_by(parsed.drivername, "psycopg", "psycopg"),
        ):
            engine = create_async_engine(parsed, hide_parameters=True, **options)
            connect_in_turn(engine)
    except (ArgumentError, InvalidRequestError, NoSuchModuleError, ValueError):
        allowed = "such as postgresql://user@host/database or sqlite:///file.db"
        raise ConfigurationError(
            "url", f"must be the URL of a database with an async driver, {allowed}"
        ) from None
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}, which is not installed; an async driver can be named in the URL"
        raise MissingExtraError(f"{name}: {problem}", name=error.name) from error
    if "@" in (parsed.host or ""):  # the end of a password, and drivers show the host
        raise ConfigurationError("url", "has two @: write the one in the password as %40")
    if path is not None and not await path.exists():
        raise ConfigurationError("url", f"there is no database file {path}")
    try:
        yield engine
    finally:
        with CancelScope(shield=True):
            await engine.dispose()


class Database:
    """A database behind ``engine``, with each query in a transaction of its own."""

    def __init__(self, engine: AsyncEngine, timeout: Seconds | None) -> None:
        if not isinstance(engine, AsyncEngine):  # a URL given instead would show its password
            raise ConfigurationError(
                "engine", f"must be an AsyncEngine of SQLAlchemy, not a {type(engine).__name__}"
            )
        seconds = positive_seconds_or_none("timeout", timeout)
        self._engine = engine
        self._use = EngineUse(engine)
        for event, note in (("do_connect", note_connect), ("handle_error", note_error)):
            if not sa.event.contains(engine.sync_engine, event, note):
                sa.event.listen(engine.sync_engine, event, note)
        self.is_postgres = engine.dialect.name == _POSTGRES
        self.is_sqlite = engine.dialect.name == _SQLITE
        self._place = _place(engine)
        self._limits: list[tuple[sa.Executable, Mapping[str, Any]]] = []
        if self.is_postgres and seconds is not None:
            milliseconds = min(math.ceil(seconds * 1000), _MOST_MILLISECONDS)
            # The same as SET LOCAL, which takes no parameters.
            limit = sa.select(sa.func.set_config("statement_timeout", str(milliseconds), sa.true()))
            self._limits.append((limit, {}))

    def possible(self, keys: Sequence[K]) -> Sequence[K]:
        """Return those of ``keys`` that the database can store; no row has the others."""
        return [key for key in keys if not isinstance(key, str) or self._can_hold(key)]

    async def ask(
        self, statement: sa.Executable, parameters: Mapping[str, Any], *, plain: bool = False
    ) -> Rows:
        """Return the rows of ``statement``; a query is run once more when its connection was lost.

        After a restart of the server, each connection in the pool is lost; SQLAlchemy drops them all when it
        meets the first. After a change of the table, each connection has outdated plans; SQLAlchemy forgets
        those, too.

        :param plain: whether rows are the driver's own, as in `Query`.
        """
        self._use.come_here()
        for is_last in (False, True):
            query = Query(self._engine, [*self._limits, (statement, parameters)], plain=plain)
            try:
                return await query.rows()
            except Exception as error:
                if query.is_connected and not isinstance(error, TROUBLE):
                    raise
                if is_last or not (query.is_connected and (is_lost(error) or is_outdated(error))):
                    raise refusal(error, place=self._place, is_connected=query.is_connected) from error
        raise AssertionError("the last time returns or raises")

    def _can_hold(self, key: str) -> bool:
        try:
            key.encode()
        except UnicodeEncodeError:  # half a surrogate pair
            return False
        return not (self.is_postgres and "\0" in key)


def query_keys_of(value: int) -> int:
    """Return ``value`` when one query may have that many keys, or raise `ConfigurationError`."""
    if (number := whole("query_keys", value, least=1)) > _MOST_PARAMETERS:
        raise ConfigurationError("query_keys", f"must be at most {_MOST_PARAMETERS}, not {number}")
    return number


def _with_driver(url: sa.URL) -> sa.URL:
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.drivername == _ASYNCPG and "sslmode" in url.query:  # asyncpg calls libpq's setting `ssl`
        others = {name: value for name, value in url.query.items() if name != "sslmode"}
        return url.set(query={**others, "ssl": url.query["sslmode"]})
    return url


async def _sqlite_file(url: sa.URL) -> AsyncPath | None:
    name = url.database
    if url.get_backend_name() != _SQLITE or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return await AsyncPath(name).absolute()


def _never_made(url: sa.URL, path: AsyncPath) -> sa.URL:
    # Not mode=ro: what a journal of SQLite's holds must be undone, or applied, before the file can be read.
    return url.set(database=path.as_uri(), query={**url.query, "mode": "rw", "uri": "true"})


def _place(engine: AsyncEngine) -> str | None:
    url = engine.url
    if engine.dialect.name == _POSTGRES and (hosts := hosts_of(engine)):
        return ", ".join(f"{host}:{port}" for host, port in hosts)
    if url.get_backend_name() == _SQLITE:
        name = url.database or ""
        return unquote(urlsplit(name).path) if name.startswith("file:") else name or None
    host = (url.host or "its socket").rpartition("@")[2]
    return host if url.port is None else f"{host}:{url.port}"
