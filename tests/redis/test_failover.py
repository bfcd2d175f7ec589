"""A failover after which the old primary lives on, as a replica: it is left for the new one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill.contracts import Heats
from async_backfill.redis.connection import connect
from async_backfill.redis.errors import RedisReplyError
from async_backfill.redis.invalidations import RedisInvalidations
from async_backfill.redis.journal import RedisJournal
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.permits import RedisPermits
from async_backfill.redis.store import RedisStore
from tests.servers.tcp_proxy import TcpProxy
from tests.servers.valkey import start_valkey

pytestmark = pytest.mark.anyio

NOBODY = 1  # a port: the old server is a replica without its primary


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two servers for all tests of this file."""
    folder = tmp_path_factory.mktemp("pair")
    with start_valkey(folder / "old") as old, start_valkey(folder / "new") as new:
        yield old, new


@asynccontextmanager
async def by_name(pair, **settings):
    """Give a connection by a name that leads to the first server, and a function that fails over."""
    old, new = pair
    async with (
        TcpProxy("127.0.0.1", old.port) as proxy,
        connect(f"redis://127.0.0.1:{proxy.port}/0", **settings) as redis,
        connect(old.url) as admin,
    ):

        async def fail_over(*, to=new):
            await admin.execute("REPLICAOF", "127.0.0.1", NOBODY)
            proxy.lead_to(to.port)

        redis.proxy = proxy
        try:
            yield redis, fail_over
        finally:
            await admin.execute("REPLICAOF", "NO", "ONE")


async def test_what_a_demoted_server_refuses_is_written_where_the_name_leads_now(pair, namespace):
    async with by_name(pair) as (redis, fail_over), connect(pair[1].url) as new:
        store = RedisStore(redis, namespace=namespace)
        await store.set_many({"a": 1})
        await fail_over()
        await store.set_many({"a": 2}, ttl=60.0)

        assert (await RedisStore(new, namespace=namespace).get_many(["a"]))["a"].value == 2


async def test_all_connections_leave_a_demoted_server(pair, namespace):
    async with by_name(pair) as (redis, fail_over), connect(pair[1].url) as new:
        store = RedisStore(redis, namespace=namespace)
        for _ in range(2):
            await asyncio.gather(*[store.set_many({number: number}, ttl=60.0) for number in range(50)])
            await fail_over()

        assert len(await RedisStore(new, namespace=namespace).get_many(list(range(50)))) == 50
        assert redis.proxy.accepted <= 16


async def test_leases_permits_journal_and_clear_follow_the_name(pair, namespace):
    async def change(redis, step):
        store = RedisStore(redis, namespace=namespace)
        if step == "leases":
            leases = RedisLeases(store)
            tokens = await leases.acquire_many(["a"], bytes(16))
            assert await leases.set_many({"a": 1}, tokens) == ["a"]
        elif step == "permits":
            await RedisPermits(redis, namespace=namespace, max_backfills=3).acquire()
        elif step == "journal":
            await RedisJournal(redis, namespace=namespace).save(Heats({"a": 1.0}, None))
        else:
            await store.clear()

    for step in ("leases", "permits", "journal", "clear"):
        async with by_name(pair) as (redis, fail_over), connect(pair[1].url) as new:
            await redis.execute("PING")
            left = RedisStore(new, namespace=namespace)
            await left.set_many({"left": 1})
            await fail_over()
            await change(redis, step)

            if step == "clear":
                assert await left.get_many(["left"]) == {}
            elif step == "leases":
                assert (await left.get_many(["a"]))["a"].value == 1
            else:
                name = f"{namespace}!{step}" + (":hot" if step == "journal" else "")
                assert await new.execute("EXISTS", name) == 1


async def test_an_invalidation_is_published_where_the_name_leads_now(pair, namespace):
    async with by_name(pair) as (redis, fail_over), connect(pair[1].url) as new:
        channel = f"{namespace}!invalidations".encode()
        publisher = RedisInvalidations(redis, namespace=namespace)
        await publisher.publish(["before"])
        await fail_over()
        async with new.subscribe(channel) as messages:
            await publisher.publish(["a"])

            async with asyncio.timeout(10.0):
                assert b":a" in (await anext(messages))[1]


async def test_who_listens_to_a_demoted_server_is_led_to_the_new_one_within_its_bound(pair, namespace):
    heard = asyncio.Queue()
    async with by_name(pair) as (redis, fail_over), connect(pair[1].url) as new:
        listener = RedisInvalidations(redis, namespace=namespace, bound=0.2)
        listening = asyncio.create_task(listener.listen(heard.put_nowait))
        async with asyncio.timeout(20.0):
            assert await heard.get() is None
            await fail_over()
            assert await heard.get() is None  # what was missed meanwhile is not known
            channel = f"{namespace}!invalidations".encode()
            while await new.execute("PUBSUB", "NUMSUB", channel) != [channel, 1]:
                pass
            await RedisInvalidations(new, namespace=namespace).publish(["a"])
            while (keys := await heard.get()) is None:
                pass
        listening.cancel()

    assert keys == ["a"]


async def test_a_name_that_leads_to_a_replica_still_is_looked_up_once_a_second_at_the_most(pair, namespace):
    async with by_name(pair, max_connections=1) as (redis, fail_over):
        await redis.execute("PING")
        await fail_over(to=pair[0])
        for _ in range(20):
            with pytest.raises(RedisReplyError) as refused:
                await redis.execute("SET", namespace, 1)
            assert refused.value.code == "READONLY"

        assert redis.proxy.accepted <= 3


async def test_what_a_replica_took_after_a_refusal_is_sent_again_with_it(pair, namespace):
    async with by_name(pair) as (redis, fail_over), connect(pair[1].url) as new:
        await redis.execute("PING")
        await fail_over()
        async with new.subscribe(namespace.encode()) as messages:
            answers = await redis.pipeline([("SET", namespace, 1, "PX", 1000), ("PUBLISH", namespace, "x")])

            assert answers == [b"OK", 1]
            assert await anext(messages) == (namespace.encode(), b"x")
