"""A client of redis-py that a program has: its connections are borrowed, and all of them given back."""

from __future__ import annotations

import asyncio
import random
from functools import partial

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
import redis
from redis.asyncio import Redis, Sentinel
from redis.auth.token import SimpleToken
from redis.credentials import CredentialProvider

from async_backfill import BackfillCache, FarTier, MappingSource
from async_backfill.errors import ConfigurationError
from async_backfill.redis import (
    RedisInvalidations,
    RedisLeases,
    RedisReplyError,
    RedisStore,
    RedisUnavailableError,
    connect,
    from_client,
)
from tests.servers.tcp_proxy import TcpProxy
from tests.servers.valkey import start_sentinel

pytestmark = pytest.mark.anyio

ITEMS = {f"key {number}": number for number in range(50)}


def tier(redis, namespace, **settings):
    store = RedisStore(redis, namespace=namespace)
    news = RedisInvalidations(redis, namespace=namespace, **settings)
    return FarTier(store=store, leases=RedisLeases(store), invalidations=news, timeout=10.0)


async def until(condition):
    async with asyncio.timeout(20.0):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.005)


async def all_back(client):
    async def is_it():
        return not lent(client)

    await until(is_it)


def lent(client):
    return len(client.connection_pool._in_use_connections)


async def test_a_process_with_a_client_and_one_without_share_values_and_hear_each_other(
    valkey_url, namespace
):
    async with (
        Redis.from_url(valkey_url, decode_responses=True) as client,
        from_client(client) as theirs,
        connect(valkey_url) as ours,
        BackfillCache(MappingSource(ITEMS), far=tier(theirs, namespace)) as one,
        BackfillCache(MappingSource(ITEMS), far=tier(ours, namespace)) as other,
    ):
        assert await one.get_many(ITEMS) == ITEMS
        await one.settle()
        assert await other.get_many(ITEMS) == ITEMS
        assert (one.stats.source_calls, other.stats.source_calls) == (1, 0)

        async def has(cache, value):
            return await cache.get("key 1") == value

        for name, first, second in (("one", one, other), ("other", other, one)):
            await first.put("key 1", name)
            await until(partial(has, second, name))
        await one.clear()
    assert lent(client) == 0


async def test_the_client_is_not_closed_and_has_all_its_connections_back(valkey_url, namespace):
    async with Redis.from_url(valkey_url) as client:
        for _ in range(3):
            async with from_client(client, max_connections=3) as redis, redis.subscribe(b"news"):
                await asyncio.gather(*[redis.execute("PING") for _ in range(20)])
                assert 2 <= lent(client) <= 4
            assert lent(client) == 0
            assert await client.set(namespace, 1, px=1000)
        assert len(client.connection_pool._available_connections) <= 4


async def test_cancelled_commands_answer_no_other_and_cost_the_client_no_connection(valkey_url):
    dice = random.Random(23)
    async with Redis.from_url(valkey_url, max_connections=5) as client:

        async def ask(redis, worker):
            for number in range(30):
                text = f"{worker}-{number}".encode()
                task = asyncio.create_task(redis.execute("ECHO", text))
                for _ in range(dice.randrange(20)):
                    await asyncio.sleep(0)
                if dice.random() < 0.5:
                    task.cancel()
                    task.cancel()
                try:
                    assert await task == text
                except asyncio.CancelledError:
                    assert task.cancelled()

        async with from_client(client, max_connections=4) as redis, asyncio.TaskGroup() as workers:
            for worker in range(20):
                workers.create_task(ask(redis, worker))

        assert lent(client) == 0
        assert [await client.echo(str(number)) for number in range(9)] == [b"%d" % n for n in range(9)]


