"""A difference between a row and its copy counts when both are the same at a second look."""

from __future__ import annotations

import math
from array import array
from decimal import Decimal

import pytest
from anyio import create_task_group, current_time, sleep

from async_backfill._jobs._same import are_same
from async_backfill._jobs._verifying.looks import Looks
from async_backfill.testing import MemoryFarStore
from tests.jobs.table import Table, ends_of, rows_of


async def looked_at(table, store, meanwhile=None):
    """Compare all rows of ``table``; return the looks, and the keys that differ."""
    looks = Looks(ends_of(table, store), apart=2.0, seconds=10.0)
    async with create_task_group() as tasks:
        await looks.first(dict(table.data), is_new=False)
        if meanwhile is not None:
            tasks.start_soon(meanwhile)
        sure = []
        while looks:
            sure += await looks.confirmed(to_the_end=True)
        tasks.cancel_scope.cancel()
    return looks, [one.key for one in sure]


async def copied(rows):
    store = MemoryFarStore()
    await store.set_many(rows)
    return store


@pytest.mark.anyio
async def test_equal_copies_take_one_look_and_no_time():
    began = current_time()
    looks, found = await looked_at(Table(rows_of(10)), await copied(rows_of(10)))

    assert (found, looks.changing) == ([], 0)
    assert current_time() == began


@pytest.mark.anyio
async def test_a_difference_that_stays_counts_two_seconds_later():
    store = await copied({**rows_of(5), "k00001": "old"})
    await store.delete_many(["k00003"])
    began = current_time()

    _, found = await looked_at(Table(rows_of(5)), store)

    assert found == ["k00001", "k00003"]
    assert current_time() == began + 2.0


@pytest.mark.anyio
async def test_a_difference_that_a_writer_mends_meanwhile_is_none():
    table, store = Table(rows_of(5)), await copied(rows_of(5))
    table.data["k00002"] = "new"

    async def tell():
        await sleep(1.0)
        await store.set_many({"k00002": "new"})

    assert (await looked_at(table, store, tell))[1] == []


@pytest.mark.anyio
async def test_a_row_that_changes_between_the_looks_is_looked_at_once_more():
    table, store = Table(rows_of(5)), await copied({**rows_of(5), "k00002": "old"})

    async def change():
        await sleep(1.0)
        table.data["k00002"] = "newer"

    began = current_time()
    looks, found = await looked_at(table, store, change)

    assert (found, looks.changing) == (["k00002"], 0)
    assert current_time() == began + 4.0


@pytest.mark.anyio
async def test_a_row_that_never_holds_still_is_counted_apart():
    table, store = Table(rows_of(5)), await copied(rows_of(5))
    table.data["k00002"] = "new"

    async def change():
        while True:
            await sleep(1.0)
            table.data["k00002"] += "!"

    looks, found = await looked_at(table, store, change)

    assert (found, looks.changing) == ([], 1)


@pytest.mark.anyio
async def test_a_row_that_is_removed_meanwhile_is_no_difference():
    table, store = Table(rows_of(5)), MemoryFarStore()

    async def remove():
        await sleep(1.0)
        table.data.clear()

    looks, found = await looked_at(table, store, remove)

    assert (found, looks.changing) == ([], 5)


@pytest.mark.anyio
async def test_many_differences_wait_in_bounded_memory():
    table = Table(rows_of(20_000))
    looks = Looks(ends_of(table, MemoryFarStore()), apart=2.0, seconds=10.0)
    found, most = 0, 0
    async for page in table.rows(page=1000):
        await looks.first(page, is_new=False)
        found += len(await looks.confirmed())
        most = max(most, len(looks))
    while looks:
        found += len(await looks.confirmed(to_the_end=True))

    assert found == 20_000
    assert most <= 6000


class Vague:
    """A value whose comparison says nothing."""

    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        raise ValueError("which of them?")

    __hash__ = None


@pytest.mark.parametrize(
    ("row", "copy", "same"),
    [
        ({"a": [1, None]}, {"a": [1, None]}, True),
        (1, 1.0, False),
        (1, True, False),
        ({"a": 1}, {"a": 2}, False),
        (math.nan, math.nan, True),
        ({"price": math.nan}, {"price": math.nan}, True),
        ({"price": math.nan}, {"price": 1.0}, False),
        (Decimal("1.0"), Decimal("1.0"), True),
        (Vague("a"), Vague("a"), True),
        (Vague("a"), Vague("b"), False),
        ((1, 2), [1, 2], False),
        (array("d", [1.0]), array("d", [1.0]), True),
        (object(), object(), False),
    ],
)
def test_what_is_the_same(row, copy, same):
    assert are_same(row, copy) is same
