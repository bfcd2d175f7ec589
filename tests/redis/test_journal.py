"""The hot-key journal in Redis."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, BackfillPolicy, JournalError, MappingSource
from async_backfill._common import journal_format
from async_backfill.contracts import Heats
from async_backfill.redis.connection import connect
from async_backfill.redis.errors import RedisError
from async_backfill.redis.journal import RedisJournal

pytestmark = pytest.mark.anyio


@pytest.fixture
async def redis(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        yield redis
        await redis.execute("DEL", f"{namespace}!journal:hot")


async def test_what_was_saved_last_is_loaded(redis, namespace):
    journal = RedisJournal(redis, namespace=namespace)
    assert await journal.load() is None
    await journal.save(Heats({"a": 2.0}, None))
    await journal.save(Heats({"a": 1.0, ("b", 2): 3.5}, 0.75))

    assert await RedisJournal(redis, namespace=namespace).load() == Heats({("b", 2): 3.5, "a": 1.0}, 0.75)


async def test_journals_of_other_names_are_others(redis, namespace):
    await RedisJournal(redis, namespace=namespace).save(Heats({"a": 2.0}, None))

    assert await RedisJournal(redis, namespace=namespace, name="other").load() is None


@pytest.mark.parametrize(
    "content", [b"", b"a pickle? \x80\x04K*.", b"async_backfill hot keys version 3 blake2b"]
)
async def test_what_is_no_journal_is_refused_in_one_line(redis, namespace, content):
    await redis.execute("SET", f"{namespace}!journal:hot", content)
    with pytest.raises(JournalError, match=rf"^{namespace}!journal:hot: ") as refused:
        await RedisJournal(redis, namespace=namespace).load()

    assert "\n" not in str(refused.value)


async def test_a_server_that_is_gone_is_an_error_that_the_cache_reports(namespace):
    async with connect("redis://127.0.0.1:1") as gone:
        with pytest.raises(RedisError):
            await RedisJournal(gone, namespace=namespace).load()


async def test_a_new_process_loads_what_was_hot_in_another_one(redis, namespace):
    rows = {f"k{number}": number for number in range(100)}

    def cache():
        return BackfillCache(
            MappingSource(rows),
            capacity=50,
            backfill=BackfillPolicy(selection="history"),
            journal=RedisJournal(redis, namespace=namespace),
        )

    async with cache() as first:
        for _ in range(5):
            await first.get_many(["k7", "k8"])
    async with cache() as second:
        await second.ready()

        assert second.peek("k7") == 7
        assert second.stats.size == 2


SECRET = b"of this fleet only, as it is"


async def test_a_signed_journal_comes_back(redis, namespace):
    journal = RedisJournal(redis, namespace=namespace, signing_key=SECRET)
    await journal.save(Heats({"a": 2.0}, 0.5))

    assert await RedisJournal(redis, namespace=namespace, signing_key=SECRET).load() == Heats({"a": 2.0}, 0.5)


@pytest.mark.parametrize(
    ("writer", "reader", "problem"),
    [
        (None, SECRET, "is not signed"),
        (SECRET, None, "is signed, but there is no signing_key"),
        (SECRET + b"!", SECRET, "has a wrong signature"),
    ],
)
async def test_a_journal_without_the_right_signature_is_refused(redis, namespace, writer, reader, problem):
    await RedisJournal(redis, namespace=namespace, signing_key=writer).save(Heats({"a": 2.0}, None))
    with pytest.raises(JournalError, match=f"^{namespace}!journal:hot: {problem}$"):
        await RedisJournal(redis, namespace=namespace, signing_key=reader).load()


async def test_a_signed_journal_of_another_name_is_refused(redis, namespace):
    await RedisJournal(redis, namespace=namespace, name="old", signing_key=SECRET).save(
        Heats({"a": 2.0}, None)
    )
    await redis.execute("RENAME", f"{namespace}!journal:old", f"{namespace}!journal:hot")
    with pytest.raises(JournalError, match="has a wrong signature"):
        await RedisJournal(redis, namespace=namespace, signing_key=SECRET).load()


async def test_each_changed_byte_of_a_signed_journal_is_noticed(redis, namespace):
    journal = RedisJournal(redis, namespace=namespace, signing_key=SECRET)
    await journal.save(Heats({"a": 2.0}, None))
    name = f"{namespace}!journal:hot"
    content = await redis.execute("GET", name)
    for at in range(len(content)):
        await redis.execute("SET", name, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(JournalError):
            await journal.load()


async def test_a_journal_over_the_limit_is_neither_read_nor_written(redis, namespace):
    journal = RedisJournal(redis, namespace=namespace, max_bytes=1_000_000)
    await redis.execute("SETRANGE", f"{namespace}!journal:hot", 40_000_000, "x")
    tracemalloc.start()
    try:
        with pytest.raises(JournalError, match=r"has more than 1000000 bytes \(max_bytes\)"):
            await journal.load()
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    with pytest.raises(JournalError, match="more than 1000000"):
        await journal.save(Heats({"x" * 2_000_000: 1.0}, None))


async def test_a_value_of_another_type_in_its_place_is_an_error_in_one_line(redis, namespace):
    await redis.execute("RPUSH", f"{namespace}!journal:hot", "x")
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await RedisJournal(redis, namespace=namespace).load()


def test_a_journal_whose_keys_have_one_hash_is_refused():
    ones = itertools.islice(itertools.product((-1, -2), repeat=14), 12_000)
    content = journal_format.encode(Heats(Pairs(ones), None), journal_format.JournalKeys(Any))
    with pytest.raises(ValueError, match="too many of its keys have one hash"):
        journal_format.decode(content, journal_format.JournalKeys(Any))


class Pairs:
    """What looks like a dict of keys that would take long to put into one."""

    def __init__(self, keys):
        self.keys = list(keys)

    def items(self):
        return [(key, 1.0) for key in self.keys]

    def __len__(self):
        return len(self.keys)