async def test_a_subscription_that_is_cancelled_costs_the_client_no_connection(valkey_url):
    async with (
        TcpProxy("127.0.0.1", int(valkey_url.split(":")[2].split("/")[0])) as proxy,
        Redis(port=proxy.port) as client,
        from_client(client) as redis,
    ):

        async def listen():
            async with redis.subscribe(b"news"):
                await asyncio.Event().wait()

        proxy.delay(0.01)
        for turns in range(0, 40, 4):
            task = asyncio.create_task(listen())
            for _ in range(turns):
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await all_back(client)


async def test_a_lost_subscription_is_told_and_not_made_again_in_silence(valkey):
    server = valkey()
    async with Redis.from_url(server.url) as client, from_client(client) as redis:
        async with redis.subscribe(b"news", heartbeat=0.1) as messages:
            await client.publish("news", "x")
            assert await anext(messages) == (b"news", b"x")
            await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            with pytest.raises(RedisUnavailableError):
                await anext(messages)
        assert lent(client) <= 1


async def test_a_quiet_subscription_of_a_client_lives_as_long_as_the_server_answers(valkey):
    async with (
        Redis.from_url(valkey().url, socket_timeout=0.05, decode_responses=True) as client,
        from_client(client) as redis,
        redis.subscribe(b"news", heartbeat=0.1) as messages,
    ):
        waiting = asyncio.ensure_future(anext(messages))
        while "cmdstat_ping" not in str(await redis.execute("INFO", "commandstats")):
            pass
        await redis.execute("PUBLISH", "news", b"\xff still here")
        assert await waiting == (b"news", b"\xff still here")


async def test_what_a_demoted_server_refuses_goes_over_the_client_to_the_new_one(valkey, namespace):
    old, new = valkey(), valkey()
    async with (
        TcpProxy("127.0.0.1", old.port) as proxy,
        Redis(port=proxy.port) as client,
        from_client(client) as redis,
        connect(new.url) as promoted,
        connect(old.url) as demoted,
    ):
        store = RedisStore(redis, namespace=namespace)
        await store.set_many({"a": 1}, ttl=60.0)
        await demoted.execute("REPLICAOF", "127.0.0.1", 1)
        proxy.lead_to(new.port)
        await store.set_many({"a": 2}, ttl=60.0)

        assert (await RedisStore(promoted, namespace=namespace).get_many(["a"]))["a"].value == 2


async def test_a_client_of_sentinels_brings_its_primary(valkey, tmp_path, namespace):
    server = valkey()
    with start_sentinel(tmp_path / "sentinel", server) as sentinel:
        sentinels = Sentinel([("127.0.0.1", sentinel.port)])
        async with sentinels.master_for("mymaster") as client, from_client(client) as redis:
            assert repr(redis) == "RedisConnection('mymaster')"
            async with BackfillCache(MappingSource(ITEMS), far=tier(redis, namespace)) as cache:
                assert await cache.get_many(ITEMS) == ITEMS
                assert cache.stats.far.failures == 0
        for each in sentinels.sentinels:
            await each.aclose()


async def test_a_server_that_is_gone_or_refuses_the_login_is_told_as_with_a_url(valkey):
    server = valkey("--requirepass", "right-sesame")
    async with Redis(port=server.port, password="wrong-sesame") as client:  # noqa: S106 - of this test
        async with from_client(client, connect_timeout=0.5) as redis:  # meanwhile the client tries again
            with pytest.raises(RedisReplyError) as refused:
                await redis.execute("PING")
            assert refused.value.code == "WRONGPASS"
            assert "sesame" not in str(refused.value) + repr(redis)
            server.kill()
            with pytest.raises(RedisUnavailableError, match=f"redis at localhost:{server.port}: "):
                await redis.execute("PING")
        assert lent(client) == 0


