"""A snapshot of values: the next process has what the one before had, and nothing that is no longer true."""

from __future__ import annotations

import ast
from contextlib import asynccontextmanager

import pytest
from anyio import Event, create_task_group, fail_after, sleep
from anyio.lowlevel import checkpoint

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    ConfigurationError,
    FreshnessPolicy,
    LoadPolicy,
    MappingSource,
    SnapshotError,
    Status,
    each,
)
from async_backfill._session.snapshots import reloading, snapshots
from async_backfill.events import SnapshotChanged
from async_backfill.records import RestoreState
from async_backfill.stores.codecs import FunctionCodec
from async_backfill.stores.memory import MemoryStore
from async_backfill.stores.snapshot_file import SnapshotFile
from async_backfill.stores.weighed import WeighedStore
from async_backfill.testing import GatedSource, ManualClock
from tests.callers import start
from tests.common.key_values import Number, Point, Shade
from tests.real_time import anyio_backend  # noqa: F401 - a fixture
from tests.turns import Turns

pytestmark = pytest.mark.anyio

ROWS = {f"key_{number}": {"number": number} for number in range(300)}
ORDERS = ("fifo", "lru", "sieve", "s3-fifo")
A_DAY = 86_400.0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "values.snapshot"


def cache_of(path, source=None, *, settings=None, **others):
    settings = {"restored": "trusted"} | (settings or {})
    return BackfillCache(
        MappingSource(ROWS) if source is None else source, snapshot=SnapshotFile(path, **settings), **others
    )


async def leave(path, keys=("key_1", "key_2", "key_3"), **settings):
    """Let a process get ``keys`` and close."""
    async with cache_of(path, **settings) as cache:
        await cache.get_many(keys)


@asynccontextmanager
async def killed(cache):
    """Open ``cache``, and end its use as a kill does: what is on the disk stays as it is."""
    await cache.__aenter__()
    files = cache._parts.snapshots._files
    try:
        yield cache
        await cache._parts.snapshots._notes.flush()
        left = {file: file.read_bytes() for file in files.path.parent.iterdir()}
    finally:
        await cache.__aexit__(None, None, None)
    for file in files.path.parent.iterdir():
        file.unlink()
    for file, content in left.items():
        if file.suffix != ".lock":
            file.write_bytes(content)


async def until(condition):
    with fail_after(20):
        while not condition():  # noqa: ASYNC110 - a file and a thread ring no bell
            await sleep(0.001)


async def test_the_next_process_has_the_values_without_asking_the_source(path):
    await leave(path)
    async with cache_of(path) as cache:
        assert await cache.get_many(["key_1", "key_2", "key_3"]) == {
            key: ROWS[key] for key in ["key_1", "key_2", "key_3"]
        }
        stats = cache.stats
    assert (stats.hits, stats.source_calls) == (3, 0)
    assert stats.snapshot.state is RestoreState.RESTORED
    assert (stats.snapshot.entries, stats.snapshot.restored, stats.snapshot.left_out) == (3, 3, 0)


async def test_an_explanation_says_that_a_value_came_from_the_snapshot_until_it_is_loaded(path):
    await leave(path)
    async with cache_of(path, observers=[lambda _: None]) as cache:
        explained = await cache.control.explain("key_1")
        assert (explained.loaded_by, explained.age) == ("snapshot", None)
        await cache.refresh("key_1")
        assert (await cache.control.explain("key_1")).loaded_by == "refresh"
        assert (await cache.control.explain("key_2")).loaded_by == "snapshot"


@pytest.mark.parametrize("eviction", ORDERS)
async def test_the_next_process_evicts_as_one_that_was_never_restarted(path, eviction):
    lookups = [f"key_{number * number % 97 % (20 + number % 60)}" for number in range(600)]
    plain = BackfillCache(MappingSource(ROWS), capacity=20, eviction=eviction)
    async with cache_of(path, capacity=20, eviction=eviction) as cache:
        for key in lookups[:400]:
            await cache.get(key)
    async with plain, cache_of(path, capacity=20, eviction=eviction) as cache:
        for key in lookups[:400]:
            await plain.get(key)
        before = plain.stats
        for key in lookups[400:]:
            await plain.get(key)
            await cache.get(key)
        assert cache.stats.hits == plain.stats.hits - before.hits > 0
        assert [cache.evict_oldest() for _ in range(20)] == [plain.evict_oldest() for _ in range(20)]


