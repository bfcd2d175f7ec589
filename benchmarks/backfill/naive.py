"""The naive copy: read a page of rows, send a pipeline of single commands, read the next page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import asyncpg
from redis.asyncio import Redis

from benchmarks.backfill.table import NAME, TTL

if TYPE_CHECKING:
    from benchmarks.backfill.table import Place

_PAGE: Final = 1000
_QUERY: Final = f"SELECT key, value FROM {NAME} WHERE key > $1 ORDER BY key LIMIT {_PAGE}"  # noqa: S608 - of constants


async def copy(place: Place) -> int:
    """Copy the table; return the number of rows."""
    connection = await asyncpg.connect(place.postgres_url)
    redis = Redis.from_url(place.redis_url)
    copied, last = 0, ""
    try:
        while rows := await connection.fetch(_QUERY, last):
            async with redis.pipeline(transaction=False) as pipeline:
                for row in rows:
                    pipeline.set(row["key"], json.dumps(row["value"]), ex=round(TTL))
                await pipeline.execute()
            copied, last = copied + len(rows), rows[-1]["key"]
    finally:
        await redis.aclose()
        await connection.close()
    return copied
