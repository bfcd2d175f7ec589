"""A cluster: commands go to the server of their keys, also when the keys move."""

from __future__ import annotations

import asyncio
from operator import itemgetter

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill.contracts import Heats
from async_backfill.redis._cluster import hash_slot
from async_backfill.redis.connection import connect
from async_backfill.redis.errors import RedisError, RedisReplyError, RedisUnavailableError
from async_backfill.redis.invalidations import RedisInvalidations
from async_backfill.redis.journal import RedisJournal
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.permits import RedisPermits
from async_backfill.redis.store import RedisStore
from async_backfill.testing import GuardedLeasesContract, GuardedStoreContract
from tests.contract.test_far_stores import ITEMS, OfVersions
from tests.leases import lease
from tests.servers.ports import free_port
from tests.servers.valkey import start_valkey
from tests.servers.valkey_cluster import start_cluster

pytestmark = pytest.mark.anyio

HALF = 8192


@pytest.fixture
def anyio_backend():
    """One loop will do: a cluster takes two seconds to start."""
    return "asyncio"


async def test_many_keys_are_kept_and_found_wherever_they_are(cluster):
    async with connect(cluster[0].url) as redis:
        store = RedisStore(redis, namespace="ns")
        items = {f"key {number}": number for number in range(300)}
        for ttl in (60.0, None):
            await store.set_many(items, ttl=ttl)
            assert {key: copy.value for key, copy in (await store.get_many([*items])).items()} == items

        sizes = [await redis.at(server, "DBSIZE") for server in await redis.servers()]
        assert sum(sizes) == len(items)
        assert min(sizes) > 100

        await store.delete_many([*items][:100])
        assert len(await store.get_many([*items])) == 200
        await store.clear()
        left = [await redis.at(server, "KEYS", "*") for server in await redis.servers()]
        assert sorted(left) == [[], [b"ns!cleared"]]


async def test_pages_are_guarded_in_a_cluster_as_well(cluster, reached, namespace):
    async with reached(cluster[0].url) as redis, reached(cluster[1].url) as another:
        store, other = RedisStore(redis, namespace=namespace), RedisStore(another, namespace=namespace)
        items = {f"key {number}": number for number in range(300)}
        read_at = store.now()
        await other.set_many({"key 1": "new"}, ttl=60.0)
        await other.delete_many(["key 2"])
        await RedisLeases(other).acquire_many(["key 3"], bytes(16))
        done = await store.set_page(items, read_at=read_at, ttl=60.0)
        found = {key: copy.value for key, copy in (await other.get_many([*items])).items()}

        assert (done.kept, set(done.newer), list(done.leased)) == (297, {"key 1", "key 2"}, ["key 3"])
        assert found == {key: items[key] for key in items if key not in {"key 2", "key 3"}} | {"key 1": "new"}
        await store.clear()


async def test_a_page_in_a_cluster_that_was_read_before_a_clear_is_taken_back(cluster):
    async with connect(cluster[0].url) as redis, connect(cluster[1].url) as another:
        store, other = RedisStore(redis, namespace="pages"), RedisStore(another, namespace="pages")
        items = {f"key {number}": number for number in range(300)}
        read_at = store.now()
        await other.clear()
        done = await store.set_page(items, read_at=read_at, ttl=60.0)

        assert (done.kept, set(done.newer)) == (0, set(items))
        assert await other.get_many([*items]) == {}
        await store.get_many([*items])
        assert (await store.set_page(items, read_at=store.now())).kept == 300
        await store.clear()


async def test_a_mark_in_a_cluster_is_lost_when_any_server_loses_its_memory(cluster, reached):
    async with reached(cluster[0].url) as redis, reached(cluster[1].url) as another:
        store, other = RedisStore(redis, namespace="marks"), RedisStore(another, namespace="marks")
        for server in await redis.servers():
            await store.mark("7", "3f9c")
            assert await other.marked("7") == "3f9c"
            await redis.at(server, "FLUSHALL")
            assert await other.marked("7") is None
        await store.mark("7", "3f9c")
        await store.unmark("7")
        assert [await redis.at(server, "DBSIZE") for server in await redis.servers()] == [0, 0]


async def test_a_cluster_is_as_full_as_its_fullest_server(cluster):
    async with connect(cluster[0].url) as redis:
        store = RedisStore(redis, namespace="full")
        first, second = await redis.servers()
        assert (await store.state()).limit is None
        await redis.at(first, "CONFIG", "SET", "maxmemory", "100mb")
        await redis.at(second, "CONFIG", "SET", "maxmemory", "1gb")
        state = await store.state()
        for server in (first, second):
            await redis.at(server, "CONFIG", "SET", "maxmemory", "0")

        assert 100 * 2**20 * 1.2 < state.limit < 100 * 2**20 * 4  # when the first is full, all have so much
        assert (state.evicted, state.used > 0) == (0, True)


async def until(condition):
    async with asyncio.timeout(20.0):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.005)