async def test_a_smaller_cache_gets_what_would_be_evicted_last(path):
    await leave(path, [f"key_{number}" for number in range(10)])
    async with cache_of(path, capacity=4) as cache:
        assert [cache.evict_oldest() for _ in range(4)] == ["key_6", "key_7", "key_8", "key_9"]
        assert (cache.stats.snapshot.restored, cache.stats.snapshot.left_out) == (4, 6)


async def test_a_store_that_weighs_its_values_gets_no_more_than_it_may_hold(path):
    await leave(path, [f"key_{number}" for number in range(10)])
    store = WeighedStore(3, lambda _key, _value: 1)
    async with cache_of(path, store=store):
        assert (len(store), store.weight) == (3, 3)


async def test_expiry_goes_on_while_no_process_runs(path):
    clock, wall = ManualClock(5.0), ManualClock(A_DAY)
    settings = {"freshness": FreshnessPolicy(ttl=60.0), "clock": clock, "wall_clock": wall}
    await leave(path, ["key_1"], **settings)
    async with killed(cache_of(path, **settings)) as cache:
        clock.advance(30.0)
        wall.advance(30.0)
        await cache.get("key_2")
        await cache.save_snapshot()
    wall.advance(29.0)
    clock = settings["clock"] = ManualClock(0.0)
    async with cache_of(path, **settings) as cache:
        assert [cache.peek(key, None) for key in ("key_1", "key_2")] == [ROWS["key_1"], ROWS["key_2"]]
        clock.advance(1.5)
        assert [cache.peek(key, None) for key in ("key_1", "key_2")] == [None, ROWS["key_2"]]
        clock.advance(30.0)
        assert cache.peek("key_2", None) is None
    wall.advance(60.0)
    async with cache_of(path, **settings) as cache:
        assert cache.stats.size == 0


async def test_a_clock_that_was_set_back_makes_nothing_younger(path):
    wall = ManualClock(A_DAY)
    await leave(path, freshness=FreshnessPolicy(ttl=60.0), wall_clock=wall)
    clock = ManualClock(0.0)
    async with cache_of(
        path, freshness=FreshnessPolicy(ttl=60.0), clock=clock, wall_clock=ManualClock(A_DAY - 30.0)
    ) as cache:
        assert cache.peek("key_1", None) == ROWS["key_1"]
        clock.advance(60.5)
        assert cache.peek("key_1", None) is None


@pytest.mark.parametrize(
    ("settings", "others", "reason"),
    [
        ({"version": "2"}, {}, "has version ''"),
        ({"namespace": "b"}, {}, "has namespace ''"),
        ({}, {"name": "other"}, "saved by the cache 'mine'"),
        ({}, {"fingerprint": "schema 2"}, "fingerprint 'schema 1'"),
        ({"max_age": 10.0}, {"wall_clock": ManualClock(A_DAY + 11.0)}, "max_age is 10 s"),
        ({}, {"wall_clock": ManualClock(A_DAY - 61.0)}, "in the future"),
        ({"max_bytes": 10_000}, {}, "more than max_bytes"),
        ({"signing_key": b"k" * 16}, {}, "is not signed"),
    ],
)
async def test_a_snapshot_that_does_not_fit_is_said_and_not_used(path, caplog, settings, others, reason):
    mine = {"name": "mine", "fingerprint": "schema 1", "wall_clock": ManualClock(A_DAY)}
    await leave(path, [*ROWS], **mine)
    async with cache_of(path, settings=settings, **(mine | others)) as cache:
        stats = cache.stats
        assert await cache.get("key_1") == ROWS["key_1"]
    assert stats.size == 0
    assert stats.snapshot.state is RestoreState.REFUSED
    assert reason in stats.snapshot.reason
    assert [record.getMessage() for record in caplog.records] == [
        f"{(mine | others)['name']}: the snapshot {path} was refused: {stats.snapshot.reason}"
    ]
    assert path.with_name("values.snapshot.refused").exists()


