"""The typed values of a job file that are not those of a `JobSpec`."""

from __future__ import annotations

import msgspec

from async_backfill._jobs._spec import GuardName, PolicyName  # noqa: TC001 - msgspec reads the annotations


class Fields(msgspec.Struct, frozen=True, kw_only=True):
    """The names at the top of a job file, with their defaults; see `JobSpec` and `JobSettings`."""

    name: str
    guard: GuardName = "stamp"
    policy: PolicyName = "stale"
    ttl: float | None = None
    ttl_jitter: float = 0.05
    rate: float | None = None
    batch: int | str = "auto"
    lanes: int = 2
    pages: int | None = None
    shards: int | None = None
    workers: int = 2
    max_dead: int = 100
    four_eyes: bool = False


class SQLiteSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A far tier (L2) in a file of this machine; see `SQLiteStore`.

    ``signing_key``
        ``${NAME}``, an environment variable.
    ``version``
        the column of the value that is compared with ``guard = "version"``.
    """

    file: str = "cache.db"
    namespace: str = "async_backfill"
    max_bytes: int = 1_000_000_000
    max_value_bytes: int = 1_000_000
    signing_key: str | None = None
    version: str | None = None


class RedisSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A far tier (L2) in Redis or Valkey; ``url`` may hold ``${NAME}``; see `SQLiteSpec` and `RedisStore`.

    ``invalidations``
        whether the caches of a fleet are told of rows that a job had to repair.
    """

    url: str
    namespace: str = "async_backfill"
    invalidations: bool = False
    max_value_bytes: int = 1_000_000
    signing_key: str | None = None
    version: str | None = None


class BudgetSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A budget in Redis or Valkey; ``url`` may hold ``${NAME}``; see `RedisReadBudget`.

    ``permits``
        the number of permits at the start, as ``max_backfills`` of the caches that share them; see
        `RedisPermits`. ``None``: a job takes none.
    """

    url: str
    namespace: str = "async_backfill"
    name: str = "source"
    permits: int | None = None
