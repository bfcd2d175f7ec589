"""Copy a table of products to Redis before the first request: ``python -m docs.examples.warm_redis [AFTER]``.

``DATABASE_URL`` names a database with a table ``products`` of ``id`` and ``name``, ``REDIS_URL`` a Redis or
Valkey. Applications may go on meanwhile: what they change after it was read here stays as they left it. After
an error it says which key to go on after.
"""

from __future__ import annotations

import asyncio
import os
import sys

from async_backfill.redis import RedisStore, connect
from async_backfill.sources.sql import SQLSource
from async_backfill.warming import CopyError, CopyProgress, copy_rows


def show(copied: CopyProgress[str]) -> None:
    """Say now and then how far the copy is."""
    if copied.pages % 100 == 0:
        print(f"{copied.kept:,} of {copied.read:,} rows, all through {copied.through!r}", flush=True)


async def warm(after: str | None) -> None:
    """Copy the rows whose key comes after ``after``, or all of them."""
    async with (
        connect(os.environ["REDIS_URL"]) as redis,
        SQLSource.connect(os.environ["DATABASE_URL"], "products", key="id", value="name") as source,
    ):
        store: RedisStore[str, str] = RedisStore(redis, namespace="shop", key_type=str, value_type=str)
        copied = await copy_rows(
            source.rows(page=2000, after=after),
            store,
            source=source,  # reads a page again that came too late, and what others were loading
            ttl=3600.0,
            ttl_jitter=0.1,
            max_dead=10,
            progress=show,
        )
    print(f"{copied.kept:,} rows are in Redis; {copied.newer:,} changed meanwhile, {copied.leased:,} leased")
    for key, why in copied.bad.items():
        print(f"not in Redis: {key!r}: {why}", file=sys.stderr)


if __name__ == "__main__":
    try:
        asyncio.run(warm(sys.argv[1] if len(sys.argv) > 1 else None))
    except CopyError as error:
        sys.exit(f"error: {error}")