async def test_what_was_changed_after_the_snapshot_does_not_come_back_after_a_kill(path):
    keys = [f"key_{number}" for number in range(6)]
    async with killed(cache_of(path)) as cache:
        await cache.get_many(keys)
        await cache.save_snapshot()
        await cache.invalidate("key_1")
        await cache.put("key_2", {"number": "put"})
        await cache.get("key_100")
    async with cache_of(path) as cache:
        await until(lambda: not cache.stats.snapshot.waiting)
        assert [key for key in [*keys, "key_100"] if cache.peek(key, None) is None] == ["key_1"]
        assert cache.peek("key_2") == ROWS["key_2"]  # loaded again
        assert cache.stats.refresh_keys == 2


@pytest.mark.parametrize("how", ["put", "invalidate"])
async def test_what_was_changed_under_an_equal_key_does_not_come_back_after_a_kill(path, how):
    rows = {"red": "old", 1: "old", (1, 2): "old", "other": "kept"}
    async with killed(cache_of(path, MappingSource(rows))) as cache:
        await cache.get_many(rows)
        await cache.save_snapshot()
        rows.update({"red": "new", 1: "new", (1, 2): "new"})
        for key in (Shade.RED, Number.ONE, Point(1, 2)):
            await (cache.put(key, "new") if how == "put" else cache.invalidate(key))
    async with cache_of(path, MappingSource(rows)) as cache:
        assert cache.peek("other") == "kept"
        assert await cache.get_many(rows) == rows


async def test_after_a_kill_the_next_process_holds_what_the_one_before_held(path):
    keys = [f"key_{number}" for number in range(10)]
    async with killed(cache_of(path, capacity=10, eviction="lru")) as cache:
        await cache.get_many(keys)
        await cache.save_snapshot()
        await cache.get_many(keys[:5])
        await cache.get_many(["key_100", "key_101", "key_102"])
        await cache.get_many(keys[:5])
        held = {key for key in ROWS if cache.peek(key, None) is not None}
    async with cache_of(path, capacity=10, eviction="lru") as cache:
        await until(lambda: not cache.stats.snapshot.waiting)
        assert {key for key in ROWS if cache.peek(key, None) is not None} == held
        assert cache.stats.source_keys == 3


async def test_what_was_evicted_and_loaded_again_is_young_and_not_loaded_a_third_time(path):
    async with killed(cache_of(path, capacity=3)) as cache:
        await cache.get_many(["key_1", "key_2", "key_3"])
        await cache.save_snapshot()
        for key in ("key_4", "key_1", "key_5"):
            await cache.get(key)
    async with cache_of(path, capacity=3) as cache:
        await until(lambda: not cache.stats.snapshot.waiting)
        assert cache.stats.source_keys == 2
        assert {cache.evict_oldest() for _ in range(3)} == {"key_4", "key_1", "key_5"}


@pytest.mark.parametrize("freshness", [None, FreshnessPolicy(ttl=A_DAY)])
async def test_what_is_restored_later_takes_no_more_room_than_backfilled_keys_leave(path, freshness):
    opened = Event()

    class Held(MappingSource):
        async def load_many(self, keys):
            if keys[0].startswith("lately"):
                await opened.wait()
            return await super().load_many(keys)

    saved, since = ([f"{name}_{number}" for number in range(10)] for name in ("saved", "lately"))
    rows = ROWS | dict.fromkeys([*saved, *since], "row")
    others = {
        "capacity": 30,
        "backfill_batch": 30,
        "load": LoadPolicy(max_batch=5),
        "backfill": BackfillPolicy(probation=True),
        "freshness": freshness,
    }
    async with killed(cache_of(path, MappingSource(rows), **others, scan=MappingSource(rows))) as cache:
        await cache.get_many(saved)
        await cache.save_snapshot()
        await cache.get_many(since)
        for key in saved:
            await cache.refresh(key)
    async with cache_of(path, Held(rows), **others, scan=MappingSource(ROWS)) as cache:
        record = await cache.force_backfill(by="ada", reason="a test")
        assert (record.loaded, cache.stats.size) == (30, 30)
        opened.set()
        await until(lambda: not cache.stats.snapshot.waiting)
        assert (cache.stats.size, cache._near.store.free_room()) == (30, 0)
        assert (await cache.force_backfill(by="ada", reason="a test")).status is Status.SKIPPED


