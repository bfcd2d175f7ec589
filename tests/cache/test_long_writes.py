"""A change of very many keys gives others a turn, and what these change meanwhile is later."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, CacheClosedError, FarTier, MappingSource, MemoryStore
from async_backfill.testing import GatedSource, MemoryFarStore
from tests.turns import Turns

pytestmark = pytest.mark.anyio

MANY = 2_100
LAST = MANY - 1
ROWS = {number: f"row {number}" for number in range(MANY)}
KEYS = (0, 999, 1000, LAST)


class Counting(MemoryStore):
    """Counts the keys that are changed in a turn."""

    def __init__(self, turns):
        super().__init__()
        self.turns = turns

    def set_many(self, items, /, *, evict=True):
        self.turns.now += len(items)
        return super().set_many(items, evict=evict)

    def delete_many(self, keys, /):
        keys = tuple(keys)
        self.turns.now += len(keys)
        super().delete_many(keys)


async def test_other_tasks_run_while_very_many_keys_are_put_or_invalidated():
    turns = Turns()
    async with BackfillCache(MappingSource({}), store=Counting(turns)) as cache, turns.watched():
        await cache.put_many(ROWS)
        assert await cache.get_many(ROWS) == ROWS
        await cache.invalidate_many(iter(ROWS))
        assert len(cache) == 0

    assert turns.most <= 2 * 1000 < MANY  # trio takes the tasks of a turn in any order


async def test_up_to_a_thousand_keys_are_put_in_one_step():
    turns = Turns()
    async with BackfillCache(MappingSource({}), store=Counting(turns)) as cache, turns.watched():
        await cache.put_many({key: key for key in range(1000)})
    assert turns.most >= 1000


steps = st.lists(
    st.tuples(st.sampled_from(["put", "invalidate"]), st.sampled_from(KEYS))
    | st.tuples(st.sampled_from(["put_many", "invalidate_many", "clear", "turn", "turn"]), st.none()),
    max_size=10,
)


@settings(max_examples=30)
@given(steps=steps, is_far=st.booleans())
def test_changes_end_as_if_each_had_been_made_at_once_when_it_began(steps, is_far):
    async def main():
        shared = MemoryFarStore()
        expected = dict(ROWS)
        async with (
            BackfillCache(MappingSource({}), far=FarTier(store=shared) if is_far else None) as cache,
            create_task_group() as tasks,
        ):
            tasks.start_soon(cache.put_many, ROWS)
            for number, (step, key) in enumerate(steps):
                if step == "turn":
                    await checkpoint()
                    continue
                await begun(tasks, cache, step, key, number)
                if step == "put":
                    expected[key] = number
                elif step == "invalidate":
                    expected.pop(key, None)
                else:
                    expected = dict.fromkeys(ROWS, number) if step == "put_many" else {}
        assert {key: cache._near.peek(key, None) for key in ROWS if key in cache._near.entries} == expected
        if is_far:
            copies = await shared.get_many(tuple(ROWS))
            assert {key: copy.value for key, copy in copies.items()} == expected

    anyio.run(main)


async def begun(tasks, cache, step, key, number):
    """Start a change, and return once its first step was made."""
    call = {
        "put": lambda: cache.put(key, number),
        "invalidate": lambda: cache.invalidate(key),
        "put_many": lambda: cache.put_many(dict.fromkeys(ROWS, number)),
        "invalidate_many": lambda: cache.invalidate_many(ROWS),
        "clear": cache.clear,
    }[step]
    started = anyio.Event()

    async def run():
        started.set()
        await call()

    tasks.start_soon(run)
    await started.wait()


async def test_a_load_under_way_never_undoes_a_long_put_or_invalidation():
    source = GatedSource({LAST: "old"})
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        for change, left in (cache.put_many, "row"), (cache.invalidate_many, None):
            await cache.invalidate(LAST)
            tasks.start_soon(cache.get, LAST)
            await wait_all_tasks_blocked()
            await change({**ROWS, LAST: "row"})
            source.release()
            await wait_all_tasks_blocked()
            assert cache.peek(LAST) == left


async def test_a_long_put_whose_caller_is_cancelled_comes_to_its_end():
    shared = MemoryFarStore()
    async with BackfillCache(MappingSource({}), far=FarTier(store=shared)) as cache:
        async with create_task_group() as tasks:
            tasks.start_soon(cache.put_many, ROWS)
            await checkpoint()
            tasks.cancel_scope.cancel()
        assert len(cache) == MANY
        await cache.settle()
        assert len(await shared.get_many(tuple(ROWS))) == MANY


def test_a_long_invalidation_comes_to_its_end_although_its_task_is_cancelled():
    async def main():
        async with BackfillCache(MappingSource({})) as cache:
            await cache.put_many(ROWS)
            task = asyncio.create_task(cache.invalidate_many(ROWS))
            await asyncio.sleep(0)
            assert 0 < len(cache) < MANY
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(cache) == 0

    asyncio.run(main())


async def test_a_failure_costs_no_other_group_and_is_raised_at_the_end():
    async def main(items):
        async with BackfillCache(MappingSource({}), copy=lambda value: value + 1) as cache:
            with pytest.raises(TypeError):
                await cache.put_many(items)
            return set(cache._near.entries)

    items = dict.fromkeys(range(3000), 1)
    assert await main(items | {1500: "no number"}) == {*range(1000), *range(2000, 3000)}


async def test_a_long_change_ends_with_an_error_when_the_cache_closes():
    async with create_task_group() as tasks:
        cache = BackfillCache(MappingSource({}))

        async def put():
            with pytest.raises(CacheClosedError):
                await cache.put_many(ROWS)

        async with cache:
            tasks.start_soon(put)
            await checkpoint()
    assert len(cache) < MANY


async def test_what_another_process_changed_meanwhile_is_not_held_here():
    first = MemoryFarStore()
    tier = FarTier(store=first, invalidations=first.invalidations)
    for heard in [[LAST], None]:
        async with BackfillCache(MappingSource({}), far=tier) as cache, create_task_group() as tasks:
            await wait_all_tasks_blocked()
            tasks.start_soon(cache.put_many, ROWS)
            while not len(cache):
                await checkpoint()
            cache._open()._forget(heard)
            await cache.put(0, "later")
        assert LAST not in cache._near.entries
        assert (await first.get_many([LAST]))[LAST].value == ROWS[LAST]
        assert (await first.get_many([0]))[0].value == "later"