async def test_a_fleet_has_leases_permits_a_journal_and_invalidations_in_a_cluster(
    cluster, reached, namespace
):
    heard = []
    keys = [f"key {number}" for number in range(100)]
    async with reached(cluster[0].url) as one, reached(cluster[1].url) as other:
        leases, rival = (RedisLeases(RedisStore(redis, namespace=namespace)) for redis in (one, other))
        tokens = await lease(leases, keys)
        assert set(tokens) == set(keys)
        assert await lease(rival, keys) == {}
        with rival.watch(keys) as changed:
            assert len(await leases.set_many(dict.fromkeys(keys, 1), tokens, ttl=60.0)) == len(keys)
            await asyncio.wait_for(changed(), 10.0)
        assert len(await RedisStore(other, namespace=namespace).get_many(keys)) == len(keys)

        permits = [RedisPermits(redis, namespace=namespace, max_backfills=1) for redis in (one, other)]
        assert [await each.acquire() for each in permits] == [(True, 0), (False, 0)]
        await RedisJournal(one, namespace=namespace).save(Heats({"a": 1.0}, None))
        assert await RedisJournal(other, namespace=namespace).load() == Heats({"a": 1.0}, None)

        listening = asyncio.create_task(
            RedisInvalidations(other, namespace=namespace, key_type=str).listen(heard.append)
        )
        await until(lambda: len(heard) == 1)
        await RedisInvalidations(one, namespace=namespace, key_type=str).publish(["a", "b"])
        await until(lambda: len(heard) == 2)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await RedisStore(one, namespace=namespace).clear()

    assert heard == [None, ["a", "b"]]


async def test_a_command_goes_where_its_key_is_also_before_the_map_is_known(cluster):
    async with connect(cluster[0].url) as redis:
        for number in range(10):
            key = f"key {number}".encode()
            assert await redis.execute("SET", key, number, key=key) == b"OK"
            assert await redis.script("return redis.call('GET', KEYS[1])", [key]) == str(number).encode()


