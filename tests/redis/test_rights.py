"""A user whose rights the server's ACL limits: what is missing is said in one line when a cache opens."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, FarTier, FreshnessPolicy, MappingSource
from async_backfill.redis.connection import connect
from async_backfill.redis.control import RedisControl
from async_backfill.redis.invalidations import RedisInvalidations
from async_backfill.redis.journal import RedisJournal
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.permits import RedisPermits
from async_backfill.redis.store import RedisStore

pytestmark = pytest.mark.anyio

ALL = "+@all", "~*", "&*"


@asynccontextmanager
async def user(url, namespace, *rules):
    name = f"user-{namespace}"
    async with connect(url) as admin:
        await admin.execute("ACL", "SETUSER", name, "reset", "on", ">pw", *rules)
        async with connect(url.replace("//", f"//{name}:pw@")) as redis:
            yield redis
        await admin.execute("ACL", "DELUSER", name)


def parts_of(redis, namespace):
    store = RedisStore(redis, namespace=namespace)
    return [
        *(store, RedisLeases(store), RedisInvalidations(redis, namespace=namespace)),
        *(
            RedisPermits(redis, namespace=namespace, max_backfills=1),
            RedisJournal(redis, namespace=namespace),
            RedisControl(redis, namespace=namespace),
        ),
    ]


async def lines_of(redis, namespace):
    return [line for part in parts_of(redis, namespace) for line in await part.missing_rights()]


async def test_nothing_is_said_of_a_user_who_may_do_all_and_nothing_is_changed(valkey_url, namespace):
    rules = "+@all", f"~{namespace}:*", f"~{namespace}!*", f"~{{{namespace}!*", f"&{namespace}!*"
    async with user(valkey_url, namespace, *rules) as redis, connect(valkey_url) as admin:
        assert await lines_of(redis, namespace) == []
        assert await admin.execute("KEYS", f"*{namespace}*") == []


async def test_the_rights_in_the_documents_are_enough(valkey_url, namespace, caplog):
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
    rules = (
        page.partition("ACL SETUSER app on >password ")[2]
        .partition("```")[0]
        .replace("shop", namespace)
        .split()
    )
    async with user(valkey_url, namespace, *rules) as redis:
        store, leases, invalidations, permits, journal, control = parts_of(redis, namespace)
        assert await lines_of(redis, namespace) == []
        tier = FarTier(store=store, leases=leases, invalidations=invalidations, timeout=5.0)
        async with BackfillCache(
            MappingSource({"a": 1}), far=tier, permits=permits, journal=journal, control=control
        ) as cache:
            assert await cache.get("a") == 1
            await cache.settle()
            assert (await store.get_many(["a"]))["a"].value == 1
            await cache.approve_backfills(1, by="me", reason="test")
            await cache.control.pause(by="me", reason="test")
            await cache.invalidate("a")
            await cache.clear()
        await store.set_many({"a": 1}, ttl=60.0)

    assert caplog.messages == ["me ordered: pause, because: test"]


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        *(("mget", ["store"]), ("getrange", ["store", "leases"]), ("unlink", ["store", "invalidations"])),
        *(("scan", ["store"]), ("mset", ["store"]), ("set", ["store", "leases", "permits", "journal"])),
        *(("evalsha", ["store", "leases", "permits", "orders"]), ("time", ["store", "leases", "permits"])),
        *(
            ("subscribe", ["leases", "invalidations", "orders"]),
            ("publish", ["leases", "invalidations", "orders"]),
            ("hincrby", ["orders"]),
            ("hset", ["orders"]),
            ("hgetall", ["orders"]),
        ),
        *(
            ("get", ["store", "leases", "permits"]),
            ("pttl", ["leases"]),
            ("ltrim", ["permits", "orders"]),
            ("lrange", ["permits", "orders"]),
        ),
    ],
)
async def test_a_command_that_is_not_allowed_is_named_with_the_rule_that_allows_it(
    valkey_url, namespace, command, parts
):
    async with user(valkey_url, namespace, *ALL, f"-{command}") as redis:
        lines = await lines_of(redis, namespace)

    rule = f"no right to {command.upper()}. To allow it: ACL SETUSER user-{namespace} +{command}"
    assert [line.split(" may ")[0].removeprefix("the ") for line in lines] == parts
    assert all(line.endswith(rule) for line in lines)


@pytest.mark.parametrize(
    "rules", [("+@all", "~*", "resetchannels"), ("+@all", "~*", "resetchannels", "&other")]
)
async def test_a_channel_that_is_not_allowed_is_named(valkey_url, namespace, rules):
    async with user(valkey_url, namespace, *rules) as redis:
        lines = await lines_of(redis, namespace)

    assert len(lines) == 3
    assert all(line.endswith(f"ACL SETUSER user-{namespace} &{namespace}!*") for line in lines)
    assert f"no right to the channels {namespace}!*" in lines[1]


@pytest.mark.parametrize("rules", [("+@all", "&*"), ("+@all", "&*", "~other:*", "%R~*")])
async def test_keys_that_are_not_allowed_are_named(valkey_url, namespace, rules):
    async with user(valkey_url, namespace, *rules) as redis:
        lines = await lines_of(redis, namespace)

    assert len(lines) == 6
    assert all(f"no right to all keys {namespace}:* and {namespace}!*" in line for line in lines)
    assert all(f"~{namespace}:* ~{namespace}!* ~{{{namespace}!*" in line for line in lines)


async def test_a_cache_says_when_it_opens_what_it_may_not_do_and_serves(valkey_url, namespace, caplog):
    rules = "+@all", "-unlink", "~*", "resetchannels"
    async with user(valkey_url, namespace, *rules) as redis:
        store, leases, invalidations, *_ = parts_of(redis, namespace)
        tier = FarTier(store=store, leases=leases, invalidations=invalidations, timeout=5.0)
        freshness = FreshnessPolicy(ttl=60.0)
        async with BackfillCache(MappingSource({"a": 1}), far=tier, freshness=freshness) as cache:
            async with asyncio.timeout(20.0):
                while sum(" may not do all " in line for line in caplog.messages) < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert await cache.get("a") == 1

    said = [line for line in caplog.messages if " may not do all " in line]
    assert [line.partition(" may ")[0] for line in said] == ["the store", "the leases", "invalidations"]
    assert said[2].endswith(f"+unlink &{namespace}!*")


async def test_a_listener_without_the_right_to_its_channel_says_so_and_forgets(valkey_url, namespace, caplog):
    heard = []
    async with user(valkey_url, namespace, "+@all", "~*", "resetchannels") as redis:
        listener = RedisInvalidations(redis, namespace=namespace, bound=0.2)
        listening = asyncio.create_task(listener.listen(heard.append))
        async with asyncio.timeout(20.0):
            while len(heard) < 2:  # noqa: ASYNC110 - what is waited for is in another process
                await asyncio.sleep(0.01)
        listening.cancel()

    assert set(heard) == {None}
    assert "No permissions to access a channel" in caplog.text


async def test_a_listener_with_the_right_to_one_channel_hears_until_it_has_both(valkey_url, namespace):
    heard = asyncio.Queue()
    rules = "+@all", "~*", "resetchannels", f"&{namespace}!invalidations"
    async with user(valkey_url, namespace, *rules) as redis, connect(valkey_url) as other:
        listener = RedisInvalidations(redis, namespace=namespace)
        listening = asyncio.create_task(listener.listen(heard.put_nowait))
        async with asyncio.timeout(20.0):
            assert await heard.get() is None
            await RedisInvalidations(other, namespace=namespace).publish(["a"])
            assert await heard.get() == ["a"]
            assert len(await other.execute("PUBSUB", "CHANNELS", f"{namespace}!*")) == 1
            await other.execute("ACL", "SETUSER", f"user-{namespace}", f"&{namespace}!*")
            await other.execute("CLIENT", "KILL", "USER", f"user-{namespace}")
            assert await heard.get() is None
            assert len(await other.execute("PUBSUB", "CHANNELS", f"{namespace}!*")) == 2
        listening.cancel()


async def test_a_listener_that_was_refused_for_a_while_hears_its_own_channel_again(
    valkey_url, namespace, caplog
):
    heard = asyncio.Queue()
    async with user(valkey_url, namespace, *ALL) as redis, connect(valkey_url) as admin:
        listener = RedisInvalidations(redis, namespace=namespace, bound=0.4)
        listening = asyncio.create_task(listener.listen(heard.put_nowait))
        async with asyncio.timeout(20.0):
            assert await heard.get() is None
            both = await admin.execute("PUBSUB", "CHANNELS", f"{namespace}!*")
            await admin.execute("ACL", "SETUSER", f"user-{namespace}", "resetpass", ">other")
            await admin.execute("CLIENT", "KILL", "USER", f"user-{namespace}")
            while "WRONGPASS" not in caplog.text:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            await admin.execute("ACL", "SETUSER", f"user-{namespace}", "resetpass", ">pw")
            while not (again := await admin.execute("PUBSUB", "CHANNELS", f"{namespace}!*")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        listening.cancel()

    assert len(both) == 2
    assert sorted(again) == sorted(both)


async def test_a_server_that_is_gone_says_nothing_of_rights(namespace, caplog):
    caplog.set_level(logging.WARNING)
    async with connect("redis://127.0.0.1:1") as gone:
        tier = FarTier(store=RedisStore(gone, namespace=namespace))
        async with BackfillCache(MappingSource({"a": 1}), far=tier) as cache:
            await cache.settle()

    assert not [line for line in caplog.messages if " may not do all " in line]
