"""The table to copy: text keys of 16 bytes and text values of 100 bytes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg
from anyio import CancelScope

from tests.servers.wheels import NoServerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME: Final = "async_backfill_benchmark"
KEY_BYTES: Final = 16
VALUE_BYTES: Final = 100
TTL: Final = 3600.0
"""Seconds that each row is kept in Redis."""

_CREATE: Final = f"CREATE TABLE {NAME} (key text PRIMARY KEY, value text NOT NULL)"
_FILL: Final = f"""
    INSERT INTO {NAME}
    SELECT 'k' || lpad(n::text, {KEY_BYTES - 1}, '0'), left(repeat(md5(n::text), 4), {VALUE_BYTES})
    FROM generate_series(1, $1::bigint) AS n
"""  # noqa: S608 - of constants


@dataclass(frozen=True, slots=True)
class Place:
    """The two servers, and the number of rows."""

    postgres_url: str
    redis_url: str
    rows: int


@asynccontextmanager
async def filled(postgres_url: str, rows: int) -> AsyncIterator[None]:
    """Make the table with ``rows`` rows for ``async with``; it is dropped at the end.

    :raises NoServerError: when there is one of this name already; it is left alone.
    """
    async with _connected(postgres_url) as connection:
        try:
            await connection.execute(_CREATE)
        except asyncpg.DuplicateTableError:
            raise NoServerError(f"the database has a table {NAME} already: give another one") from None
    try:
        async with _connected(postgres_url) as connection:
            await connection.execute(_FILL, rows)
            await connection.execute(f"VACUUM ANALYZE {NAME}")
        yield
    finally:
        with CancelScope(shield=True):
            async with _connected(postgres_url) as connection:
                await connection.execute(f"DROP TABLE {NAME}")


@asynccontextmanager
async def _connected(postgres_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(postgres_url)
    try:
        yield connection
    finally:
        await connection.close()
