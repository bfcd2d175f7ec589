"""The store in Redis: stored values are found, and foreign data is a miss."""

from __future__ import annotations

import ast
import asyncio
import pickle
import random
from pathlib import Path

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill.errors import ConfigurationError
from async_backfill.redis.connection import connect
from async_backfill.redis.errors import RedisReplyError, RedisUnavailableError
from async_backfill.redis.store import RedisStore
from tests.turns import Turns

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
HOSTILE_KEYS = [
    *("\0", "a\nb\r\n", "*?[a-z]", "{tag}", "\ud800", "", b"", b"\xff\0\r\n", "x" * 1_000_000, "x" * 999_999),
    *(2, "2", b"2", 2.5, ("2", 2), 2**70, None, "\u2028", "a b", "$3\r\nfoo\r\n"),
]


@pytest.fixture
async def store(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        yield store
        await store.clear()


async def values(store, *keys):
    return {key: copy.value for key, copy in (await store.get_many(keys)).items()}


async def test_what_was_kept_is_found_and_what_was_not_is_left_out(store):
    await store.set_many({"a": 1, "b": None})

    assert await values(store, "a", "b", "c") == {"a": 1, "b": None}


async def test_a_later_value_replaces_an_earlier_one(store):
    await store.set_many({"a": 1}, ttl=60.0)
    await store.set_many({"a": 2})

    assert await values(store, "a") == {"a": 2}
    assert await store.connection.execute("PTTL", store.keyspace.redis_key("a")) == -1


async def test_what_was_removed_is_not_found_and_what_was_not_there_is_ignored(store):
    await store.set_many({"a": 1, "b": 2})
    await store.delete_many(["a", "never"])

    assert await values(store, "a", "b") == {"b": 2}


async def test_a_copy_is_as_old_as_the_time_since_it_was_kept(valkey_url, namespace):
    now = [1000.0]
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace, wall_clock=lambda: now[0])
        await store.set_many({"a": 1}, ttl=60.0)
        now[0] = 1003.0

        assert (await store.get_many(["a"]))["a"].age == 3.0
        await store.clear()


@pytest.mark.parametrize("ttl", [60.0, 1e300])
async def test_a_ttl_is_that_of_each_key(store, ttl):
    await store.set_many({"a": 1, "b": 2}, ttl=ttl)
    left = [await store.connection.execute("PTTL", store.keyspace.redis_key(key)) for key in "ab"]

    assert all(min(ttl, 1e9) * 1000 - 30_000 < one <= min(ttl, 1e10) * 1000 for one in left)


async def test_what_has_lived_its_time_is_not_found(store):
    await store.set_many({"a": 1}, ttl=1e-9)
    while await store.connection.execute("EXISTS", store.keyspace.redis_key("a")):
        pass

    assert await values(store, "a") == {}


@pytest.mark.parametrize("ttl", [0.0, -1.0, float("nan"), "1"])
async def test_a_ttl_that_is_no_time_is_refused(store, ttl):
    with pytest.raises(ConfigurationError, match="ttl"):
        await store.set_many({"a": 1}, ttl=ttl)


async def test_many_keys_are_one_command(store):
    items = {f"key {number}": number for number in range(500)}
    calls = "INFO", "commandstats"

    def count(stats):
        return {
            name: int(stats.partition(f"cmdstat_{name}:calls=")[2].partition(",")[0] or 0)
            for name in ("mget", "msetex", "set")
        }

    before = count((await store.connection.execute(*calls)).decode())
    await store.set_many(items, ttl=60.0)
    assert await values(store, *items) == items
    after = count((await store.connection.execute(*calls)).decode())

    assert {name: after[name] - before[name] for name in after} == {"mget": 1, "msetex": 1, "set": 0}


async def test_more_keys_than_one_command_may_have_are_all_kept_and_found(store):
    items = {number: -number for number in range(12_000)}
    await store.set_many(items, ttl=60.0)

    assert await values(store, *items) == items


@pytest.mark.parametrize("ttl", [60.0, None])
async def test_a_server_without_a_bulk_command_keeps_as_much(valkey, ttl):
    server = valkey("--rename-command", "MSETEX", "''")
    async with connect(server.url) as redis:
        store = RedisStore(redis, namespace="ns")
        items = {number: -number for number in range(700)}
        await store.set_many(items, ttl=ttl)

        assert not (await redis.facts()).msetex
        assert await values(store, *items) == items
        assert (await redis.execute("PTTL", store.keyspace.redis_key(699)) > 0) is (ttl is not None)


