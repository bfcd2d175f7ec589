"""TLS: the server's certificate and name are verified, and what is wrong is said in one line."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import closing
from functools import partial

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
pytest.importorskip("trustme", reason="needs the extra test")
from async_backfill import BackfillCache, FarTier, MappingSource
from async_backfill.errors import ConfigurationError
from async_backfill.redis import (
    RedisInvalidations,
    RedisLeases,
    RedisReplyError,
    RedisStore,
    RedisUnavailableError,
)
from async_backfill.redis import connect as connect_soon
from tests.servers.tcp_proxy import TcpProxy
from tests.servers.tls import Authority, tls_before

pytestmark = pytest.mark.anyio

connect = partial(connect_soon, connect_timeout=20.0)  # on a busy machine a handshake takes its time


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def other():
    return Authority()


def port_of(url):
    return int(url.rpartition(":")[2].partition("/")[0])


async def refusal(server, url="rediss://localhost:{}/0", **settings):
    """Return what is said by a connection to ``server``, a port."""
    async with connect(url.format(server), **settings) as redis:
        with pytest.raises(RedisUnavailableError) as refused:
            await redis.execute("PING")
    return str(refused.value)


async def test_an_own_authority_is_a_context_or_a_file_of_the_url(valkey_url, authority, tmp_path):
    authority.ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with tls_before(port_of(valkey_url), authority.server) as port:
        url = f"rediss://localhost:{port}/0"
        for redis in (
            connect(url, ssl_context=authority.trusted()),
            connect(f"{url}?ssl_ca_certs={tmp_path}/ca.pem"),
        ):
            async with redis:
                assert await redis.execute("ECHO", "x" * 100_000) == b"x" * 100_000


async def test_a_cache_has_store_leases_and_invalidations_over_tls(valkey_url, authority, namespace):
    async with (
        tls_before(port_of(valkey_url), authority.server) as port,
        connect(f"rediss://localhost:{port}/0", ssl_context=authority.trusted()) as redis,
    ):
        store = RedisStore(redis, namespace=namespace)
        tier = FarTier(
            store=store,
            leases=RedisLeases(store),
            invalidations=RedisInvalidations(redis, namespace=namespace),
            timeout=10.0,
        )
        items = {f"key {number}": number for number in range(1_000)}
        async with BackfillCache(MappingSource(items), far=tier) as cache:
            assert await cache.get_many(items) == items
            await cache.invalidate("key 1")
            await cache.settle()
            assert len(await store.get_many([*items])) == 999
        await store.clear()


async def test_a_certificate_of_an_authority_that_is_not_trusted_is_refused(valkey_url, authority, other):
    async with tls_before(port_of(valkey_url), authority.server) as port:
        for settings in ({}, {"ssl_context": other.trusted()}):
            said = await refusal(port, **settings)

            assert said.startswith(f"redis at localhost:{port}: its certificate is not accepted: ")
            assert said.endswith("certificate (own CAs: ssl_context= of connect)")


async def test_a_certificate_for_another_name_is_refused(valkey_url):
    elsewhere = Authority("elsewhere.test")
    async with tls_before(port_of(valkey_url), elsewhere.server) as port:
        said = await refusal(port, ssl_context=elsewhere.trusted())

    assert said == (
        f"redis at localhost:{port}: its certificate is not accepted: "
        "Hostname mismatch, certificate is not valid for 'localhost'"
    )


async def test_a_certificate_that_has_expired_is_refused(valkey_url):
    old = Authority(expired=True)
    async with tls_before(port_of(valkey_url), old.server) as port:
        said = await refusal(port, ssl_context=old.trusted())

    assert said == (f"redis at localhost:{port}: its certificate is not accepted: certificate has expired")


async def test_a_server_that_asks_for_a_clients_certificate_gets_that_of_the_context(valkey_url):
    strict = Authority(clients=True)
    async with tls_before(port_of(valkey_url), strict.server) as port:
        async with connect(
            f"rediss://localhost:{port}/0", ssl_context=strict.trusted(client="app@example.test")
        ) as redis:
            assert await redis.execute("PING") == b"PONG"
        said = await refusal(port, ssl_context=strict.trusted())

    assert said.startswith(f"redis at localhost:{port}: ")


async def test_sentinels_and_the_server_that_they_name_are_asked_with_tls(valkey_url, authority):
    async with tls_before(port_of(valkey_url), authority.server) as server:

        async def name(reader, writer):  # that of the wheel has no TLS, and would name the server without
            with closing(writer):
                await reader.readuntil(b"mymaster\r\n")
                writer.write(b"*2\r\n$9\r\nlocalhost\r\n$%d\r\n%d\r\n" % (len(str(server)), server))
                await writer.drain()
                await reader.read()

        async with (
            await asyncio.start_server(name, "127.0.0.1", 0) as plain,
            tls_before(plain.sockets[0].getsockname()[1], authority.server) as sentinel,
        ):
            url = f"rediss+sentinel://localhost:{sentinel}/mymaster"
            async with connect(url, ssl_context=authority.trusted()) as redis:
                assert await redis.execute("PING") == b"PONG"
            said = await refusal(sentinel, "rediss+sentinel://localhost:{}/mymaster")
            assert said.startswith(
                f"no sentinel names the primary 'mymaster': localhost:{sentinel}: its certificate"
            )


async def test_a_server_without_tls_and_a_client_without_tls_are_told_so_in_time(valkey_url, authority):
    plain = port_of(valkey_url)
    said = await refusal(plain, ssl_context=authority.trusted(), connect_timeout=0.2)
    assert said == f"redis at localhost:{plain}: not connected with TLS within 0.2 s"

    async with tls_before(port_of(valkey_url), authority.server) as port:
        said = await refusal(port, "redis://localhost:{}/0")
        assert said.startswith(f"redis at localhost:{port}: ")


async def test_a_server_that_says_nothing_to_a_handshake_is_given_up_in_time(valkey_url):
    async with TcpProxy("127.0.0.1", port_of(valkey_url)) as silent:
        silent.drop()
        said = await refusal(silent.port, connect_timeout=0.05)

    assert said == f"redis at localhost:{silent.port}: not connected with TLS within 0.05 s"


async def test_a_wrong_password_over_tls_is_what_the_server_says(valkey, authority):
    server = valkey("--requirepass", "right-sesame")
    async with (
        tls_before(server.port, authority.server) as port,
        connect(f"rediss://:wrong-sesame@localhost:{port}", ssl_context=authority.trusted()) as redis,
    ):
        with pytest.raises(RedisReplyError, match="WRONGPASS") as refused:
            await redis.execute("PING")
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "settings", "said"),
    [
        ("redis://host", {"ssl_context": ssl.create_default_context()}, "ssl_context: is for a URL that"),
        ("rediss://host", {"ssl_context": True}, "ssl_context: must be an ssl.SSLContext, not a bool"),
        ("rediss://host?ssl_ca_certs=/no/such/file", {}, "url: names a certificate that cannot be read: "),
    ],
)
def test_what_cannot_be_used_for_tls_is_refused_at_once(url, settings, said):
    with pytest.raises(ConfigurationError, match=f"^{said}"):
        connect(url, **settings)