def key_of(number, prefix="key"):
    """Return a key that is at server ``number``."""
    keys = (f"{prefix} {attempt}".encode() for attempt in range(1_000))
    return next(key for key in keys if hash_slot(key) // HALF == number)


async def test_a_slot_that_has_moved_is_followed(cluster, reached):
    key = key_of(0, "moved")
    async with reached(cluster[0].url) as redis, reached(cluster[1].url) as new:
        await redis.facts()
        identity = await new.execute("CLUSTER", "MYID")
        await new.execute("CLUSTER", "SETSLOT", hash_slot(key), "NODE", identity)
        await redis.execute("CLUSTER", "SETSLOT", hash_slot(key), "NODE", identity)
        for value in (b"1", b"2"):
            await redis.execute("SET", key, value, key=key)
            assert await new.execute("GET", key) == value


async def test_a_slot_that_is_on_its_way_is_asked_for_where_it_goes(cluster, reached):
    key = key_of(0, "on its way")
    async with (
        reached(cluster[0].url) as old,
        reached(cluster[1].url) as new,
        reached(cluster[0].url) as redis,
    ):
        names = [await one.execute("CLUSTER", "MYID") for one in (old, new)]
        await new.execute("CLUSTER", "SETSLOT", hash_slot(key), "IMPORTING", names[0])
        await old.execute("CLUSTER", "SETSLOT", hash_slot(key), "MIGRATING", names[1])

        assert await redis.execute("SET", key, 2, key=key) == b"OK"
        assert await redis.execute("GET", key, key=key) == b"2"
        with pytest.raises(RedisUnavailableError, match="garbled"):
            await redis.pipeline([("MGET", key)], keys=[key], lengths=[2])
        assert await redis.pipeline([("MGET", key)], keys=[key], lengths=[1]) == [[b"2"]]
        await redis.execute("SET", key, b"x" * 1_000_000, key=key)
        with pytest.raises(RedisError, match="longer than it may be"):
            await redis.execute("GET", key, key=key, most=1_000)
        assert await redis.execute("DEL", key, key=key) == 1

        for one in (old, new):
            await one.execute("CLUSTER", "SETSLOT", hash_slot(key), "STABLE")


async def test_a_server_that_serves_a_slot_no_more_and_knows_no_other_is_asked_around(cluster):
    key = key_of(0, "not served")
    slot = hash_slot(key)
    async with connect(cluster[0].url) as redis, connect(cluster[1].url) as new:
        await redis.facts()
        for one in (redis, new):
            await one.execute("CLUSTER", "DELSLOTS", slot)
        await new.execute("CLUSTER", "ADDSLOTS", slot)

        assert await redis.execute("SET", key, 1, key=key) == b"OK"  # refused with CLUSTERDOWN at first
        assert await new.execute("GET", key) == b"1"


async def test_no_server_is_connected_to_once_the_connection_is_closed(cluster):
    redis = connect(cluster[0].url)
    await redis.facts()
    await redis.aclose()
    for key in (key_of(0), key_of(1)):
        with pytest.raises(RedisUnavailableError, match="the connection is closed"):
            await redis.execute("GET", key, key=key)
        with pytest.raises(RedisUnavailableError, match="the connection is closed"):
            await redis.at(("127.0.0.1", cluster[1].port), "PING")


async def test_foreign_keys_stay_when_a_namespace_in_a_cluster_is_cleared(cluster):
    foreign = [f"ours:cart:{number}".encode() for number in range(50)]
    async with connect(cluster[0].url) as redis:
        await redis.pipeline([("SET", key, 1) for key in foreign], keys=foreign)
        store, other = RedisStore(redis, namespace="ours"), RedisStore(redis, namespace="ours-2")
        items = dict.fromkeys(range(50), 1)
        for each in (store, other):
            await each.set_many(items)
        await store.clear()

        assert await store.get_many(list(items)) == {}
        assert len(await other.get_many(list(items))) == 50
        assert await redis.pipeline([("GET", key) for key in foreign], keys=foreign) == [b"1"] * 50
        await redis.pipeline([("DEL", key) for key in foreign], keys=foreign)
        await other.clear()


async def told(redis, command, text):
    async with asyncio.timeout(20.0):
        while text not in await redis.execute(*command):  # noqa: ASYNC110 - it is in another process
            await asyncio.sleep(0.01)


async def test_a_replica_that_took_over_is_found_while_the_old_primary_lives_on(tmp_path_factory):
    servers = await asyncio.to_thread(start_cluster, tmp_path_factory.mktemp("cluster"))
    bus = free_port()
    servers.append(
        await asyncio.to_thread(
            start_valkey,
            tmp_path_factory.mktemp("replica"),
            *("--cluster-enabled", "yes", "--cluster-port", str(bus), "--repl-diskless-sync-delay", "0"),
        )
    )
    key = key_of(1)
    try:
        async with connect(servers[0].url) as redis, connect(servers[2].url) as replica:
            store = RedisStore(redis, namespace="ns")
            await store.set_many({number: number for number in range(50)})
            await redis.execute("CLUSTER", "MEET", "127.0.0.1", servers[2].port, bus)
            async with connect(servers[1].url) as old:
                identity = await old.execute("CLUSTER", "MYID")
            await told(replica, ("CLUSTER", "NODES"), identity)
            await replica.execute("CLUSTER", "REPLICATE", identity)
            await told(replica, ("INFO", "replication"), b"master_link_status:up")
            await replica.execute("CLUSTER", "FAILOVER", "TAKEOVER")
            async with connect(servers[1].url) as old:
                await told(old, ("INFO", "replication"), b"role:slave")

            assert await redis.execute("SET", key, 1, key=key) == b"OK"
            assert await replica.execute("GET", key) == b"1"
            assert len(await store.get_many(list(range(50)))) == 50
            tokens = await lease(RedisLeases(store), ["leased a", "leased b", "leased c"])
            assert len(tokens) == 3
            await store.clear()
            assert await store.get_many(list(range(50))) == {}
    finally:
        for server in servers:
            server.stop()


async def test_a_server_that_is_gone_takes_only_its_own_keys_along(tmp_path_factory):
    servers = await asyncio.to_thread(start_cluster, tmp_path_factory.mktemp("cluster"))
    keys = [key_of(0), key_of(1)]
    try:
        async with connect(servers[0].url) as redis:
            await redis.facts()
            servers[0].kill()

            with pytest.raises(RedisUnavailableError):
                await redis.pipeline([("SET", key, 1) for key in keys], keys=keys)
            assert len(await redis.groups(keys)) == 2
            assert await redis.execute("GET", keys[1], key=keys[1]) == b"1"
            with pytest.raises(RedisUnavailableError):
                await redis.execute("GET", keys[0], key=keys[0])
    finally:
        for server in servers:
            server.stop()


async def test_keys_of_two_slots_are_two_groups(cluster):
    async with connect(cluster[0].url) as redis:
        assert [list(group) for group in await redis.groups([b"{a}1", b"b", b"{a}2"])] == [[0, 2], [1]]
        with pytest.raises(RedisReplyError, match="hash to the same slot"):
            await redis.execute("MGET", b"a", b"b", key=b"a")


class InACluster:
    """Stores of two processes, each of which begins at another server."""

    version_of = None

    @pytest.fixture
    async def store(self, cluster, namespace):
        async with connect(cluster[0].url) as redis:
            store = RedisStore(redis, namespace=namespace, version_of=self.version_of)
            yield store
            await store.clear()

    @pytest.fixture
    async def peer(self, cluster, namespace):
        async with connect(cluster[1].url) as redis:
            yield RedisStore(redis, namespace=namespace, version_of=self.version_of)

    @pytest.fixture
    def leases(self, peer):
        return RedisLeases(peer, seconds=600.0)


class TestStoreInAClusterIsGuarded(InACluster, GuardedStoreContract, GuardedLeasesContract):
    items = ITEMS
    margin = 5.0
    refused = (object(), "x" * 1_000_001)


class TestStoreInAClusterHasVersions(InACluster, OfVersions, GuardedLeasesContract):
    version_of = itemgetter(0)
