"""A far store in a file: rows, room, time, and calls that are cancelled or wait for each other."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager

import pytest
from anyio import create_task_group, move_on_after, sleep, to_thread

from async_backfill import BackfillCache, ConfigurationError, FarTier, MappingSource, StoreError
from async_backfill._common import sqlite_file
from async_backfill.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

ROWS = {f"k{number}": number for number in range(5_000)}


@pytest.fixture
def anyio_backend():
    """In real time, because a thread takes some; the contract suite runs on trio as well."""
    return "asyncio"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache.db"


class Clock:
    """A clock of the machine and one of the wall, both moved by hand."""

    def __init__(self, now=1_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def store(self, path, **settings):
        return SQLiteStore(path, namespace="n", clock=self, wall_clock=lambda: 1e9 + self.now, **settings)


@contextmanager
def locked(path):
    """Keep others from writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def row_count(path):
    with closing(sqlite3.connect(path)) as other:
        return other.execute("SELECT count(*) FROM entry").fetchone()[0]


async def values(store, keys):
    return {key: copy.value for key, copy in (await store.get_many(keys)).items()}


async def test_thousands_of_keys_are_written_and_found_in_one_call(path):
    async with SQLiteStore(path, namespace="n") as store:
        await store.set_many(ROWS)
        found = await store.get_many(["none", *ROWS, "no more"])

        assert {key: copy.value for key, copy in found.items()} == ROWS


async def test_a_second_cache_finds_what_the_first_has_loaded(path):
    calls = []
    for _ in range(2):
        async with (
            SQLiteStore(path, namespace="n") as store,
            BackfillCache(MappingSource(ROWS), far=FarTier(store=store, timeout=30.0)) as cache,
        ):
            assert await cache.get_many(list(ROWS)[:100]) == dict(list(ROWS.items())[:100])
            await cache.settle()
            calls.append(cache.stats.source_calls)

    assert calls == [1, 0]


async def test_many_long_values_are_found_although_one_answer_cannot_hold_them(path):
    rows = {number: bytes([number]) * 990_000 for number in range(18)}
    async with SQLiteStore(path, namespace="n") as store:
        await store.set_many(rows)

        assert await values(store, list(rows)) == rows


async def test_a_row_that_is_too_long_is_a_miss_and_counted(path):
    async with (
        SQLiteStore(path, namespace="n", max_value_bytes=50_000) as store,
        SQLiteStore(path, namespace="n", max_value_bytes=100_000_000) as other,
    ):
        await other.set_many({"long": b"x" * 40_000_000, "longer than some": b"x" * 60_000, "short": 1})

        assert await values(store, ["long", "longer than some", "short"]) == {"short": 1}
        assert store.rejected == {"too_large": 2}


async def test_a_value_that_cannot_be_kept_removes_the_older_copy(path):
    async with SQLiteStore(path, namespace="n") as store:
        await store.set_many({"a": 1, "b": 2})
        await store.set_many({"a": object(), "b": 3})

        assert await values(store, ["a", "b"]) == {"b": 3}
        assert store.unkept == {"unencodable": 1}


async def test_stores_with_one_signing_key_read_each_other_and_nobody_else(path):
    async with (
        SQLiteStore(path, namespace="n", signing_key=b"k" * 16) as store,
        SQLiteStore(path, namespace="n", signing_key=b"k" * 16) as friend,
        SQLiteStore(path, namespace="n", signing_key=b"o" * 16) as other,
    ):
        await store.set_many({"a": 1})

        assert (await values(friend, ["a"]), await values(other, ["a"])) == ({"a": 1}, {})
        assert other.rejected == {"badly_signed": 1}


async def test_a_key_that_cannot_be_told_apart_disturbs_no_other(path):
    odd = object()
    async with SQLiteStore(path, namespace="n") as store:
        await store.set_many({odd: 1, "a": 2})
        assert await values(store, [odd, "a"]) == {"a": 2}
        done = await store.set_page({odd: 1, "a": 3}, read_at=store.now())

        assert (done.kept, list(done.rejected)) == (1, [odd])
        assert store.refused == {"object": 3}


