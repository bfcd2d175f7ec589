"""Credentials that change: each new socket is logged in with what the function returns then."""

from __future__ import annotations

import asyncio
import logging

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, CircuitPolicy, FarTier, FreshnessPolicy, MappingSource
from async_backfill.errors import ConfigurationError
from async_backfill.redis import (
    Credentials,
    RedisInvalidations,
    RedisLeases,
    RedisReplyError,
    RedisStore,
    RedisUnavailableError,
    connect,
)

pytestmark = pytest.mark.anyio


class Tokens:
    """Gives the token of now, and counts how often it was asked."""

    def __init__(self, token, **settings):
        self.token, self.settings, self.asked = token, settings, 0

    async def __call__(self):
        self.asked += 1
        await asyncio.sleep(0)
        return Credentials(user="app", password=self.token, **self.settings)


@pytest.fixture
def server(valkey):
    return valkey("--user", "app", "on", ">sesame-0", "~*", "&*", "+@all")


async def rotate(admin, tokens, token):
    """Replace the password, and end all that were logged in with the one before."""
    await admin.execute("ACL", "SETUSER", "app", f">{token}")  # as sites do: for a while both are let in
    before, tokens.token = tokens.token, token
    await admin.execute("ACL", "SETUSER", "app", f"<{before}")
    await admin.execute("CLIENT", "KILL", "USER", "app")


async def test_each_new_socket_is_logged_in_with_what_is_the_password_then(server):
    tokens = Tokens("sesame-0")
    async with connect(server.url) as admin, connect(server.url, credentials=tokens) as redis:
        assert await redis.execute("ACL", "WHOAMI") == b"app"
        assert redis.user == "app"
        for number in range(1, 4):
            await rotate(admin, tokens, f"sesame-{number}")
            await asyncio.sleep(0.01)  # until the end of the socket has come
            assert await redis.execute("ACL", "WHOAMI") == b"app"
            async with redis.subscribe(b"news") as messages:
                await redis.execute("PUBLISH", "news", number)
                assert await anext(messages) == (b"news", str(number).encode())

    assert tokens.asked == 7


async def test_a_password_that_changes_in_mid_traffic_fails_no_read(server, caplog):
    tokens = Tokens("sesame-0")
    items = {f"key {number}": number for number in range(50)}
    async with connect(server.url) as admin, connect(server.url, credentials=tokens) as redis:
        store = RedisStore(redis, namespace="ns")
        tier = FarTier(
            store=store,
            leases=RedisLeases(store),
            invalidations=RedisInvalidations(redis, namespace="ns"),
            timeout=10.0,
            circuit=CircuitPolicy(failures=1_000),
        )
        freshness = FreshnessPolicy(ttl=0.001)  # so that each read goes to the far tier
        async with BackfillCache(MappingSource(items), far=tier, freshness=freshness) as cache:

            async def read():
                for _ in range(20):
                    assert await cache.get_many(items) == items

            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(read())
                for number in range(1, 4):
                    await asyncio.sleep(0.02)
                    await rotate(admin, tokens, f"sesame-{number}")
            await cache.settle()
            await store.set_many(items, ttl=60.0)
            assert len(await store.get_many([*items])) == 50
            assert (tokens.asked > 3, cache.stats.failed) == (True, 0)

    assert "sesame" not in caplog.text


async def test_no_command_begins_on_a_socket_whose_login_is_about_to_end(server):
    for lasts, asked in ((0.001, range(3, 100)), (3600.0, [1])):
        tokens = Tokens("sesame-0", lasts=lasts)
        async with connect(server.url, credentials=tokens, max_connections=1) as redis:
            for _ in range(3):
                await asyncio.sleep(0.003)  # the clock of uvloop has milliseconds
                assert await redis.execute("PING") == b"PONG"
            assert tokens.asked in asked


async def test_a_function_that_fails_is_an_error_that_says_so_and_shows_no_secret(server):
    async def fail():
        raise LookupError("sesame was refused")

    async def give_text():
        return "sesame"

    for function, reason in (
        (fail, "raised LookupError"),
        (give_text, "returned a str, not Credentials"),
    ):
        async with connect(server.url, credentials=function) as redis:
            with pytest.raises(RedisUnavailableError) as refused:
                await redis.execute("PING")
        assert (
            str(refused.value) == f"redis at 127.0.0.1:{server.port}: the function of credentials= {reason}"
        )


async def test_a_function_that_says_nothing_is_given_up_in_time(server):
    async def say_nothing():
        await asyncio.Event().wait()

    async with connect(server.url, credentials=say_nothing, connect_timeout=0.02) as redis:
        with pytest.raises(RedisUnavailableError, match=r"not given credentials within 0\.02 s"):
            await redis.execute("PING")


async def test_a_token_that_is_refused_is_told_without_it_and_the_next_one_is_tried(server):
    tokens = Tokens("sesame-old")
    async with connect(server.url, credentials=tokens) as redis:
        with pytest.raises(RedisReplyError) as refused:
            await redis.execute("PING")
        assert refused.value.code == "WRONGPASS"
        tokens.token = tokens.token.replace("old", "0")
        assert await redis.execute("PING") == b"PONG"

    shown = [repr(redis), repr(await tokens()), str(await tokens()), repr(refused.value)]
    assert "sesame" not in "".join(shown)


async def test_a_cache_whose_credentials_cannot_be_had_serves_and_logs_no_secret(server, caplog):
    async def fail():
        raise LookupError("sesame was refused")

    caplog.set_level(logging.DEBUG)
    async with connect(server.url, credentials=fail) as redis:
        tier = FarTier(store=RedisStore(redis, namespace="ns"), timeout=10.0)
        async with BackfillCache(MappingSource({"a": 1}), far=tier) as cache:
            assert await cache.get("a") == 1
            assert cache.stats.far.failures > 0

    assert "the function of credentials= raised LookupError" in caplog.text
    assert "sesame" not in caplog.text


def test_a_login_of_the_url_beside_credentials_is_refused():
    with pytest.raises(ConfigurationError, match=r"^credentials: are for a URL without"):
        connect("redis://app:sesame@host", credentials=Tokens("x"))
    with pytest.raises(ConfigurationError, match=r"^credentials: must be an async function") as refused:
        connect("redis://host", credentials=("app", "sesame"))
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"user": "", "password": "sesame"}, "^user: "),
        ({"user": "app", "password": b"sesame"}, "^password: must be text, not a bytes$"),
        ({"user": "app", "password": "sesame", "lasts": 0.0}, "^lasts: "),
    ],
)
def test_credentials_that_cannot_be_used_are_refused_without_showing_them(settings, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        Credentials(**settings)
    assert "sesame" not in str(refused.value)
