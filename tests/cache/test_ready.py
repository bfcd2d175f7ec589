"""Whether a cache that was cold is warm enough for traffic."""

from __future__ import annotations

import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked

from async_backfill import BackfillCache, BackfillPolicy, CacheClosedError, ConfigurationError
from async_backfill.contracts import Heats
from async_backfill.testing import GatedSource
from tests.callers import PENDING, start

pytestmark = pytest.mark.anyio

ROWS = {number: number for number in range(100)}


class Shelf:
    """A journal of ten hot keys."""

    def __init__(self, hot=range(10)):
        self.heats = Heats(keys={key: 100.0 - key for key in hot}, hit_rate=0.9)

    async def load(self):
        return self.heats

    async def save(self, heats):
        self.heats = heats


def cache_of(source, **settings):
    policy = BackfillPolicy(selection="history")
    return BackfillCache(
        source,
        **{"capacity": 50, "backfill_batch": 4, "backfill": policy, "journal": Shelf(), **settings},
    )


def opened(rows=ROWS):
    source = GatedSource(rows)
    source.open()
    return source


async def test_ready_loads_what_was_hot_without_any_traffic():
    source = opened()
    async with cache_of(source) as cache:
        assert not cache.is_ready()
        await cache.ready()

        assert cache.is_ready(coverage=0.9)
        assert source.calls == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]
        assert [str(record.cause) for record in cache.audit_log[:1]] == ["ready"]


async def test_it_is_ready_at_the_share_that_was_asked_for_and_not_before():
    source = GatedSource(ROWS)
    async with cache_of(source) as cache, create_task_group() as tasks:
        waits = start(tasks, cache.ready, 0.5)
        await wait_all_tasks_blocked()
        source.release()
        await wait_all_tasks_blocked()
        assert (cache.is_ready(0.4), cache.is_ready(0.5), waits.outcome) == (True, False, PENDING)
        source.release()
        await wait_all_tasks_blocked()
        assert cache.is_ready(0.5)
        source.open()

    assert waits.outcome is None


async def test_it_is_ready_when_the_budget_is_spent():
    async with cache_of(opened(), max_backfills=1) as cache:
        await cache.ready()

        assert cache.stats.size == 4
        assert cache.is_ready(1.0)


async def test_keys_that_the_source_has_no_more_do_not_keep_it_waiting():
    async with cache_of(opened({number: number for number in range(5, 100)})) as cache:
        await cache.ready(1.0)

        assert cache.stats.size == 5


async def test_a_source_that_fails_is_asked_again_after_a_while():
    class Down(GatedSource):
        fails = True

        async def load_many(self, keys):
            if self.fails:
                raise ConnectionError("down")
            return await super().load_many(keys)

    source = Down(ROWS)
    source.open()
    async with cache_of(source) as cache, create_task_group() as tasks:
        waits = start(tasks, cache.ready)
        await sleep(20)
        assert waits.outcome is PENDING
        assert cache.stats.backfills < 50
        source.fails = False
        await sleep(20)

        assert waits.outcome is None


async def test_who_waits_is_told_when_the_cache_closes():
    async with create_task_group() as tasks, cache_of(GatedSource(ROWS)) as cache:
        waits = start(tasks, cache.ready)
        await wait_all_tasks_blocked()

    assert isinstance(waits.outcome, CacheClosedError)


async def test_with_nothing_known_to_be_hot_it_is_ready():
    async with cache_of(opened(), journal=None) as cache:
        assert cache.is_ready()
        await cache.ready()


async def test_it_needs_history():
    async with BackfillCache(opened()) as cache:
        with pytest.raises(ConfigurationError, match="history"):
            cache.is_ready()


@pytest.mark.parametrize("coverage", [-0.1, 1.1, True, "1"])
async def test_a_share_that_makes_no_sense_is_refused(coverage):
    async with cache_of(opened()) as cache:
        with pytest.raises(ConfigurationError, match="coverage"):
            await cache.ready(coverage)