async def test_clear_removes_all_of_the_namespace_its_leases_too_and_nothing_else(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        names = [namespace, f"{namespace}-2", f"{namespace}."]
        mine, *others = [RedisStore(redis, namespace=name) for name in names]
        items = {number: number for number in range(3_000)}
        for store in (mine, *others):
            await store.set_many(items, ttl=60.0)
        await redis.execute("SET", mine.keyspace.redis_key("leased"), b"Ltoken", "PX", 60_000)
        await redis.execute("SET", mine.keyspace.name("permits"), 3, "PX", 60_000)
        await mine.clear()

        assert await values(mine, *items) == {}
        assert await redis.execute("EXISTS", mine.keyspace.redis_key("leased")) == 0
        assert await redis.execute("GET", mine.keyspace.name("permits")) == b"3"
        assert [await values(store, *items) for store in others] == [items, items]
        for store in others:
            await store.clear()


async def test_hostile_keys_are_keys_like_any_other(store):
    items = {key: [number, str(type(key))] for number, key in enumerate(HOSTILE_KEYS)}
    await store.set_many(items, ttl=60.0)
    assert await values(store, *items) == items

    await store.delete_many(HOSTILE_KEYS[::2])
    assert await values(store, *items) == {key: items[key] for key in HOSTILE_KEYS[1::2]}


async def test_keys_that_are_equal_in_python_have_one_value(store):
    for key in (1, True, 1.0):
        await store.set_many({key: repr(key)})

    assert [await values(store, key) for key in (1, True, 1.0)] == [{1: "1.0"}] * 3


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was run",))


async def test_hostile_bytes_under_our_keys_are_counted_misses(store):
    dice = random.Random(7)
    redis, name = store.connection, store.keyspace.redis_key
    await store.set_many({"whole": "value", "other": "value"})
    whole = await redis.execute("GET", name("whole"))
    found = [
        *(dice.randbytes(dice.randrange(1, 200)).lstrip(b"L") for _ in range(200)),
        *(pickle.dumps(Bomb(), protocol) for protocol in range(6)),
        *(whole[:length] for length in range(1, len(whole))),
        *(
            bytes([*whole[:at], whole[at] ^ 1 << bit, *whole[at + 1 :]])
            for at in range(len(whole))
            for bit in range(8)
        ),
        await redis.execute("GET", name("other")),
        b"x" * 2_000_000,
    ]
    await redis.execute("MSET", *[part for at, data in enumerate(found) for part in (name(at), data)])

    assert await values(store, *range(len(found)), "whole") == {"whole": "value"}
    assert sum(store.rejected.values()) == len(found)


async def test_a_key_of_another_type_of_the_server_is_a_miss(store):
    redis, name = store.connection, store.keyspace.redis_key
    await redis.execute("RPUSH", name("list"), 1)
    await redis.execute("HSET", name("hash"), 1, 1)
    await redis.execute("SADD", name("set"), 1)
    await store.set_many({"a": 1})

    assert await values(store, "list", "hash", "set", "a") == {"a": 1}
    await store.set_many({"list": 2, "hash": 3}, ttl=60.0)
    assert await values(store, "list", "hash") == {"list": 2, "hash": 3}


async def test_the_lease_of_a_key_is_a_miss_and_a_put_overrules_it(store):
    await store.connection.execute("SET", store.keyspace.redis_key("a"), b"Ltoken")
    assert await values(store, "a") == {}
    assert not store.rejected

    await store.set_many({"a": 1}, ttl=60.0)
    assert await values(store, "a") == {"a": 1}


async def test_a_value_that_cannot_be_kept_removes_what_was_kept_before(store):
    await store.set_many({"large": 1, "object": 1, "b": 1})
    await store.set_many({"large": "x" * 1_000_001, "object": object(), "b": 2}, ttl=60.0)

    assert await values(store, "large", "object", "b") == {"b": 2}
    assert store.unkept == {"too_large": 1, "unencodable": 1}


async def test_stores_with_one_signing_key_read_each_other_and_nobody_else(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        one, two, other, unsigned = (
            RedisStore(redis, namespace=namespace, signing_key=key)
            for key in (b"k" * 32, b"k" * 32, b"o" * 32, None)
        )
        await one.set_many({"a": 1}, ttl=60.0)

        assert [await values(store, "a") for store in (two, other, unsigned)] == [{"a": 1}, {}, {}]
        assert [dict(store.rejected) for store in (two, other, unsigned)] == [
            {},
            {"badly_signed": 1},
            {"signed": 1},
        ]
        await one.clear()


async def test_a_full_server_refuses_to_keep_and_still_answers(valkey):
    server = valkey("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    async with connect(server.url) as redis:
        store = RedisStore(redis, namespace="ns")
        await store.set_many({"a": 1}, ttl=60.0)

        async def fill():
            for number in range(100):
                await store.set_many({number: "x" * 100_000}, ttl=60.0)

        with pytest.raises(RedisReplyError) as refused:
            await fill()

        assert refused.value.code == "OOM"
        assert await values(store, "a") == {"a": 1}
        await store.clear()
        await store.set_many({"b": 2}, ttl=60.0)
        assert await values(store, "a", "b") == {"b": 2}


async def test_a_replica_refuses_to_keep_and_still_answers(valkey):
    server = valkey()
    async with connect(server.url) as redis:
        store = RedisStore(redis, namespace="ns")
        await store.set_many({"a": 1})
        await redis.execute("REPLICAOF", "127.0.0.1", 1)
        for write in (store.set_many({"a": 2}), store.set_many({"a": 2}, ttl=60.0), store.delete_many(["a"])):
            with pytest.raises(RedisReplyError) as refused:
                await write
            assert refused.value.code == "READONLY"

        assert await values(store, "a") == {"a": 1}


async def test_a_server_that_is_busy_loading_is_unavailable_in_one_clear_line(valkey):
    server = valkey("--loading-process-events-interval-bytes", "1024", "--enable-debug-command", "yes")
    async with connect(server.url) as redis:
        await redis.pipeline([("SET", number, "x" * 500) for number in range(5_000)])
        await redis.execute("CONFIG", "SET", "key-load-delay", 1_000)
        loading = asyncio.create_task(redis.execute("DEBUG", "RELOAD"))
        async with connect(server.url) as other:
            store = RedisStore(other, namespace="ns")

            async def ask():
                while not loading.done():
                    await store.get_many(["a"])

            with pytest.raises(RedisReplyError, match="loading the dataset in memory") as refused:
                await ask()
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)

        assert refused.value.code == "LOADING"


async def test_a_server_that_is_gone_is_an_error_that_the_cache_can_count(valkey):
    server = valkey()
    async with connect(server.url) as redis:
        store = RedisStore(redis, namespace="ns")
        await store.set_many({"a": 1})
        server.kill()
        for call in (
            store.get_many(["a"]),
            store.set_many({"a": 1}),
            store.delete_many(["a"]),
            store.clear(),
        ):
            with pytest.raises(RedisUnavailableError):
                await call
        server.restart()

        assert await values(store, "a") == {}


def test_a_store_shows_where_it_is_and_no_password():
    store = RedisStore(connect("redis://user:sesame@host:6379/0"), namespace="ns")

    assert repr(store) == ("RedisStore(RedisConnection('host:6379'), namespace='ns')")


def test_nothing_that_is_read_back_is_ever_unpickled():
    """No module imports what makes objects, and so code, of bytes."""
    imported = set()
    for path in (ROOT / "async_backfill").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])

    assert "msgspec" in imported
    assert not imported & {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve"}


async def test_very_many_keys_go_in_groups_between_which_others_run(store):
    turns, items = Turns(), {number: str(number) for number in range(5_000)}
    seal, unseal, names = store.envelopes.seal_many, store.envelopes.open_many, store.keyspace.names

    def counted(work, size):
        turns.now += size
        return work

    store.envelopes.seal_many = lambda keys, *rest: counted(seal(keys, *rest), len(keys))
    store.envelopes.open_many = lambda keys, found: counted(unseal(keys, found), len(keys))
    async with turns.watched():
        await store.set_many(items, ttl=60.0)
        assert {key: copy.value for key, copy in (await store.get_many([*items, -1])).items()} == items
        store.keyspace.names = lambda keys: counted(names(keys), len(keys))
        await store.delete_many(list(items))
        assert await store.get_many(list(items)) == {}

    assert turns.most <= 2 * 2000  # a group is named and opened, or opened and the next one named