async def test_what_was_loaded_since_and_then_removed_is_not_restored_later(path):
    async with killed(cache_of(path, capacity=3)) as cache:
        await cache.get_many(["key_1", "key_2", "key_3"])
        await cache.save_snapshot()
        for key in ("key_4", "key_1"):
            await cache.get(key)
    source = GatedSource(ROWS)
    async with cache_of(path, source, capacity=3) as cache:
        await until(lambda: source.calls)
        await cache.invalidate("key_1")
        source.open()
        await until(lambda: not cache.stats.snapshot.waiting)
        assert cache.peek("key_1", None) is None


async def test_what_outlived_many_keys_is_evicted_after_those_that_were_loaded_since(path):
    async with killed(cache_of(path, capacity=4, eviction="lru")) as cache:
        await cache.get_many(["key_1", "key_2", "key_3"])
        await cache.save_snapshot()
        for key in ("key_4", "key_1", "key_5", "key_1", "key_6", "key_1", "key_7"):
            await cache.get(key)
    async with cache_of(path, capacity=4, eviction="lru") as cache:
        await until(lambda: not cache.stats.snapshot.waiting)
        await sleep(0.005)
        assert [cache.evict_oldest() for _ in range(4)] == ["key_5", "key_6", "key_7", "key_1"]


async def test_nothing_comes_back_after_the_cache_was_cleared(path):
    async with killed(cache_of(path)) as cache:
        await cache.get_many(["key_1", "key_2"])
        await cache.save_snapshot()
        await cache.clear()
        await cache.get("key_3")
    async with cache_of(path) as cache:
        await until(lambda: not cache.stats.snapshot.waiting)
        assert cache.stats.snapshot.restored == 0
        assert [cache.peek(key, None) for key in ("key_1", "key_2", "key_3")] == [None, None, ROWS["key_3"]]


async def test_what_was_changed_while_a_snapshot_is_written_is_not_in_it(path):
    async with killed(cache_of(path)) as cache:
        await cache.get_many([*ROWS])
        async with create_task_group() as tasks:
            tasks.start_soon(cache.save_snapshot)
            await until(lambda: len(cache._parts.snapshots._notes.logs) == 1)
            await cache.invalidate_many([*ROWS])
    async with cache_of(path) as cache:
        assert cache.stats.size == 0


async def test_restored_values_are_served_at_once_and_loaded_again_in_batches(path):
    await leave(path)
    source = GatedSource({**ROWS, "key_1": "new"})
    async with cache_of(path, source, settings={"restored": "stale"}) as cache:
        assert await cache.get("key_1") == ROWS["key_1"]
        assert cache.stats.snapshot.waiting == 3
        source.open()
        await until(lambda: not cache.stats.snapshot.waiting)
        assert await cache.get("key_1") == "new"
        assert (cache.stats.source_calls, cache.stats.refresh_keys, cache.stats.misses) == (1, 3, 0)


async def test_restored_values_are_removed_in_time_when_they_cannot_be_loaded(path, monkeypatch):
    monkeypatch.setattr(snapshots, "_A_TURN", 0.005)
    await leave(path)
    clock = ManualClock(0.0)
    async with cache_of(path, _Failing(), settings={"restored": "stale"}, clock=clock) as cache:
        clock.advance(299.0)
        await sleep(0.02)
        assert cache.stats.size == 3
        clock.advance(2.0)
        await until(lambda: cache.stats.size == 0)
        assert cache.stats.snapshot.waiting == 0


async def test_restored_values_count_as_sure_in_no_later_snapshot(path):
    await leave(path)
    before = path.read_bytes()
    async with cache_of(path, GatedSource(ROWS), settings={"restored": "stale"}) as cache:
        with pytest.raises(SnapshotError, match="still being restored, or loaded again"):
            await cache.save_snapshot()
    assert path.read_bytes() == before


