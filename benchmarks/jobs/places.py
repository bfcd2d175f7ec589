"""Where the rows are, and where they go: files on both sides, or PostgreSQL and Valkey."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import anyio

from async_backfill.redis.connection import connect
from async_backfill.redis.store import RedisStore
from async_backfill.sources.sql import SQLSource
from async_backfill.stores.sqlite import SQLiteStore
from benchmarks.backfill import servers
from benchmarks.backfill.table import KEY_BYTES, NAME, VALUE_BYTES, filled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_CREATE: Final = f"CREATE TABLE {NAME} (key text PRIMARY KEY, value text NOT NULL) WITHOUT ROWID"
_FILL: Final = f"""
    WITH RECURSIVE number (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < ?)
    INSERT INTO {NAME} SELECT
        printf('k%0{KEY_BYTES - 1}d', n),
        substr(printf('%032x', n * 2654435761) || hex(zeroblob(64)), 1, {VALUE_BYTES})
    FROM number
"""  # noqa: S608 - of constants
_MOST_BYTES: Final = 8_000_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """A table of so many rows at ``source``, and a folder for the files of one run.

    ``redis``
        the URL of the store; ``None`` for a file in the folder.
    ``processes``
        those of the servers, whose processor time counts.
    """

    source: str
    folder: str
    rows: int
    redis: str | None = None
    processes: tuple[int | None, ...] = ()

    @property
    def name(self) -> str:
        """What is copied into what."""
        return "SQLite to SQLite" if self.redis is None else "PostgreSQL to Valkey"


@asynccontextmanager
async def ends_at(place: Place) -> AsyncIterator[tuple[SQLSource[str, str], Any]]:
    """Open the source and the store."""
    async with SQLSource[str, str].connect(place.source, NAME, key="key", value="value") as source:
        if place.redis is not None:
            async with connect(place.redis) as connection:
                yield source, RedisStore(connection, namespace="benchmark", key_type=str, value_type=str)
            return
        file = Path(place.folder) / "cache.db"
        kinds: dict[str, Any] = {"key_type": str, "value_type": str}
        async with SQLiteStore(file, namespace="benchmark", max_bytes=_MOST_BYTES, **kinds) as store:
            yield source, store


@contextmanager
def files(rows: int) -> Iterator[Place]:
    """Make a table in a file for ``with``."""
    with TemporaryDirectory(prefix="jobs-") as folder:
        path = Path(folder) / "shop.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(_CREATE)
            connection.execute(_FILL, (rows,))
        yield Place(f"sqlite:///{path}", folder, rows)


@contextmanager
def on_servers(rows: int, *, postgres: str | None = None, redis: str | None = None) -> Iterator[Place]:
    """Start the servers of the wheels that are not given by URLs, and make the table, for ``with``.

    :raises NoServerError: when the program of one is missing or does not start.
    """
    with (
        TemporaryDirectory(prefix="jobs-") as folder,
        servers.postgres(postgres) as source,
        servers.redis(redis) as store,
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(filled(source.url, rows)),
    ):
        yield Place(source.url, folder, rows, store.url, (source.process, store.process))
