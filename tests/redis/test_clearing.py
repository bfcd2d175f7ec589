"""To clear a namespace removes its entries and leases, and nothing of anybody else."""

from __future__ import annotations

import uuid

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill.contracts import Heats
from async_backfill.redis.connection import connect
from async_backfill.redis.journal import RedisJournal
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.permits import RedisPermits
from async_backfill.redis.store import RedisStore
from tests.redis.test_store import HOSTILE_KEYS as KEYS

pytestmark = pytest.mark.anyio

MARKS = ("!job", "!jobs:7", "!journal", "!k", ":job:7", ":j", "!h")
FOREIGN = ("cart:17", "kitchen:4", "k8s:pod", "h", "home", "key", "keys:17", "k", "", "h" + "x" * 31, "*")


async def names(redis, namespace):
    return set(await redis.execute("KEYS", f"{namespace}*"))


async def test_keys_of_other_programs_under_the_same_prefix_stay(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        foreign = {f"{namespace}:{name}".encode() for name in FOREIGN}
        for name in foreign:
            await redis.execute("SET", name, "theirs", "EX", 60)
        await redis.execute("RPUSH", f"{namespace}:kinds", "theirs")
        store = RedisStore(redis, namespace=namespace)
        await store.set_many(dict.fromkeys(KEYS, 1), ttl=60.0)
        await RedisLeases(store).acquire_many(["leased"], bytes(16))
        await store.clear()

        left = {f"{namespace}:kinds".encode(), f"{namespace}!cleared".encode()}
        assert await names(redis, namespace) == foreign | left
        assert 0 < await redis.execute("PTTL", f"{namespace}!cleared") <= 60_000
        await redis.execute("DEL", *await names(redis, namespace))


@pytest.mark.parametrize("others", ["{}-2", "{}.", "{}x", "x{}"])
async def test_a_namespace_that_begins_or_ends_with_another_stays(valkey_url, namespace, others):
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        other = RedisStore(redis, namespace=others.format(namespace)[:64])
        await store.set_many({"a": 1}, ttl=60.0)
        await other.set_many({"a": 1, ":k:a": 2}, ttl=60.0)
        await store.clear()

        assert await store.get_many(["a"]) == {}
        assert len(await other.get_many(["a", ":k:a"])) == 2


async def test_a_dot_in_a_namespace_stands_for_itself(valkey_url):
    one, other = f"{uuid.uuid4().hex}.a", f"{uuid.uuid4().hex}"
    async with connect(valkey_url) as redis:
        await RedisStore(redis, namespace=other + "xa").set_many({"a": 1}, ttl=60.0)
        await RedisStore(redis, namespace=one).clear()

        assert len(await RedisStore(redis, namespace=other + "xa").get_many(["a"])) == 1


async def test_permits_and_journal_of_the_namespace_stay(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        permits = RedisPermits(redis, namespace=namespace, max_backfills=2)
        await permits.approve(1, by="me", reason="test")
        await RedisJournal(redis, namespace=namespace).save(Heats({"a": 1.0}, None))
        await RedisStore(redis, namespace=namespace).clear()

        assert await permits.left() == 3
        assert len(await permits.approvals()) == 1
        assert await RedisJournal(redis, namespace=namespace).load() is not None
        await redis.execute("DEL", f"{namespace}!permits", f"{namespace}!journal:hot")


async def test_marks_of_jobs_go_with_a_clear_and_what_has_a_similar_name_stays(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        other = RedisStore(redis, namespace=f"{namespace}-2"[:64])
        for name in MARKS:
            await redis.execute("SET", f"{namespace}{name}", "theirs", "EX", 60)
        await store.mark("7", "3f9c")
        await other.mark("7", "other")
        await store.clear()

        assert (await store.marked("7"), await other.marked("7")) == (None, "other")
        for name in MARKS:
            assert await redis.execute("DEL", f"{namespace}{name}") == 1
        await other.clear()