async def test_values_that_are_not_to_be_served_are_loaded_again_first(path):
    await leave(path)
    source = GatedSource({**ROWS, "key_1": "new"})
    async with cache_of(path, source, settings={"restored": "reloaded"}) as cache:
        assert cache.stats.size == 0
        assert cache.stats.snapshot.waiting == 3
        source.open()
        await until(lambda: not cache.stats.snapshot.waiting)
        assert cache.peek("key_1") == "new"
        assert [cache.evict_oldest() for _ in range(3)] == ["key_1", "key_2", "key_3"]


async def test_a_source_that_fails_is_asked_once_for_what_is_to_be_loaded_again(path):
    await leave(path, [*ROWS])
    source, load = _Failing(), LoadPolicy(max_batch=10)
    async with cache_of(path, source, settings={"restored": "reloaded"}, load=load) as cache:
        await until(lambda: not cache.stats.snapshot.waiting)
        assert source.calls == 1


async def test_a_source_that_answers_with_failures_is_asked_once_as_well(path):
    asked = []

    async def load(key):
        asked.append(key)
        raise ConnectionError

    await leave(path)
    async with cache_of(
        path, each(load), settings={"restored": "reloaded"}, load=LoadPolicy(max_batch=1)
    ) as cache:
        await until(lambda: not cache.stats.snapshot.waiting)
        assert asked == ["key_1"]


@pytest.mark.parametrize("keys", [2, 25])
async def test_a_small_snapshot_that_failed_is_loaded_again_while_it_is_served(path, monkeypatch, keys):
    monkeypatch.setattr(reloading, "_AFTER_FAILURE", 0.01)
    await leave(path, [*ROWS][:keys])
    source = _Failing()
    settings = {"restored": "stale", "stale_for": 0.8}
    # The clock stands, so that the values stay as long as this takes.
    async with cache_of(path, source, settings=settings, clock=ManualClock(0.0)) as cache:
        await until(lambda: source.calls > 2)
        assert cache.stats.size == keys


async def test_restoring_can_be_stopped(path):
    await leave(path)
    source = GatedSource(ROWS)
    load = LoadPolicy(max_batch=2)
    async with cache_of(path, source, settings={"restored": "reloaded"}, load=load) as cache:
        await until(lambda: source.calls)
        cache.stop_restoring()
        source.open()
        await sleep(0.01)
        assert source.calls == [("key_1", "key_2")]
        assert cache.stats.snapshot.waiting == 0


async def test_a_put_while_a_snapshot_is_restored_wins(path, monkeypatch):
    await leave(path, [*ROWS])
    monkeypatch.setattr(snapshots, "_OPENING", 0.0)
    async with cache_of(path) as cache:
        assert cache.stats.snapshot.state is not RestoreState.RESTORED
        await cache.put("key_1", "put")
        await cache.invalidate_many([f"key_{number}" for number in range(2, 300)])
        await until(lambda: cache.stats.snapshot.state is RestoreState.RESTORED)
        assert cache.peek("key_1") == "put"
        assert [key for key in ROWS if cache.peek(key, None) is not None] == ["key_0", "key_1"]


async def test_what_changes_while_the_log_is_read_is_in_it(path, monkeypatch):
    await leave(path, [*ROWS])
    with monkeypatch.context() as at_once:
        at_once.setattr(snapshots, "_OPENING", 0.0)
        async with killed(cache_of(path)) as cache:
            await cache.invalidate("key_1")
            await until(lambda: cache.stats.snapshot.state is RestoreState.RESTORED)
    async with cache_of(path) as cache:
        assert cache.peek("key_1", None) is None
        assert cache.stats.size == len(ROWS) - 1


async def test_a_clear_while_a_snapshot_is_restored_wins(path, monkeypatch):
    await leave(path, [*ROWS])
    monkeypatch.setattr(snapshots, "_OPENING", 0.0)
    async with cache_of(path) as cache:
        await cache.clear()
        await until(lambda: cache.stats.snapshot.state is RestoreState.STOPPED)
        assert cache.stats.size == 0
        assert cache.stats.snapshot.reason == "the cache was cleared meanwhile"


