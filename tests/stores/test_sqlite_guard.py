"""What a page of rows may replace in a far store in a file, also when it is full or the machine restarts."""

from __future__ import annotations

import asyncio
import itertools

import hypothesis.strategies as st
import pytest
from anyio import Event, create_task_group
from hypothesis import given, settings

from async_backfill import BackfillCache, FarTier, StalePageError, StoreError
from async_backfill.stores.sqlite import SQLiteStore
from tests.stores.test_sqlite import Clock, values

pytestmark = pytest.mark.anyio

KEYS = ("a", "b", "c", 1)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache.db"


async def test_what_has_expired_still_wins_over_a_page_that_was_read_before(path):
    clock = Clock()
    async with clock.store(path) as store:
        read_at = store.now()
        clock.now += 1.0
        await store.set_many({"a": "newer"}, ttl=0.5)
        clock.now += 5.0
        done = await store.set_page({"a": "old", "b": "old"}, read_at=read_at)

        assert (done.kept, done.newer) == (1, ["a"])
        assert await values(store, ["a", "b"]) == {"b": "old"}


async def test_a_trace_lives_longer_than_any_page(path):
    clock = Clock()
    async with clock.store(path) as store:
        read_at = store.now()
        clock.now += 0.001
        await store.delete_many(["a"])
        clock.now += store.deadline - 0.002
        for number in range(200):
            await store.set_many({number: number})  # what is out of date leaves in passing
        assert (await store.set_page({"a": "old"}, read_at=read_at)).newer == ["a"]
        clock.now += 0.002
        with pytest.raises(StalePageError, match=r"the page was read .* ago"):
            await store.set_page({"a": "old"}, read_at=read_at)


async def test_what_was_written_after_the_read_wins_also_when_it_was_evicted(path):
    clock = Clock()
    async with clock.store(path, max_bytes=1_000_000, max_value_bytes=50_000) as store:
        read_at = store.now()
        clock.now += 0.1
        await store.set_many({"a": "newer"})
        clock.now += 0.1
        await store.set_many(dict.fromkeys(range(40), b"x" * 40000))
        assert await values(store, ["a"]) == {}
        with pytest.raises(StalePageError, match="is full, and has evicted"):
            await store.set_page({"a": "old"}, read_at=read_at)
        clock.now += 0.1

        assert (await store.set_page({"a": "new"}, read_at=store.now())).kept == 1


async def test_a_page_that_evicts_what_is_newer_than_itself_writes_nothing(path):
    clock = Clock()
    async with clock.store(path, max_bytes=1_000_000, max_value_bytes=50_000) as store:
        read_at = store.now()
        clock.now += 0.1
        await store.set_many({"last": "newer"})
        page = {**dict.fromkeys(range(40), b"x" * 40000), "last": "old"}
        with pytest.raises(StalePageError):
            await store.set_page(page, read_at=read_at)

        assert await values(store, list(page)) == {"last": "newer"}


async def test_a_page_larger_than_the_file_may_be_keeps_its_end(path):
    async with SQLiteStore(path, namespace="n", max_bytes=1_000_000, max_value_bytes=50_000) as store:
        page = dict.fromkeys(range(100), b"x" * 40000)
        assert (await store.set_page(page, read_at=store.now())).kept == 100
        found = list(await values(store, range(100)))

        assert found == list(range(100 - len(found), 100))
        assert len(found) > 10


async def test_a_row_that_cannot_be_kept_removes_what_is_older_and_nothing_newer(path):
    clock = Clock()
    async with clock.store(path) as store:
        await store.set_many({"a": "old", "b": "old"})
        clock.now += 1.0
        read_at = store.now()
        clock.now += 1.0
        await store.set_many({"b": "newer"})
        done = await store.set_page({"a": object(), "b": object()}, read_at=read_at)

        assert (done.kept, done.newer, set(done.rejected)) == (0, [], {"a", "b"})
        assert await values(store, ["a", "b"]) == {"b": "newer"}


async def test_rows_that_were_sealed_at_different_times_keep_their_own(path):
    clock = Clock()
    async with clock.store(path) as store:
        early = store.now()
        clock.now += 1.0
        await store.delete_many(["a", "b"])
        clock.now += 1.0
        late = store.now()
        clock.now += 1.0
        sealed = {**store.seal({"a": "old"}, read_at=early), **store.seal({"b": "new"}, read_at=late)}
        done = await store.set_page(sealed, read_at=late, ttl=60.0)

        assert (done.kept, done.newer) == (1, ["a"])
        assert (await store.get_many(["b"]))["b"].age == 1.0


