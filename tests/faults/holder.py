"""A process that acquires leases, reports them, and writes on command, for tests that stop it."""

from __future__ import annotations

import asyncio
import sys

from async_backfill.redis.connection import connect
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.store import RedisStore
from tests.leases import lease


async def hold(url: str, namespace: str, seconds: float, count: int) -> None:
    """Lease ``count`` keys, print ``held``, wait for a line, write; print how many values were kept."""
    async with connect(url) as redis:
        store: RedisStore[str, str] = RedisStore(redis, namespace=namespace)
        leases = RedisLeases(store, seconds=seconds)
        keys = [f"k{number}" for number in range(count)]
        tokens = await lease(leases, keys)
        print("held", len(tokens), flush=True)  # noqa: T201 - the test reads it
        await asyncio.to_thread(sys.stdin.readline)
        kept = 0
        for key in keys:
            kept += len(await leases.set_many({key: "late"}, {key: tokens[key]}))
        print("kept", kept, flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
