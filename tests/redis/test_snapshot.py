"""With a far tier, a restored value is one that the fleet still has: nothing that was removed comes back."""

from __future__ import annotations

import anyio
import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, FarTier, FreshnessPolicy, MappingSource
from async_backfill.records import RestoreState
from async_backfill.redis.connection import connect
from async_backfill.redis.invalidations import RedisInvalidations
from async_backfill.redis.store import RedisStore
from async_backfill.stores.snapshot_file import SnapshotFile

pytestmark = pytest.mark.anyio

ROWS = {f"key_{number}": number for number in range(20)}


@pytest.fixture
async def redis(valkey_url):
    async with connect(valkey_url) as connection:
        yield connection


def cache_of(path, redis, namespace, source=None, **settings):
    far = FarTier(
        store=RedisStore(redis, namespace=namespace),
        invalidations=RedisInvalidations(redis, namespace=namespace),
        timeout=30.0,
    )
    snapshot = SnapshotFile(path, **settings)
    source = MappingSource(ROWS) if source is None else source
    return BackfillCache(source, far=far, snapshot=snapshot, freshness=FreshnessPolicy(ttl=60.0))


async def leave(path, redis, namespace, keys):
    async with cache_of(path, redis, namespace) as cache:
        await cache.get_many(keys)
        await cache.settle()


async def test_what_others_changed_or_removed_meanwhile_does_not_come_back(tmp_path, redis, namespace):
    path = tmp_path / "values"
    await leave(path, redis, namespace, [*ROWS])
    async with BackfillCache(
        MappingSource({}), far=FarTier(store=RedisStore(redis, namespace=namespace))
    ) as other:
        await other.invalidate("key_1")
        await other.put("key_2", 200)
    async with cache_of(path, redis, namespace) as cache:
        assert cache.peek("key_0") == 0
        assert cache.peek("key_1", None) is None
        assert cache.peek("key_2") == 200
        assert (cache.stats.snapshot.restored, cache.stats.snapshot.left_out) == (19, 1)
        assert cache.stats.snapshot.waiting == 0
        assert cache.stats.source_calls == 0


async def test_after_the_far_tier_was_emptied_nothing_is_restored(tmp_path, redis, namespace):
    path = tmp_path / "values"
    await leave(path, redis, namespace, ["key_1"])
    await RedisStore(redis, namespace=namespace).clear()
    async with cache_of(path, redis, namespace) as cache:
        assert cache.stats.size == 0
        assert await cache.get("key_1") == 1


async def test_a_message_that_comes_while_a_snapshot_is_restored_is_obeyed(tmp_path, redis, namespace):
    path = tmp_path / "values"
    await leave(path, redis, namespace, [*ROWS])
    async with cache_of(path, redis, namespace) as cache, cache_of(tmp_path / "b", redis, namespace) as other:
        await other.invalidate("key_3")
        assert cache.stats.size >= 19
        with anyio.fail_after(30):
            while cache.peek("key_3", None) is not None:  # noqa: ASYNC110 - a message rings no bell
                await anyio.sleep(0.001)


async def test_a_far_tier_that_is_down_restores_nothing(tmp_path, valkey, namespace, monkeypatch):
    path, server = tmp_path / "values", valkey()
    async with connect(server.url) as redis:
        await leave(path, redis, namespace, ["key_1"])
        server.stop()
        monkeypatch.setattr("async_backfill._session.snapshots.restoring._PAUSE", 0.0)
        async with cache_of(path, redis, namespace) as cache:
            assert cache.stats.snapshot.state is RestoreState.STOPPED
            assert "the far tier (L2) did not say" in cache.stats.snapshot.reason
            assert cache.stats.size == 0
            assert await cache.get("key_1") == 1