async def test_what_was_loaded_before_an_invalidation_elsewhere_is_not_written_after_it(path):
    begun, changed = Event(), Event()

    class Source:
        async def load_many(self, keys):
            begun.set()
            await changed.wait()
            return dict.fromkeys(keys, "old")

    async with SQLiteStore(path, namespace="n") as store, SQLiteStore(path, namespace="n") as peer:
        async with BackfillCache(Source(), far=FarTier(store=store, timeout=30.0)) as cache:
            async with create_task_group() as tasks:
                tasks.start_soon(cache.get, "a")
                await begun.wait()
                await peer.delete_many(["a"])
                changed.set()
            await cache.settle()
            assert (cache.stats.far.written, cache.stats.far.unwritten) == (0, 1)

        assert await values(peer, ["a"]) == {}


async def test_a_time_of_another_clock_is_refused(path):
    clock = Clock()
    async with clock.store(path) as store:
        for read_at in (1_000.1, float("nan")):
            with pytest.raises(ValueError, match=r"read_at: .* take it from now\(\)"):
                await store.set_page({"a": 1}, read_at=read_at)


async def test_after_the_machine_was_started_anew_pages_are_taken_as_before(path):
    async with Clock(50_000.0).store(path) as store:
        await store.set_many({"a": "before", "b": "before"})
    clock = Clock(7.0)
    async with clock.store(path) as store:
        clock.now += 1.0
        read_at = store.now()
        clock.now += 1.0
        await store.delete_many(["b"])
        done = await store.set_page({"a": "after", "b": "old"}, read_at=read_at)

        assert (done.kept, done.newer) == (1, ["b"])
        assert await values(store, ["a", "b"]) == {"a": "after"}


async def test_processes_whose_clocks_differ_are_told(path):
    async with Clock(50_000.0).store(path) as here, Clock(7.0).store(path) as elsewhere:
        await here.set_many({"a": 1})
        with pytest.raises(StoreError, match="in the future: all must be on one machine"):
            await elsewhere.set_many({"a": 2})

        assert await values(elsewhere, ["a"]) == {"a": 1}


async def test_a_clock_that_does_not_move_tells_what_came_later(path):
    async with Clock().store(path) as store:
        read_at = store.now()
        await store.set_many({"a": "newer"})
        await store.delete_many(["b"])
        done = await store.set_page({"a": "old", "b": "old", "c": "new"}, read_at=read_at)

        assert (done.kept, set(done.newer)) == (1, {"a", "b"})


class Model:
    """What a store must hold: per key a value or a removal, when it was made, and until when it lives."""

    def __init__(self):
        self.rows = {}
        self.cleared = -1.0

    def put(self, keys, value, at, until):
        self.rows.update(dict.fromkeys(keys, (value, at, until)))

    def page(self, keys, value, read_at, until):
        newer = {key for key in keys if self.made(key) > read_at}
        self.put([key for key in keys if key not in newer], value, read_at, until)
        return newer

    def made(self, key):
        return max(self.cleared, self.rows.get(key, (None, -1.0, 0.0))[1])

    def clear(self, at):
        self.rows, self.cleared = {}, at

    def found(self, now):
        return {key: row[0] for key, row in self.rows.items() if row[0] is not None and now < row[2]}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "page", "page", "delete", "clear", "other", "find"]),
        st.lists(st.sampled_from(KEYS), min_size=1, unique=True),
        st.floats(0.0, 8.0),  # what passes before
        st.floats(0.0, 12.0),  # the age of a page
        st.sampled_from([None, 1.0, 30.0]),
    ),
    max_size=12,
)


@given(STEPS)
@settings(max_examples=30)
def test_a_store_holds_what_was_written_last_and_read_last(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("guard") / "cache.db"
    asyncio.run(follow(path, steps))


async def follow(path, steps):
    """Make each of ``steps`` at a store and its peer in turn, and compare both with the model."""
    clock, model, numbers = Clock(), Model(), itertools.count()
    async with clock.store(path) as first, clock.store(path) as second:
        one, peer = first, second
        for step, keys, passes, ago, ttl in steps:
            clock.now += passes + 0.001
            now, value, one, peer = clock.now, next(numbers), peer, one
            if step == "put":
                await one.set_many(dict.fromkeys(keys, value), ttl=ttl)
                model.put(keys, value, now, now + (ttl or 1e9))
            elif step == "delete":
                await one.delete_many(keys)
                model.put(keys, None, now, 0.0)
            elif step == "clear":
                await one.clear()
                model.clear(now)
            elif step == "page" and ago > one.deadline:
                with pytest.raises(StalePageError):
                    await one.set_page(dict.fromkeys(keys, value), read_at=now - ago, ttl=ttl)
            elif step == "page":
                done = await one.set_page(dict.fromkeys(keys, value), read_at=now - ago, ttl=ttl)
                newer = model.page(keys, value, now - ago, now - ago + (ttl or 1e9))
                assert (set(done.newer), done.kept) == (newer, len(keys) - len(newer))
            elif step == "other":
                await one.set_many({"other": value})
            copies = await peer.get_many(KEYS)
            assert {key: copy.value for key, copy in copies.items()} == model.found(now)
