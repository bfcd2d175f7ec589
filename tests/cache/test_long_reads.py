"""A read of very many keys gives others a turn, and is answered as a short one is."""

from __future__ import annotations

import anyio
import pytest

from async_backfill import BackfillCache, LoadError, MappingSource
from tests.turns import Turns

pytestmark = pytest.mark.anyio

MANY = 12_000
ROWS = {number: f"row {number}" for number in range(MANY)}


async def test_other_tasks_run_while_very_many_cached_keys_are_read():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        await cache.put_many(ROWS)
        counted = Turns()
        near = cache._parts.near
        read = near.read
        near.read = lambda key, default: counted.count(read(key, default))
        async with counted.watched():
            assert await cache.get_many(ROWS) == ROWS

    assert counted.total == MANY
    assert counted.most <= 2 * 5000 < MANY  # trio takes the tasks of a turn in any order


@pytest.mark.parametrize("read", ["get_many", "try_many"])
async def test_other_tasks_run_while_very_many_values_are_copied(read):
    counted = Turns()
    async with BackfillCache(MappingSource(ROWS), copy=lambda value: [counted.count(value)]) as cache:
        await cache.get_many(range(3_000))
        counted.now = 0
        async with counted.watched():
            found = await getattr(cache, read)(range(3_000))

    assert (found if read == "get_many" else found.values) == {key: [ROWS[key]] for key in range(3_000)}
    assert counted.most <= 2 * 200


@pytest.mark.parametrize("cached", [0, 5000, 7000, MANY])
async def test_the_answer_is_in_order_and_each_distinct_key_is_one_lookup(cached):
    async with BackfillCache(MappingSource(ROWS)) as cache:
        await cache.put_many({key: ROWS[key] for key in range(cached)})
        wanted = [*range(MANY - 1, -1, -1), *range(-5, 5), MANY - 1]
        found = await cache.get_many(wanted)

        assert list(found) == list(range(MANY - 1, -1, -1))
        assert found == ROWS
        assert (cache.stats.hits, cache.stats.misses) == (cached, MANY - cached + 5)


async def test_what_others_change_meanwhile_shows_in_the_keys_after_that():
    async with BackfillCache(MappingSource({})) as cache:
        await cache.put_many(ROWS)

        async def put():
            await cache.put_many({0: "new", MANY - 1: "new"})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(put)
            found = await cache.get_many(ROWS)

        assert (found[0], found[MANY - 1]) == ("row 0", "new")


async def test_keys_that_change_while_they_are_read_are_those_of_the_call():
    keys = dict.fromkeys(ROWS)
    async with BackfillCache(MappingSource(ROWS)) as cache:
        await cache.put_many(ROWS)

        async def change():
            keys.clear()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            assert await cache.get_many(keys) == ROWS
    assert keys == {}


async def test_failures_and_absences_of_all_groups_are_told():
    class Picky:
        async def load_many(self, keys):
            if any(key % 6000 == 5 for key in keys):
                raise OSError("no")
            return {key: ROWS[key] for key in keys if key in ROWS}

    async with BackfillCache(Picky()) as cache:
        answers = await cache.try_many([*range(MANY), *range(MANY + 10, MANY + 20)])
        assert {5, 6005} <= answers.failed.keys()
        assert answers.absent == tuple(range(MANY + 10, MANY + 20))
        assert answers.values.keys() | answers.failed.keys() == set(range(MANY))
        with pytest.raises(LoadError):
            await cache.get_many(range(MANY))
