"""A cluster of three servers runs the guard, the leases, the invalidations and a durable job."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import asynccontextmanager, closing

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
pytest.importorskip("sqlalchemy", reason="needs the extra sql")
from async_backfill import BackfillCache, CircuitPolicy, FarTier, MappingSource
from async_backfill.jobs import JobEnds, Jobs, JobSpec
from async_backfill.redis import Credentials, RedisInvalidations, RedisLeases, RedisStore, connect
from async_backfill.redis._cluster import SLOTS, hash_slot
from async_backfill.sources.sql import SQLSource
from tests.servers.valkey_cluster import start_cluster

pytestmark = pytest.mark.anyio

ROWS = {number: f"product {number}" for number in range(900)}


@pytest.fixture
def anyio_backend():
    """One loop will do: a cluster takes three seconds to start."""
    return "asyncio"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    servers = start_cluster(tmp_path_factory.mktemp("three"), count=3)
    yield servers
    for server in servers:
        server.stop()


def tier(redis, namespace, **settings):
    store = RedisStore(redis, namespace=namespace)
    news = RedisInvalidations(redis, namespace=namespace)
    return FarTier(
        store=store, leases=RedisLeases(store), invalidations=news, timeout=10.0, lease_wait=10.0, **settings
    )


class Counted(MappingSource):
    """Counts how often each key is loaded, and takes its time."""

    def __init__(self, rows):
        super().__init__(rows)
        self.loaded = Counter()

    async def load_many(self, keys):
        self.loaded.update(keys)
        await asyncio.sleep(0.05)
        return await super().load_many(keys)


def servers_of(store, keys):
    """Return how many of ``keys`` each server has."""
    return Counter(hash_slot(store.keyspace.redis_key(key)) * 3 // SLOTS for key in keys)


async def test_a_fleet_on_three_servers_loads_each_key_once_and_hears_of_changes(cluster, reached, namespace):
    source = Counted(ROWS)
    async with (
        reached(cluster[0].url) as one,
        reached(cluster[2].url) as two,
        BackfillCache(source, far=tier(one, namespace)) as first,
        BackfillCache(source, far=tier(two, namespace)) as second,
    ):
        found = await asyncio.gather(*[cache.get_many(ROWS) for cache in (first, second) * 2])
        assert found == [ROWS] * 4
        assert set(source.loaded.values()) == {1}
        assert min(servers_of(RedisStore(one, namespace=namespace), ROWS).values()) > 200
        await first.put(7, "changed")
        async with asyncio.timeout(20.0):
            while await second.get(7) != "changed":  # noqa: ASYNC110 - it comes over the network
                await asyncio.sleep(0.005)
        await first.clear()


async def test_a_page_for_three_servers_leaves_what_is_newer_removed_or_leased(cluster, reached, namespace):
    async with reached(cluster[0].url) as redis, reached(cluster[2].url) as another:
        store, other = RedisStore(redis, namespace=namespace), RedisStore(another, namespace=namespace)
        read_at = store.now()
        await other.set_many({1: "new"}, ttl=60.0)
        await other.delete_many([2])
        await RedisLeases(other).acquire_many([3], bytes(16))
        done = await store.set_page(ROWS, read_at=read_at, ttl=60.0)

        assert (done.kept, set(done.newer), list(done.leased)) == (len(ROWS) - 3, {1, 2}, [3])
        await store.clear()
        assert await other.get_many([*ROWS]) == {}


async def test_each_server_of_a_cluster_is_logged_in_to_with_credentials(cluster, namespace):
    async def token():
        return Credentials(user="app", password="sesame")  # noqa: S106 - of this test

    rules = ("on", ">sesame", "~*", "&*", "+@all")
    async with connect(cluster[0].url) as admin, connect(cluster[1].url, credentials=token) as redis:
        for server in await admin.servers():
            await admin.at(server, "ACL", "SETUSER", "app", *rules)
        store = RedisStore(redis, namespace=namespace)
        await store.set_many(ROWS, ttl=60.0)
        assert len(await store.get_many([*ROWS])) == len(ROWS)
        assert {await redis.at(server, "ACL", "WHOAMI") for server in await redis.servers()} == {b"app"}
        await store.clear()
        for server in await admin.servers():
            await admin.at(server, "ACL", "DELUSER", "app")


async def test_a_durable_job_fills_three_servers(cluster, reached, namespace, tmp_path):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        db.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT)")
        db.executemany("INSERT INTO products VALUES (?, ?)", ROWS.items())
        db.commit()

    @asynccontextmanager
    async def open_ends(_):
        async with (
            SQLSource.connect(f"sqlite:///{tmp_path}/shop.db", "products", key="id", value="name") as source,
            reached(cluster[1].url) as redis,
        ):
            store = RedisStore(redis, namespace=namespace)
            yield JobEnds(rows=source, source=source, store=store, source_facts=source, store_facts=store)

    spec = JobSpec(name="three", source={"table": "products"}, store={"namespace": namespace})
    async with reached(cluster[0].url) as redis, Jobs(tmp_path / "jobs", open_ends=open_ends) as jobs:
        store = RedisStore(redis, namespace=namespace)
        job = await jobs.plan(spec, by="ada")
        await jobs.approve(job.id, plan_hash=job.plan_hash, by="bob", reason="a test of three")
        done = await jobs.run(job.id, by="bob")

        assert done.status == "done"
        found = {key: copy.value for key, copy in (await store.get_many([*ROWS])).items()}
        assert found == ROWS
        assert min(servers_of(store, ROWS).values()) > 200
        await store.clear()


async def test_reads_go_on_when_one_of_three_servers_is_killed(tmp_path_factory, namespace):
    servers = await asyncio.to_thread(start_cluster, tmp_path_factory.mktemp("three"), 3)
    try:
        async with (
            connect(servers[0].url) as redis,
            BackfillCache(
                MappingSource(ROWS), far=tier(redis, namespace, circuit=CircuitPolicy(failures=1_000))
            ) as cache,
        ):
            assert await cache.get_many(ROWS) == ROWS
            await cache.settle()
            servers[1].kill()
            store = RedisStore(redis, namespace=namespace)
            async with BackfillCache(
                MappingSource(ROWS), far=tier(redis, namespace, circuit=CircuitPolicy(failures=1_000))
            ) as other:
                some = range(0, 900, 15)
                for key in some:
                    assert await other.get(key) == ROWS[key]
                kept = servers_of(store, some)
                assert other.stats.far.hits >= (kept[0] + kept[2]) // 2
    finally:
        for server in servers:
            server.stop()
