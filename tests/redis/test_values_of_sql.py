"""Rows of a real PostgreSQL through a real Valkey: the next process gets what the database gave the first."""

from __future__ import annotations

import uuid

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
pytest.importorskip("sqlalchemy", reason="needs the extra sql")
from async_backfill import BackfillCache, FarTier, FreshnessPolicy
from async_backfill._envelopes.values.same import is_same
from async_backfill.redis import RedisStore, connect
from async_backfill.sources.sql import StatementSource, open_database
from tests.sources import sql_tables

pytestmark = pytest.mark.anyio
server_url = sql_tables.server_url  # a fixture

STATEMENT = """
SELECT id, 9.99::numeric AS price, id::text::uuid AS owner, DATE '2026-11-30' AS day, now() AS at,
       now()::timestamp AS naive, TIME '12:30' AS hour, INTERVAL '1 day 2 hours' AS span,
       2::bigint ^ 60 AS large, ARRAY['a', NULL] AS tags, ARRAY[id] AS ids, 'x'::bytea AS raw,
       NULL AS nothing, true AS flag, 1.5 AS ratio
FROM unnest(ARRAY['00000000-0000-0000-0000-000000000001'::uuid, '00000000-0000-0000-0000-000000000002']) AS id
WHERE id IN :keys
"""
KEYS = [uuid.UUID(int=1), uuid.UUID(int=2)]


async def test_each_type_of_postgresql_comes_back_from_redis_as_it_came(server_url, valkey_url, namespace):
    async with open_database(server_url) as engine, connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace, key_type=uuid.UUID)
        parts = {"far": FarTier(store=store, timeout=5.0), "freshness": FreshnessPolicy(ttl=60.0)}
        async with BackfillCache(StatementSource(engine, STATEMENT), **parts) as cache:
            loaded = await cache.get_many(KEYS)
        async with BackfillCache(StatementSource(engine, STATEMENT), **parts) as other:
            found = await other.get_many(KEYS)
            assert other.stats.source_calls == 0
        await store.clear()

    assert found.keys() == set(KEYS)
    assert is_same(found, loaded)
    assert not store.unkept
