"""A client of a cluster that a program has: its settings make our connections, and it is left alone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode, LoadBalancingStrategy
from redis.credentials import CredentialProvider

from async_backfill import BackfillCache, MappingSource
from async_backfill.errors import ConfigurationError
from async_backfill.redis import (
    RedisControl,
    RedisReplyError,
    RedisStore,
    RedisUnavailableError,
    connect,
    from_client,
)
from tests.servers.ports import free_port
from tests.servers.tcp_proxy import TcpProxy
from tests.servers.tls import Authority, tls_before

pytestmark = pytest.mark.anyio

ITEMS = {f"key {number}": number for number in range(100)}


@pytest.fixture
def anyio_backend():
    """One loop will do: a cluster takes two seconds to start."""
    return "asyncio"


class Tokens(CredentialProvider):
    """Gives the login of ``app``, and counts."""

    def __init__(self):
        self.given = 0

    def get_credentials(self):
        raise AssertionError("it is for others than asyncio")

    async def get_credentials_async(self):
        self.given += 1
        return "app", "sesame"


class Failing(CredentialProvider):
    """Has no login, and says a secret."""

    async def get_credentials_async(self):
        raise RuntimeError("of sesame")


async def answers(redis, *command):
    return {await redis.at(server, *command) for server in await redis.servers()}


async def test_each_server_is_logged_in_to_as_the_provider_of_the_client_says(cluster, namespace):
    tokens = Tokens()
    client = RedisCluster(
        port=cluster[0].port, host="127.0.0.1", credential_provider=tokens, client_name="shop"
    )
    async with connect(cluster[0].url) as admin, from_client(client) as redis:
        for server in await admin.servers():
            await admin.at(server, "ACL", "SETUSER", "app", "on", ">sesame", "~*", "&*", "+@all")
        store = RedisStore(redis, namespace=namespace)
        await store.set_many(ITEMS, ttl=60.0)
        assert len(await store.get_many([*ITEMS])) == len(ITEMS)
        assert await answers(redis, "ACL", "WHOAMI") == {b"app"}
        assert await answers(redis, "CLIENT", "GETNAME") == {b"shop"}
        assert tokens.given >= 2
        await store.clear()
        for server in await admin.servers():
            await admin.at(server, "ACL", "DELUSER", "app")


async def test_the_client_is_not_connected_and_may_be_closed(cluster, namespace):
    client = RedisCluster.from_url(cluster[0].url)
    async with from_client(client) as redis:
        assert await redis.execute("PING") == b"PONG"
        assert client.get_nodes() == []
        await client.aclose()
        store = RedisStore(redis, namespace=namespace)
        await store.set_many(ITEMS, ttl=60.0)
        assert len(await store.get_many([*ITEMS])) == len(ITEMS)
        await store.clear()


async def test_nothing_of_ours_reads_replicas_where_the_client_does(cluster):
    client = RedisCluster.from_url(cluster[0].url, load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN)
    async with client, from_client(client) as redis:
        await client.get("key 1")
        for said in await answers(redis, "CLIENT", "INFO"):
            assert b" flags=N " in said
            assert b" resp=2 " in said


async def test_tls_and_other_addresses_are_those_of_the_client(cluster, namespace, tmp_path):
    authority = Authority("127.0.0.1", "localhost")
    authority.ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with AsyncExitStack() as stack:
        secured = {
            server.port: await stack.enter_async_context(tls_before(server.port, authority.server))
            for server in cluster
        }
        client = RedisCluster(
            host="127.0.0.1",
            port=secured[cluster[0].port],
            ssl=True,
            ssl_ca_certs=str(tmp_path / "ca.pem"),
            address_remap=lambda address: ("localhost", secured[address[1]]),
        )
        redis = await stack.enter_async_context(from_client(client))
        store = RedisStore(redis, namespace=namespace)
        await store.set_many(ITEMS, ttl=60.0)
        assert len(await store.get_many([*ITEMS])) == len(ITEMS)
        await store.clear()


async def test_a_start_node_that_is_gone_or_silent_is_passed_over(cluster):
    async with TcpProxy("127.0.0.1", cluster[0].port) as silent:
        silent.drop()
        ports = (free_port(), silent.port, cluster[1].port)
        client = RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port) for port in ports])
        async with from_client(client, connect_timeout=2.0) as redis:
            assert await redis.execute("PING") == b"PONG"
            assert len(await redis.servers()) == 2


async def test_start_nodes_that_are_all_gone_are_named_and_asked_again_later(cluster):
    async with TcpProxy("127.0.0.1", cluster[0].port) as proxy:
        proxy.refuse()
        client = RedisCluster(
            startup_nodes=[ClusterNode("127.0.0.1", port) for port in (free_port(), proxy.port)]
        )
        async with from_client(client, connect_timeout=20.0) as redis:
            assert repr(redis).count("127.0.0.1:") == 2
            with pytest.raises(RedisUnavailableError, match=r"redis at 127\.0\.0\.1:"):
                await redis.execute("PING")
            await proxy.heal()
            assert await redis.execute("PING") == b"PONG"


async def test_a_wrong_password_of_a_client_is_what_the_server_says(valkey):
    server = valkey("--requirepass", "right-sesame")
    client = RedisCluster(host="127.0.0.1", port=server.port, password="wrong-sesame")  # noqa: S106 - of this test
    async with from_client(client) as redis:
        with pytest.raises(RedisReplyError) as refused:
            await redis.execute("PING")
    assert refused.value.code == "WRONGPASS"
    assert "sesame" not in f"{refused.value}{redis!r}"


async def test_a_provider_that_fails_is_told_without_its_text(cluster):
    client = RedisCluster(host="127.0.0.1", port=cluster[0].port, credential_provider=Failing())
    async with from_client(client) as redis:
        for _ in range(2):
            with pytest.raises(
                RedisUnavailableError, match="provider of the client raised RuntimeError"
            ) as told:
                await redis.execute("PING")
        with pytest.raises(RedisUnavailableError):
            async with redis.subscribe(b"news"):
                pass
    assert "sesame" not in str(told.value)


def test_settings_of_a_client_that_cannot_be_used_are_refused():
    client = RedisCluster(host="127.0.0.1", ssl=True, ssl_ca_certs="/no/such/file")
    with pytest.raises(ConfigurationError, match=r"^client: names a certificate that cannot be read"):
        from_client(client)


async def test_orders_reach_every_process_of_a_cluster(cluster, namespace, reached):
    async with reached(cluster[0].url) as one, reached(cluster[1].url) as two:
        caches = [
            BackfillCache(MappingSource(ITEMS), control=RedisControl(redis, namespace=namespace))
            for redis in (one, two)
        ]
        async with caches[0] as first, caches[1] as second:
            await first.control.pause(by="ada", reason="the source suffers")
            async with asyncio.timeout(20.0):
                while not second.control.status.is_paused:  # noqa: ASYNC110 - it comes over the network
                    await asyncio.sleep(0.005)
            await first.control.resume(by="ada", reason="it is well")
