"""A cache that backfills only when it is told to, and every way to use one."""

from __future__ import annotations

from async_backfill import BackfillCache, BackfillPolicy, MappingSource

ROWS = {"a": 1, "b": 2}
USES = {
    "get": lambda cache: cache.get("a"),
    "fetch": lambda cache: cache.fetch("a"),
    "get_many": lambda cache: cache.get_many("ab"),
    "get_many of nothing": lambda cache: cache.get_many([]),
    "put": lambda cache: cache.put("a", 1),
    "put_many": lambda cache: cache.put_many({"a": 1}),
    "invalidate": lambda cache: cache.invalidate("a"),
    "clear": lambda cache: cache.clear(),
    "force_backfill": lambda cache: cache.force_backfill(),
    "approve_backfills": lambda cache: cache.approve_backfills(1, by="me", reason="to see"),
    "settle": lambda cache: cache.settle(),
}


def new_cache(source=None, **settings):
    """Return a cache that backfills only when it is told to."""
    source = source or MappingSource(ROWS)
    scan = MappingSource(getattr(source, "rows", ROWS))
    return BackfillCache(
        source, scan=scan, max_backfills=1, backfill=BackfillPolicy(min_lookups=1000), **settings
    )
