"""The hot-key journal in Redis."""

from __future__ import annotations

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, BackfillPolicy, JournalError, MappingSource
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
    "content", [b"", b"a pickle? \x80\x04K*.", b"async_backfill hot keys version 2 blake2b"]
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
