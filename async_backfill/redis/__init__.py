"""Share a far tier (L2) and a backfill budget between processes with Redis or Valkey.

It needs the extra ``redis``, and asyncio. `connect` opens a `RedisConnection`, which all others use
(`from_client` makes one of a client that you have):

- `RedisStore` holds the values of the far tier, `Zstd` compresses large ones;
- `PydanticCodec` and `FunctionCodec` encode values that it does not take by itself;
- `RedisLeases` lets only one process at a time load a key;
- `RedisInvalidations` tells the other processes which keys have changed;
- `RedisPermits` is one backfill budget for all processes;
- `RedisControl` brings orders to all processes;
- `RedisReadBudget` is one rate, and one number of pages at once, for all workers of jobs;
- `RedisJournal` keeps the hot keys for the next start;
- `Credentials` are for passwords and tokens that change.

Errors are kinds of `RedisError`; no text shows a password.
"""

from async_backfill._common.extras import needed_by

with needed_by("async_backfill.redis", "redis", "hiredis", "redis"):
    from async_backfill.redis.codecs import FunctionCodec, PydanticCodec
    from async_backfill.redis.compression import Zstd
    from async_backfill.redis.connection import RedisConnection, connect, from_client
    from async_backfill.redis.control import RedisControl
    from async_backfill.redis.credentials import Credentials
    from async_backfill.redis.errors import RedisError, RedisReplyError, RedisUnavailableError
    from async_backfill.redis.invalidations import RedisInvalidations
    from async_backfill.redis.journal import RedisJournal
    from async_backfill.redis.leases import RedisLeases
    from async_backfill.redis.permits import RedisPermits
    from async_backfill.redis.read_budget import RedisReadBudget
    from async_backfill.redis.store import RedisStore

__all__ = [
    "Credentials",
    "FunctionCodec",
    "PydanticCodec",
    "RedisConnection",
    "RedisControl",
    "RedisError",
    "RedisInvalidations",
    "RedisJournal",
    "RedisLeases",
    "RedisPermits",
    "RedisReadBudget",
    "RedisReplyError",
    "RedisStore",
    "RedisUnavailableError",
    "Zstd",
    "connect",
    "from_client",
]
