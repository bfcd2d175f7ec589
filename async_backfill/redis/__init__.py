"""What the processes of a fleet share in Redis or Valkey; needs the extra ``redis``, and asyncio."""

from async_backfill._common.extras import needed_by

with needed_by("async_backfill.redis", "redis", "hiredis", "redis"):
    from async_backfill.redis.compression import Zstd
    from async_backfill.redis.connection import RedisConnection, connect
    from async_backfill.redis.errors import RedisError, RedisReplyError, RedisUnavailableError
    from async_backfill.redis.invalidations import RedisInvalidations
    from async_backfill.redis.journal import RedisJournal
    from async_backfill.redis.leases import RedisLeases
    from async_backfill.redis.permits import RedisPermits
    from async_backfill.redis.store import RedisStore

__all__ = [
    "RedisConnection",
    "RedisError",
    "RedisInvalidations",
    "RedisJournal",
    "RedisLeases",
    "RedisPermits",
    "RedisReplyError",
    "RedisStore",
    "RedisUnavailableError",
    "Zstd",
    "connect",
]
