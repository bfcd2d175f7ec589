"""The copy of this project: pages of a source, written to the far tier (L2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from async_backfill.redis.connection import connect
from async_backfill.redis.store import RedisStore
from async_backfill.sources.sql import SQLSource
from async_backfill.warming import copy_rows
from benchmarks.backfill.table import NAME, TTL

if TYPE_CHECKING:
    from benchmarks.backfill.table import Place

_PAGE: Final = 2000
_WRITE_TIMEOUT: Final = 60.0  # a busy machine is slow, which is no fault of the store


async def copy(place: Place, *, guard: Literal["stamp", "none"] = "stamp") -> int:
    """Copy the table under ``guard``; return the number of rows."""
    async with (
        SQLSource[str, str].connect(place.postgres_url, NAME, key="key", value="value") as source,
        connect(place.redis_url) as connection,
    ):
        store: RedisStore[str, str] = RedisStore(connection, namespace="benchmark", value_type=str)
        copied = await copy_rows(
            source.rows(page=_PAGE), store, guard=guard, ttl=TTL, write_timeout=_WRITE_TIMEOUT
        )
    return copied.kept
