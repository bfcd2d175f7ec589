"""Keys of the store without a row are found, also beside writers, and removed when asked."""

from __future__ import annotations

import pytest
from anyio import create_task_group, sleep

from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._verifying.extras import Extras
from async_backfill.testing import MemoryFarStore
from tests.jobs.table import Table, ends_of, rows_of
from tests.warming.shelf import Shelf

pytestmark = pytest.mark.anyio


def extras_of(table, store):
    return Extras(ends_of(table, store), apart=2.0, seconds=10.0)


async def found_by(extras):
    return sorted([key async for page in extras.pages() for key in page])


async def test_keys_without_a_row_are_found_each_once():
    table, store = Table(rows_of(2500)), MemoryFarStore()
    await store.set_many(dict(table.data))
    for key in ("k00000", "k01000", "k02499"):
        del table.data[key]

    assert await found_by(extras_of(table, store)) == ["k00000", "k01000", "k02499"]


async def test_a_row_that_is_removed_while_its_store_is_being_told_is_none():
    table, store = Table(rows_of(10)), MemoryFarStore()
    await store.set_many(dict(table.data))
    del table.data["k00003"]

    async with create_task_group() as tasks:

        async def tell():
            await sleep(1.0)
            await store.delete_many(["k00003"])

        tasks.start_soon(tell)
        assert await found_by(extras_of(table, store)) == []


async def test_a_key_whose_row_comes_later_is_none():
    table, store = Table(rows_of(10)), MemoryFarStore()
    await store.set_many({"new": 1, "gone": 1})

    async with create_task_group() as tasks:

        async def insert():
            await sleep(1.0)
            table.data["new"] = 1

        tasks.start_soon(insert)
        assert await found_by(extras_of(table, store)) == ["gone"]


async def test_they_are_removed_when_asked():
    table, store = Table(rows_of(10)), MemoryFarStore()
    await store.set_many({**table.data, "gone": 1})
    extras = extras_of(table, store)

    await extras.remove(await found_by(extras))

    assert await found_by(extras_of(table, store)) == []
    assert len(store) == 10


async def test_a_store_that_lists_no_keys_is_refused_before_anything_is_read():
    table = Table(rows_of(10))

    with pytest.raises(JobRefusedError, match="Shelf does not list its keys"):
        extras_of(table, Shelf())
    assert table.reads == 0
