"""A cache that was emptied, and brings back what was hot."""

from __future__ import annotations

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import (
    BackfillCache,
    BackfillCause,
    BackfillPolicy,
    FreshnessPolicy,
    LoadError,
    MappingSource,
    Status,
)
from async_backfill.testing import GatedSource, ManualClock
from tests.callers import start

pytestmark = pytest.mark.anyio

ROWS = {f"k{number:02}": number for number in range(60)}
HOT = [f"k{number:02}" for number in (30, 10, 50, 20)]


class Calls:
    """A source that notes what it was asked for."""

    def __init__(self, rows=ROWS):
        self.rows = dict(rows)
        self.calls = []
        self.error = None

    async def load_many(self, keys):
        self.calls.append(tuple(keys))
        if self.error is not None:
            raise self.error
        return {key: self.rows[key] for key in keys if key in self.rows}


def cache_of(source, **settings):
    backfill = {"selection": "history", "inline": True, **settings.pop("backfill", {})}
    return BackfillCache(
        source, **{"capacity": 10, "backfill_batch": 2, "backfill": BackfillPolicy(**backfill), **settings}
    )


async def warm(cache):
    """Make the hot keys hot, each more than the next, without a backfill."""
    for rank, key in enumerate(HOT):
        for _ in range(20 - 4 * rank):
            await cache.get(key)


def backfills(cache):
    return [record.status.value for record in cache.audit_log if record.status is not Status.RECEIPT]


async def test_after_a_flush_the_first_miss_brings_the_hottest_keys_back_batch_by_batch():
    source = Calls()
    async with cache_of(source) as cache:
        await warm(cache)
        await cache.clear()
        source.calls.clear()
        for number in range(3):
            await cache.get(f"k{number:02}")

        assert source.calls == [("k30", "k10"), ("k50", "k20"), ("k00",), ("k01",), ("k02",)]
        assert [cache.peek(key) for key in HOT] == [30, 10, 50, 20]
        assert backfills(cache)[:4] == ["started", "completed"] * 2
        assert [record.cause for record in cache.audit_log[:4]] == [BackfillCause.RECOVERY] * 4


async def test_each_batch_needs_a_permit_and_the_last_one_ends_it():
    source = Calls()
    async with cache_of(source, max_backfills=1) as cache:
        await warm(cache)
        await cache.clear()
        for number in range(4):
            await cache.get(f"k{number:02}")

        assert [cache.peek(key) for key in HOT] == [30, 10, None, None]
        assert backfills(cache) == ["started", "completed", "denied", "denied"]
        assert [record.cause.value for record in cache.audit_log[-2:]] == ["recovery", "threshold"]
        assert cache.stats.permits_left == 0


async def test_it_fills_free_room_only_and_what_is_in_use_stays():
    source = Calls()
    async with cache_of(source, capacity=5) as cache:
        await warm(cache)
        await cache.clear()
        for number in range(3):
            await cache.get(f"k{number:02}")

        assert cache.stats.evictions == 2  # for misses, of keys that nobody had read
        assert [cache.peek(f"k{number:02}") for number in range(3)] == [0, 1, 2]
        assert [cache.peek(key) for key in HOT] == [30, 10, None, None]


async def test_a_key_that_the_source_has_no_more_is_not_asked_for_again():
    source = Calls()
    async with cache_of(source) as cache:
        await warm(cache)
        del source.rows["k30"]
        for _ in range(2):
            await cache.clear()
            for number in range(3):
                await cache.get(f"k{number:02}")

        assert sum("k30" in call for call in source.calls) == 2  # when it was there, and once after


async def test_a_source_that_fails_fails_the_backfill_and_no_other_lookup():
    source = Calls()
    async with cache_of(source) as cache:
        await warm(cache)
        await cache.clear()
        source.error = ConnectionError("down")
        with pytest.raises(LoadError):
            await cache.get("k03")
        source.error = None

        assert await cache.get("k30") == 30
        assert backfills(cache) == ["started", "failed"]


async def test_an_episode_ends_although_all_that_it_loads_has_expired_at_once():
    clock = ManualClock()

    class Late(Calls):
        async def load_many(self, keys):
            clock.advance(100.0)
            return await super().load_many(keys)

    source = Late()
    freshness = FreshnessPolicy(ttl=1.0)
    async with cache_of(source, freshness=freshness, clock=clock, backfill={"evicts": True}) as cache:
        await warm(cache)
        await cache.clear()
        for number in range(3):
            await cache.get(f"k{number:02}")

        assert cache.stats.backfills < 20


async def test_without_history_it_backfills_in_source_order():
    async with cache_of(MappingSource(ROWS), scan=MappingSource(ROWS)) as cache:
        for key in ("k40", "k41", "k42"):
            await cache.get(key)

        assert (cache.peek("k00"), cache.peek("k01"), cache.peek("k02")) == (0, 1, None)


async def test_in_the_background_callers_do_not_wait_for_it():
    source = GatedSource(ROWS)
    async with cache_of(source, backfill={"inline": False}) as cache, create_task_group() as tasks:
        source.open()
        await warm(cache)
        await cache.clear()
        source._is_open = False
        callers = [start(tasks, cache.get, f"k{number:02}") for number in range(3)]
        await wait_all_tasks_blocked()
        assert list(map(sorted, source.calls[-2:])) == [["k00", "k01", "k02"], ["k10", "k30"]]
        source.release()
        await wait_all_tasks_blocked()
        assert [caller.outcome for caller in callers] == [0, 1, 2]
        source.open()


@pytest.mark.parametrize(("settings", "size"), [({}, 500), ({"backfill_batch": 40}, 40)])
async def test_unless_it_is_set_a_recovery_loads_as_many_keys_as_a_call_may_have(settings, size):
    rows = {number: number for number in range(1200)}
    hot = range(600)
    source = Calls(rows)
    cache = BackfillCache(
        source,
        scan=MappingSource(rows),
        capacity=600,
        backfill=BackfillPolicy(selection="history", inline=True),
        **settings,
    )
    async with cache:
        await cache.get_many(hot)
        await cache.clear()
        source.calls.clear()
        for number in range(1190, 1200):
            await cache.get(number)

        assert next(len(call) for call in source.calls if len(call) > 1) == size


async def test_unless_it_is_set_a_backfill_in_source_order_loads_ten_keys():
    source = Calls({number: number for number in range(1200)})
    async with BackfillCache(
        source, scan=MappingSource(source.rows), backfill=BackfillPolicy(inline=True)
    ) as cache:
        for number in range(1190, 1193):
            await cache.get(number)

    assert [len(call) for call in source.calls] == [1, 1, 10, 1]
