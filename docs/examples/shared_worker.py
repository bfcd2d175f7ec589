"""A process that reads 1,000 products: from its memory, else from Valkey, else from PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import sys

from async_backfill import BackfillCache, FarTier, FreshnessPolicy
from async_backfill.redis import RedisInvalidations, RedisLeases, RedisStore, connect
from async_backfill.sources.sql import SQLSource

PRODUCTS = [f"product_{number:04}" for number in range(1000)]


async def work(name: str) -> None:
    """Read all products and say where they came from."""
    async with (
        connect(os.environ["REDIS_URL"]) as redis,
        SQLSource.connect(os.environ["DATABASE_URL"], "products", key="id", value="name") as source,
    ):
        store: RedisStore[str, str] = RedisStore(redis, namespace="shop", key_type=str, value_type=str)
        tier = FarTier(
            store=store,
            leases=RedisLeases(store),
            invalidations=RedisInvalidations(redis, namespace="shop", key_type=str),
            timeout=2.0,  # so that a busy machine shows the same
        )
        async with BackfillCache(source, far=tier, freshness=FreshnessPolicy(ttl=600.0)) as cache:
            found = await cache.get_many(PRODUCTS)
            await cache.settle()
            stats = cache.stats
            calls, keys = stats.source_calls, stats.source_keys
            print(f"{name}: {len(found)} products, {keys} of PostgreSQL in {calls} calls")


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