async def test_a_borrowed_connection_that_breaks_at_once_is_told_in_one_line(valkey_url):
    port = int(valkey_url.split(":")[2].split("/")[0])
    async with TcpProxy("127.0.0.1", port) as proxy, Redis(port=proxy.port) as client:
        await client.ping()
        proxy.drop()
        async with from_client(client, connect_timeout=20.0) as redis:
            asking = asyncio.create_task(redis.execute("PING"))
            while not lent(client):  # noqa: ASYNC110 - redis-py has nothing to wait for
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            proxy.reset()
            with pytest.raises(RedisUnavailableError) as lost:
                await asking
        assert str(lost.value).count("redis at") == 1
        assert lent(client) == 0


async def test_a_client_that_gives_no_connection_is_given_up_in_time(valkey_url):
    port = int(valkey_url.split(":")[2].split("/")[0])
    async with TcpProxy("127.0.0.1", port) as proxy, Redis(port=proxy.port) as client:
        proxy.drop()
        async with from_client(client, connect_timeout=0.05) as redis:
            with pytest.raises(RedisUnavailableError, match=r"no connection of the client's within 0\.05 s"):
                await redis.execute("PING")
        await all_back(client)


async def test_a_borrowed_connection_is_logged_in_anew_when_the_client_says_so(valkey):
    server = valkey("--user", "app", "on", ">sesame", "~*", "&*", "+@all")
    async with Redis.from_url(server.url) as client, from_client(client, max_connections=1) as redis:
        assert await redis.execute("ACL", "WHOAMI") == b"default"
        (borrowed,) = client.connection_pool._in_use_connections
        borrowed.set_re_auth_token(SimpleToken("sesame", -1, 0, {"oid": "app"}))  # as its provider does
        assert await redis.execute("ACL", "WHOAMI") == b"app"


async def test_a_provider_that_fails_is_told_without_its_text(valkey_url):
    class Failing(CredentialProvider):
        async def get_credentials_async(self):
            raise RuntimeError("of sesame")

    port = int(valkey_url.split(":")[2].split("/")[0])
    async with Redis(port=port, credential_provider=Failing()) as client, from_client(client) as redis:
        with pytest.raises(RedisUnavailableError, match="provider of the client raised RuntimeError") as told:
            await redis.execute("PING")
        assert "sesame" not in str(told.value)
    assert lent(client) == 0


async def test_a_pool_that_is_too_small_is_told(valkey_url):
    async with Redis.from_url(valkey_url, max_connections=1) as client, from_client(client) as redis:
        async with redis.subscribe(b"news"):
            with pytest.raises(RedisUnavailableError, match="Too many connections"):
                await redis.execute("PING")
        assert await redis.execute("PING") == b"PONG"


async def test_a_value_over_the_limit_is_a_miss_over_a_client_as_well(valkey_url, namespace):
    async with Redis.from_url(valkey_url) as client, from_client(client) as redis:
        large = RedisStore(redis, namespace=namespace)
        await large.set_many({"a": "x" * 500_000, "b": 1}, ttl=60.0)
        small = RedisStore(redis, namespace=namespace, max_value_bytes=1_000)
        assert {key: copy.value for key, copy in (await small.get_many(["a", "b"])).items()} == {"b": 1}
        assert sum(small.rejected.values()) == 1
        await large.clear()


def test_a_client_that_was_used_in_another_event_loop_is_told(valkey_url):
    client = Redis.from_url(valkey_url)
    redis = from_client(client)

    async def ask():
        return await redis.execute("PING")

    async def ask_and_close():
        async with redis:
            assert await ask() == b"PONG"
        await client.aclose()

    asyncio.run(ask_and_close())
    again = from_client(client)
    again._dialer._home = redis._dialer._home
    with pytest.raises(RedisUnavailableError, match="in another process or event loop: make it"):
        asyncio.run(again.execute("PING"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: "redis://host", r"^client: must be a Redis or a RedisCluster of redis\.asyncio, not a str$"),
        (redis.Redis, r"not a redis\.client\.Redis$"),
    ],
)
async def test_what_is_no_client_is_refused(make, said):
    with pytest.raises(ConfigurationError, match=said):
        from_client(make())
