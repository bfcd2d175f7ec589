"""Keys that come with a miss because they missed right after it the last time."""

from __future__ import annotations

import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked

from async_backfill import BackfillCache, BackfillPolicy, LoadError, LoadPolicy, LoadTimeoutError, Status
from async_backfill.testing import GatedSource
from tests.callers import start

pytestmark = pytest.mark.anyio

ROWS = {number: -number for number in range(10_000)}


class Calls:
    def __init__(self):
        self.rows = dict(ROWS)
        self.calls = []
        self.bad = None

    async def load_many(self, keys):
        self.calls.append(tuple(keys))
        if self.bad in keys:
            raise ConnectionError(f"{self.bad} is locked")
        return {key: self.rows[key] for key in keys if key in self.rows}


def cache_of(source, *, most=2, **settings):
    policy = BackfillPolicy(successors=most, min_lookups=100_000)
    return BackfillCache(source, **{"capacity": 100, "backfill": policy, **settings})


async def learn(cache, keys=(1, 2, 3, 4)):
    """Let ``keys`` miss one after another, and empty the cache."""
    for key in keys:
        await cache.get(key)
    await cache.clear()


async def test_what_missed_right_after_a_key_comes_with_it_in_the_same_call():
    source = Calls()
    async with cache_of(source) as cache:
        await learn(cache)
        source.calls.clear()
        assert await cache.get(1) == -1

        assert source.calls == [(1, 2, 3)]
        assert (await cache.get(2), await cache.get(3)) == (-2, -3)
        assert source.calls == [(1, 2, 3)]


async def test_they_count_as_backfilled_keys_and_their_first_read_is_a_hit():
    async with cache_of(Calls(), max_backfills=0) as cache:
        await learn(cache)
        await cache.get_many([1])
        await cache.get_many([2, 3])
        stats = cache.stats

    assert (stats.hits, stats.misses, stats.led) == (2, 5, 5)
    assert (stats.miss_keys, stats.backfill_keys, stats.source_calls) == (5, 2, 5)
    assert (stats.backfills, stats.permits_left) == (0, 0)


async def test_a_guess_that_fails_the_call_does_not_fail_the_caller():
    source = Calls()
    async with cache_of(source) as cache:
        await learn(cache)
        source.calls.clear()
        source.bad = 3
        assert await cache.get(1) == -1
        assert source.calls == [(1, 2, 3), (1,)]

        assert (cache.stats.led, cache.stats.joined, cache.stats.failed) == (5, 0, 0)


async def test_a_caller_whose_own_key_is_bad_fails_after_one_more_call():
    source = Calls()
    async with cache_of(source) as cache:
        await learn(cache)
        source.calls.clear()
        source.bad = 1
        with pytest.raises(LoadError, match="1 is locked"):
            await cache.get(1)

    assert source.calls == [(1, 2, 3), (1,)]


async def test_after_a_timeout_the_call_is_not_made_again():
    class Slow(Calls):
        slow = False

        async def load_many(self, keys):
            found = await super().load_many(keys)
            await sleep(100.0 if self.slow else 0.0)
            return found

    source = Slow()
    async with cache_of(source, load=LoadPolicy(timeout=5.0)) as cache:
        await learn(cache)
        source.slow = True
        with pytest.raises(LoadTimeoutError):
            await cache.get(1)

        assert source.calls[4:] == [(1, 2, 3)]


async def test_who_asks_for_a_successor_under_way_waits_for_the_same_call():
    source = GatedSource(ROWS)
    async with cache_of(source) as cache, create_task_group() as tasks:
        source.open()
        await learn(cache)
        source._is_open = False
        first = start(tasks, cache.get, 1)
        await wait_all_tasks_blocked()
        second = start(tasks, cache.get, 2)
        await wait_all_tasks_blocked()
        source.release()
        await wait_all_tasks_blocked()

        assert (first.outcome, second.outcome) == (-1, -2)
        assert source.calls[4:] == [(1, 2, 3)]
        assert (cache.stats.misses, cache.stats.led, cache.stats.joined) == (6, 5, 1)
        assert list(cache._near._probation._unread) == [3]


@pytest.mark.parametrize("write", ["put", "invalidate"])
async def test_a_write_during_the_call_wins_over_a_successor(write):
    source = GatedSource(ROWS)
    async with cache_of(source) as cache, create_task_group() as tasks:
        source.open()
        await learn(cache)
        source._is_open = False
        start(tasks, cache.get, 1)
        await wait_all_tasks_blocked()
        await (cache.put(2, "new") if write == "put" else cache.invalidate(2))
        source.release()
        await wait_all_tasks_blocked()

        assert cache.peek(2) == ("new" if write == "put" else None)
        assert cache.peek(3) == -3


async def test_what_is_never_read_is_loaded_no_more_but_for_a_probe_now_and_then():
    async with cache_of(Calls(), most=1, capacity=2000) as cache:
        await learn(cache, range(2000))
        loaded = []
        for key in range(0, 2000, 2):  # the odd ones come along, and nobody reads them
            await cache.get(key)
            await cache.clear()
            loaded.append(cache.stats.backfill_keys)

    assert loaded[19] == 20
    assert loaded[200] < 60
    assert loaded[200] < loaded[999] <= loaded[200] + 800 // 128 + 1


async def test_what_they_were_good_for_is_audited_a_thousand_at_a_time():
    async with cache_of(Calls(), most=8, capacity=5000) as cache:
        for _ in range(2):
            for key in range(3000):
                await cache.get(key)
            await cache.clear()
        records = [record for record in cache.audit_log if record.status is Status.RECEIPT]

    assert {str(record.cause) for record in records} == {"successors"}
    assert all(record.loaded >= 1000 and record.calls == 0 for record in records)
    assert sum(record.read for record in records) > 0.9 * sum(record.loaded for record in records) > 900