async def test_the_file_never_has_more_than_max_bytes_and_the_oldest_leave_first(path):
    async with SQLiteStore(path, namespace="n", max_bytes=1_000_000, max_value_bytes=100_000) as store:
        for page in range(40):
            size = (100, 3_000, 20_000)[page % 3]
            await store.set_many({(page, number): b"x" * size for number in range(2_000_00 // size // 4)})
            assert path.stat().st_size <= 1_000_000
        found = await values(store, [(page, number) for page in range(40) for number in range(500)])
        pages = {page for page, _ in found}

        assert 5 < len(pages) < 35
        assert pages == set(range(40 - len(pages), 40))


async def test_with_a_smaller_limit_what_is_too_much_leaves(path):
    async with SQLiteStore(path, namespace="n") as store:
        await store.set_many(dict.fromkeys(range(3000), b"x" * 1000))
    async with SQLiteStore(path, namespace="n", max_bytes=1_000_000, max_value_bytes=100_000) as store:
        await store.set_many({"new": 1})
        found = await values(store, ["new", *range(3_000)])

        assert 300 < len(found) < 1_000
        assert list(found)[1:] == list(range(3_001 - len(found), 3_000))


async def test_one_write_that_is_larger_than_the_file_may_be_keeps_its_end(path):
    async with SQLiteStore(path, namespace="n", max_bytes=1_000_000, max_value_bytes=100_000) as store:
        await store.set_many(dict.fromkeys(range(3000), b"x" * 1000))
        found = list(await values(store, range(3_000)))

        assert path.stat().st_size <= 1_000_000
        assert len(found) > 400
        assert found == list(range(3_000 - len(found), 3_000))


async def test_what_has_expired_leaves_in_passing(path):
    clock = Clock()
    async with clock.store(path) as store:
        await store.set_many(ROWS, ttl=10.0)
        await store.delete_many(range(1_000))
        clock.now += 50.0
        await store.set_many({"a": 1})
        assert row_count(path) == 6_001  # the traces are there for a minute
        clock.now += 20.0
        for number in range(30):
            await store.set_many({f"later {number % 10} {other}": 1 for other in range(1_000)})

        assert row_count(path) == 10_001
        assert await values(store, ["a", "k1"]) == {"a": 1}


async def test_a_call_that_was_cancelled_while_it_waited_writes_nothing_later(path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "_PAUSE", 0.3)  # so that the file is free when it looks again
    async with SQLiteStore(path, namespace="n") as store:
        with locked(path):
            with move_on_after(0.1) as scope:
                await store.set_many({"a": "old"})
            assert scope.cancelled_caught
        for thread in threading.enumerate():
            if thread.name == "a read of async_backfill":
                await to_thread.run_sync(thread.join)
        assert await values(store, ["a"]) == {}
        await store.set_many({"a": "new"})

        assert await values(store, ["a"]) == {"a": "new"}


async def test_the_event_loop_and_reads_go_on_while_another_process_writes(path):
    ended = []

    async def write():
        await store.set_many({"a": 2})
        ended.append("written")

    async with SQLiteStore(path, namespace="n") as store:
        await store.set_many({"a": 1})
        async with create_task_group() as tasks:
            with locked(path):
                tasks.start_soon(write)
                await sleep(0.05)
                assert await values(store, ["a"]) == {"a": 1}
                assert ended == []

        assert await values(store, ["a"]) == {"a": 2}


async def test_a_file_that_stays_locked_is_an_error_after_a_while(path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.1)
    async with SQLiteStore(path, namespace="n") as store:
        with locked(path), pytest.raises(StoreError, match=r"cache\.db: others have kept it locked"):
            await store.set_many({"a": 1})
        await store.set_many({"a": 2})

        assert await values(store, ["a"]) == {"a": 2}


async def test_a_store_that_is_closed_says_so(path):
    async with SQLiteStore(path, namespace="n") as store:
        await store.set_many({"a": 1})
    with pytest.raises(StoreError, match=r"cache\.db: this store is closed"):
        await store.get_many(["a"])
    await store.aclose()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"namespace": "a:b"}, "namespace: must be"),
        ({"max_bytes": 1_000}, "max_bytes: 1000 is less than 1000000"),
        ({"max_bytes": 3_999_999}, "max_bytes: 3999999 is less than 4 times max_value_bytes, 1000000"),
        ({"signing_key": b"short"}, "signing_key"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(path, settings, text):
    with pytest.raises(ConfigurationError, match=text):
        SQLiteStore(path, **{"namespace": "n", **settings})


async def test_a_file_says_how_full_it_is_and_what_it_has_evicted(path):
    clock = Clock()
    async with clock.store(path, max_bytes=1_000_000, max_value_bytes=10_000) as store:
        await store.mark("7", "3f9c")
        empty = await store.state()
        assert (empty.limit, empty.evicted, empty.used < 100_000) == (1_000_000, 0, True)
        for page in range(30):
            await store.set_many({f"{page}/{row}": "x" * 5_000 for row in range(10)})
        state = await store.state()
        left = await store.get_many([f"{page}/{row}" for page in range(30) for row in range(10)])

        assert state.evicted == 300 - len(left)
        assert 500_000 < state.used <= state.limit
        assert await store.marked("7") == "3f9c"


async def test_marks_go_with_their_file(path):
    async with SQLiteStore(path, namespace="n") as store:
        await store.mark("7", "3f9c")
        for file in path.parent.glob("cache.db*"):
            file.unlink()
        assert await store.marked("7") is None


async def test_a_clear_of_another_namespace_in_the_file_leaves_marks(path):
    async with SQLiteStore(path, namespace="n") as store, SQLiteStore(path, namespace="m") as other:
        await store.mark("7", "3f9c")
        await other.clear()
        assert (await store.marked("7"), await other.marked("7")) == ("3f9c", None)
