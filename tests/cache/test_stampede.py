"""Many callers at once: what is missing is read once, and few calls are made."""

from __future__ import annotations

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import BackfillCache, MappingSource
from async_backfill.testing import GatedSource
from tests.callers import outcomes, start

pytestmark = pytest.mark.anyio


ROWS = {"a": 1, "b": 2, "none": None, "zero": 0, "empty": ""}


class CountingSource(MappingSource):
    def __init__(self, rows):
        super().__init__(rows)
        self.calls = []

    async def load_many(self, keys):
        self.calls.append(keys)
        return await super().load_many(keys)


async def test_a_thousand_gets_of_one_cold_key_make_one_source_call():
    source = GatedSource(ROWS)
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        callers = [start(tasks, cache.get, "a") for _ in range(1000)]
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert source.calls == [("a",)]
        assert [caller.outcome for caller in callers] == [1] * 1000
        assert (cache.stats.led, cache.stats.joined, cache.stats.source_keys) == (1, 999, 1)


async def test_ten_thousand_gets_of_a_hundred_cold_keys_read_each_key_once():
    source = GatedSource({number: -number for number in range(100)})
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        callers = [start(tasks, cache.get, number % 100) for number in range(10_000)]
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert sorted(key for call in source.calls for key in call) == list(range(100))
        assert [caller.outcome for caller in callers] == [-(number % 100) for number in range(10_000)]


async def test_a_thousand_gets_of_an_absent_key_make_one_call_and_are_all_absent():
    source = GatedSource(ROWS)
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        callers = [start(tasks, cache.get, "unknown", "absent") for _ in range(1000)]
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert source.calls == [("unknown",)]
        assert [caller.outcome for caller in callers] == ["absent"] * 1000
        assert cache.stats.absent == 1000


async def test_misses_of_many_keys_in_one_turn_leave_as_one_call():
    source = CountingSource(dict.fromkeys(range(300), "value"))
    async with BackfillCache(source) as cache:
        await outcomes(cache.get, *[(number,) for number in range(300)])

        assert [len(call) for call in source.calls] == [300]


async def test_overlapping_get_manys_share_the_loads_of_the_keys_they_share():
    source = GatedSource({key: key.upper() for key in "abcd"})
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        first = start(tasks, cache.get_many, "abc")
        await wait_all_tasks_blocked()
        second = start(tasks, cache.get_many, "bcd")
        await wait_all_tasks_blocked()
        source.open()
        await cache.settle()
        await wait_all_tasks_blocked()

        assert source.calls == [tuple("abc"), ("d",)]
        assert first.outcome == {"a": "A", "b": "B", "c": "C"}
        assert second.outcome == {"b": "B", "c": "C", "d": "D"}
