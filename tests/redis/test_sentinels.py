"""Sentinels: the primary that they name is used, and after a failover the new one."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, closing
from functools import partial

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, CircuitPolicy, FarTier, FreshnessPolicy, MappingSource
from async_backfill.errors import ConfigurationError
from async_backfill.redis import (
    RedisInvalidations,
    RedisLeases,
    RedisReplyError,
    RedisStore,
    RedisUnavailableError,
)
from async_backfill.redis import connect as connect_soon
from tests.servers.ports import free_port
from tests.servers.tcp_proxy import TcpProxy
from tests.servers.valkey import start_sentinel, start_valkey

pytestmark = pytest.mark.anyio

connect = partial(connect_soon, connect_timeout=20.0)  # on a busy machine a sentinel takes its time


@pytest.fixture
def anyio_backend():
    """One loop will do: a failover takes two seconds."""
    return "asyncio"


class Group:
    """A primary, its replica and a sentinel."""

    def __init__(self, folder, *lines, password=None):
        own = ("--repl-diskless-sync-delay", "0")
        if password is not None:
            own = (*own, "--requirepass", password, "--primaryauth", password)
            lines = (*lines, f"sentinel auth-pass mymaster {password}")
        self.primary = start_valkey(folder / "primary", *own)
        following = ("--replicaof", f"127.0.0.1 {self.primary.port}")
        self.replica = start_valkey(folder / "replica", *own, *following)
        self.sentinel = start_sentinel(folder / "sentinel", self.primary, *lines)

    def url(self, login="", before="", rest=""):
        return f"redis+sentinel://{login}{before}127.0.0.1:{self.sentinel.port}/mymaster/0{rest}"

    def stop(self):
        for each in (self.sentinel, self.replica, self.primary):
            each.stop()


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """One for the tests that break nothing."""
    started = Group(tmp_path_factory.mktemp("group"))
    yield started
    started.stop()


async def told(url, command, text):
    """Wait until the server says ``text``."""
    async with connect(url) as redis, asyncio.timeout(30.0):
        while text not in str(await redis.execute(*command)):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.02)


async def port_of(redis):
    return int((await redis.execute("CONFIG", "GET", "port"))[1])


async def test_the_primary_that_the_sentinels_name_is_used(group):
    for scheme in ("redis", "valkey"):
        async with connect(group.url().replace("redis", scheme)) as redis:
            assert await port_of(redis) == group.primary.port
            assert repr(redis) == (
                f"RedisConnection('mymaster of the sentinels 127.0.0.1:{group.sentinel.port}')"
            )
            async with redis.subscribe(b"news") as messages:
                await redis.execute("PUBLISH", "news", "x")
                assert await anext(messages) == (b"news", b"x")


async def test_a_sentinel_that_is_gone_or_says_nothing_is_passed_over(group):
    async with TcpProxy("127.0.0.1", group.sentinel.port) as silent:
        silent.drop()
        before = f"127.0.0.1:{free_port()},127.0.0.1:{silent.port},"
        async with connect(group.url(before=before), connect_timeout=4.0) as redis:
            assert await port_of(redis) == group.primary.port
            await asyncio.gather(*[redis.execute("PING") for _ in range(5)])
            assert silent.accepted == 1  # who answered last is asked first


async def test_what_each_sentinel_said_is_in_the_one_error_when_none_knows_the_primary(group):
    gone = free_port()
    url = group.url(before=f"127.0.0.1:{gone},").replace("mymaster", "other")
    async with connect(url) as redis:
        with pytest.raises(RedisUnavailableError) as refused:
            await redis.execute("PING")

    said = str(refused.value)
    assert said.startswith(f"no sentinel names the primary 'other': 127.0.0.1:{gone}: Error 111 connecting")
    assert said.endswith(f"; 127.0.0.1:{group.sentinel.port}: knows no 'other'")


async def test_a_sentinel_has_a_login_of_its_own(group, tmp_path):
    locked = start_sentinel(tmp_path / "locked", group.primary, "requirepass sesame-1")
    try:
        url = f"redis+sentinel://127.0.0.1:{locked.port}/mymaster"
        async with connect(f"{url}?sentinel_password=sesame-1") as redis:
            assert await port_of(redis) == group.primary.port
        for query in ("", "?sentinel_password=sesame-2"):
            async with connect(url + query) as redis:
                with pytest.raises(RedisUnavailableError, match="no sentinel names") as refused:
                    await redis.execute("PING")
            assert "sesame" not in str(refused.value) + repr(redis)
    finally:
        locked.stop()


async def test_the_login_of_the_url_is_for_the_server(tmp_path):
    locked = await asyncio.to_thread(Group, tmp_path, password="sesame")  # noqa: S106 - of this test
    try:
        async with connect(locked.url(":sesame@")) as redis:
            assert await redis.execute("PING") == b"PONG"
        async with connect(locked.url(":sesame-2@")) as redis:
            with pytest.raises(RedisReplyError) as refused:
                await redis.execute("PING")
            assert refused.value.code == "WRONGPASS"
    finally:
        locked.stop()


@asynccontextmanager
async def a_sentinel_that_names(server):
    """Give the port of one that always names this port of a server, as no real one does for long."""

    async def name(reader, writer):
        with closing(writer):
            await reader.readuntil(b"mymaster\r\n")
            writer.write(b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(server)), server))
            await writer.drain()
            await reader.read()

    async with await asyncio.start_server(name, "127.0.0.1", 0) as sentinel:
        yield sentinel.sockets[0].getsockname()[1]


async def test_a_sentinel_that_names_a_server_of_no_use_is_asked_last_from_then_on(group):
    async with (
        a_sentinel_that_names(free_port()) as late,
        connect(group.url(before=f"127.0.0.1:{late},")) as redis,
    ):
        with pytest.raises(RedisUnavailableError):
            await redis.execute("PING")
        assert await port_of(redis) == group.primary.port
        async with redis.subscribe(b"news"):
            pass


async def test_a_replica_that_a_sentinel_names_is_not_used_until_it_is_the_primary(group, valkey):
    replica = valkey("--replicaof", f"127.0.0.1 {group.primary.port}")
    async with (
        a_sentinel_that_names(replica.port) as late,
        connect(replica.url) as admin,
        connect(f"redis+sentinel://127.0.0.1:{late}/mymaster") as redis,
    ):
        with pytest.raises(RedisUnavailableError, match=r"name it as the primary .*, but it is a slave"):
            await redis.execute("PING")
        await admin.execute("REPLICAOF", "NO", "ONE")
        assert await port_of(redis) == replica.port


@pytest.fixture
def pair(tmp_path):
    """One that is broken."""
    started = Group(tmp_path / "pair")
    yield started
    started.stop()


@pytest.mark.parametrize("end", ["SIGKILL", "SIGSTOP"])
async def test_a_cache_goes_on_with_the_new_primary_when_the_old_one_is_gone(pair, namespace, end):
    items = {f"key {number}": number for number in range(50)}
    await told(pair.replica.url, ("INFO", "replication"), "master_link_status:up")
    await told(pair.sentinel.url, ("SENTINEL", "REPLICAS", "mymaster"), str(pair.replica.port))
    async with connect(pair.url(), connect_timeout=4.0) as redis:
        store = RedisStore(redis, namespace=namespace)
        tier = FarTier(
            store=store,
            leases=RedisLeases(store),
            invalidations=RedisInvalidations(redis, namespace=namespace),
            timeout=1.5,
            circuit=CircuitPolicy(failures=1_000),
        )
        freshness = FreshnessPolicy(ttl=600.0)
        async with BackfillCache(MappingSource(items), far=tier, freshness=freshness) as cache:
            assert await cache.get_many(items) == items
            await cache.settle()
            await redis.execute("WAIT", 1, 10_000)
            pair.primary.process.send_signal(getattr(signal, end))
            async with asyncio.timeout(30.0):
                while True:
                    assert await cache.get_many(items) == items  # no read fails meanwhile
                    try:
                        async with asyncio.timeout(0.5):
                            await store.set_many({"new": 1}, ttl=60.0)
                        break
                    except (TimeoutError, RedisUnavailableError):
                        await asyncio.sleep(0.05)
            assert await port_of(redis) == pair.replica.port
            assert len(await store.get_many([*items, "new"])) == 51  # what was replicated is there
            await cache.invalidate("key 1")
            assert await cache.get("key 1") == 1


async def test_a_primary_that_is_demoted_alive_is_left_for_the_one_that_is_named_now(valkey, tmp_path):
    old, new = valkey(), valkey()
    with start_sentinel(tmp_path / "sentinel", old) as sentinel:
        async with (
            connect(f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster") as redis,
            connect(sentinel.url) as asked,
            connect(old.url) as demoted,
            connect(new.url) as promoted,
        ):
            store = RedisStore(redis, namespace="ns")
            await store.set_many({"a": 1}, ttl=60.0)
            await asked.execute("SENTINEL", "REMOVE", "mymaster")
            await asked.execute("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", new.port, 1)
            await demoted.execute("REPLICAOF", "127.0.0.1", new.port)
            await store.set_many({"a": 2}, ttl=60.0)

            assert redis.failovers == 1
            assert (await RedisStore(promoted, namespace="ns").get_many(["a"]))["a"].value == 2


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:sesame@host:26379",
        "redis+sentinel:///mymaster/0",
        "redis+sentinel://:sesame@host:1,,other:2/mymaster",
        "redis+sentinel://:sesame@host:port/mymaster/0",
        "redis+sentinel://:sesame@host/mymaster/x",
        "redis+sentinel://:sesame@host/mymaster/0?sentinel_nonsense=sesame",
        "unix+sentinel://:sesame@host/mymaster/0",
    ],
)
def test_a_url_of_sentinels_that_cannot_be_used_is_refused_without_its_password(url):
    with pytest.raises(ConfigurationError, match=r"^url: ") as refused:
        connect(url)
    assert "ses" not in str(refused.value)


def test_a_url_of_sentinels_may_have_one_without_a_port_and_one_of_ipv6():
    redis = connect("rediss+sentinel://app:sesame@one,[::1]:7/my%2Fmaster")
    assert repr(redis) == "RedisConnection('my/master of the sentinels one:26379, ::1:7')"
    assert redis.user == "app"