async def test_what_was_loaded_while_a_snapshot_is_restored_is_newer(path, monkeypatch):
    await leave(path, [*ROWS])
    monkeypatch.setattr(snapshots, "_OPENING", 0.0)
    rows = {key: "new" for key in ROWS if key != "key_2"}
    async with cache_of(path, MappingSource(rows)) as cache:
        assert await cache.get("key_1") == "new"
        assert await cache.get("key_2", None) is None
        await until(lambda: cache.stats.snapshot.state is RestoreState.RESTORED)
        assert (cache.peek("key_1"), cache.peek("key_2", None)) == ("new", None)
        assert cache.stats.snapshot.restored == 298


async def test_an_opening_that_is_cancelled_while_it_restores_leaves_the_snapshot_as_it_is(path):
    async def use():
        async with cache_of(path):
            pass

    await leave(path, [*ROWS])
    for turns in range(0, 40, 3):
        async with create_task_group() as tasks:
            tasks.start_soon(use)
            for _ in range(turns):
                await checkpoint()
            tasks.cancel_scope.cancel()
    async with cache_of(path) as cache:
        assert cache.stats.size == len(ROWS)


async def test_a_cache_that_closes_while_it_saves_leaves_a_whole_snapshot(path):
    async with create_task_group() as tasks, cache_of(path) as cache:
        await cache.get_many([*ROWS])
        saving = start(tasks, cache.save_snapshot)
        await until(lambda: cache._parts.snapshots._notes.logs)
    assert saving.outcome.saved == 1 or isinstance(saving.outcome, SnapshotError)
    async with cache_of(path) as cache:
        assert cache.stats.snapshot.restored == len(ROWS)


async def test_a_snapshot_is_saved_in_short_steps(path):
    turns = Turns()
    codec = FunctionCodec(
        lambda value: turns.count(repr(value).encode()),
        lambda payload: ast.literal_eval(payload.decode()),
        name="counted",
    )
    async with cache_of(path, settings={"codec": codec}) as cache:
        await cache.get_many([*ROWS])
        async with turns.watched():
            await cache.save_snapshot()
        assert turns.total == len(ROWS)
        assert turns.most <= 2 * 64  # on trio the watcher may be asked last in one turn, first in the next


async def test_a_snapshot_is_saved_every_so_often(path, monkeypatch):
    monkeypatch.setattr(snapshots, "_A_TURN", 0.005)
    async with killed(cache_of(path, settings={"save_every": 0.01})) as cache:
        await cache.get("key_1")
        await until(lambda: cache.stats.snapshot.saved >= 2)
    async with cache_of(path) as cache:
        assert cache.peek("key_1") == ROWS["key_1"]


async def test_observers_hear_what_becomes_of_a_snapshot(path):
    await leave(path)
    heard = []
    async with cache_of(path, observers=[heard.append]):
        pass
    events = [event.stats for event in heard if isinstance(event, SnapshotChanged)]
    assert [(stats.state, stats.restored, stats.saved) for stats in events] == [
        ("restoring", 3, 0),
        ("restored", 3, 0),
        ("restored", 3, 1),
    ]


async def test_a_cache_that_is_opened_again_goes_on_with_what_it_holds(path):
    cache = cache_of(path)
    async with cache:
        await cache.get("key_1")
    async with killed(cache):
        assert cache.peek("key_1") == ROWS["key_1"]
        await cache.invalidate("key_1")
    async with cache_of(path) as another:
        assert another.stats.size == 0


async def test_a_store_that_cannot_list_its_keys_is_refused(path):
    class Own(MemoryStore):
        pass

    cache_of(path, store=Own(10))
    with pytest.raises(ConfigurationError, match="snapshot: needs a MemoryStore"):
        cache_of(path, store=object.__new__(_Other))
    async with BackfillCache(MappingSource(ROWS)) as cache:
        assert cache.stats.snapshot is None
        with pytest.raises(ConfigurationError, match="snapshot: is None"):
            await cache.save_snapshot()


class _Failing:
    calls = 0

    async def load_many(self, _keys):
        self.calls += 1
        raise OSError("down")


class _Other:
    """A store of the user's own, as far as the cache looks at it before it refuses it."""

    capacity = None
    removals = 0

    def __len__(self):
        return 0

    def read(self, _key, default):
        return default

    peek = read
