"""Who misses where others have missed in the same turn joins a batch by one call, as if it were by `join`."""

from __future__ import annotations

from contextlib import suppress

import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import BackfillCache, LoadPolicy, MappingSource
from async_backfill.testing import GatedSource
from tests.callers import outcomes, run, start

pytestmark = pytest.mark.anyio


class Source:
    """Has a value for each key, and notes what it was asked for."""

    def __init__(self):
        self.calls = []

    async def load_many(self, keys):
        self.calls.append(keys)
        return {key: f"value of {key}" for key in keys}


class Odd(str):
    """A key whose hash raises once, the ``left``-th time."""

    __slots__ = ("left",)

    def __hash__(self):
        self.left -= 1
        if self.left == -1:
            raise ValueError("hash")
        return hash(str(self))


@given(
    keys=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    max_batch=st.integers(1, 6),
    gone=st.sets(st.integers(0, 12)),
)
def test_a_burst_is_loaded_in_full_batches_each_key_once(keys, max_batch, gone):
    source = Source()

    async def main():
        async with BackfillCache(source, load=LoadPolicy(max_batch=max_batch)) as cache:
            await cache.get("warm")
            found = await outcomes(cache.get, *[(key,) for key in keys])
            await cache.invalidate_many(gone)
            return found, await outcomes(cache.get, *[(key,) for key in keys]), cache.stats

    first, second, stats = run(main, "asyncio")

    assert first == second == [f"value of {key}" for key in keys]
    distinct = list(dict.fromkeys(keys))
    again = [key for key in distinct if key in gone]
    parts = [
        tuple(some[start : start + max_batch])
        for some in (distinct, again)
        for start in range(0, len(some), max_batch)
    ]
    assert source.calls == [("warm",), *parts]
    assert (stats.led, stats.source_keys) == (1 + len(distinct) + len(again),) * 2
    assert stats.joined == stats.misses - stats.led


@pytest.mark.parametrize("left", range(4))
async def test_a_key_whose_hash_raises_while_it_joins_costs_itself_only(left):
    source, odd = Source(), Odd("odd")

    async def get(key):
        with suppress(ValueError):
            return await cache.get(key)

    async with BackfillCache(source) as cache:
        odd.left = left
        found = await outcomes(get, ("a",), (odd,), ("b",))

        assert found == ["value of a", None, "value of b"]
        assert [sorted(keys) for keys in source.calls] == [["a", "b"]], "nobody waits for the odd one"
        assert cache.stats.in_flight == 0
        assert await cache.get("odd") == "value of odd"


async def test_in_a_burst_a_key_that_is_being_loaded_is_waited_for():
    source = GatedSource({key: key for key in "abcdef"})
    async with BackfillCache(source, load=LoadPolicy(max_batch=2, concurrency=1)) as cache:
        async with create_task_group() as tasks:
            start(tasks, cache.get, "a")
            await wait_all_tasks_blocked()
            tasks.start_soon(cache.get_many, "bc")
            await wait_all_tasks_blocked()
            callers = [start(tasks, cache.get, key) for key in "bcd"]
            await wait_all_tasks_blocked()
            source.open()

        assert [caller.outcome for caller in callers] == ["b", "c", "d"]
        assert source.calls == [("a",), ("b", "c"), ("d",)]


async def test_in_a_burst_a_key_of_a_backfill_that_waits_is_loaded_before_the_others():
    rows = {key: key for key in "abcyz"}
    source = GatedSource(rows)
    async with BackfillCache(source, scan=MappingSource(rows), load=LoadPolicy(concurrency=1)) as cache:
        async with create_task_group() as tasks:
            start(tasks, cache.get, "z")
            await wait_all_tasks_blocked()
            tasks.start_soon(cache.force_backfill)
            await wait_all_tasks_blocked()
            callers = [start(tasks, cache.get, key) for key in "ya"]
            await wait_all_tasks_blocked()
            source.open()

        assert [caller.outcome for caller in callers] == ["y", "a"]
        assert [sorted(keys) for keys in source.calls] == [["z"], ["a", "y"], ["b", "c"]]
