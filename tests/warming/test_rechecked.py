"""Rows that others change in ways of their own: each is compared with the source after it was written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from anyio import CancelScope, create_task_group, current_time, sleep, sleep_forever
from anyio.lowlevel import checkpoint

from async_backfill import ConfigurationError
from async_backfill.testing import MemoryFarStore
from async_backfill.warming import CopyError, copy_rows
from tests.warming.shelf import pages_of

pytestmark = pytest.mark.anyio


class Table:
    """A table that others change: ``change`` is called before each of the first reads by keys."""

    def __init__(self, *changes):
        self.rows = {"a": "old", "b": "old"}
        self.changes = list(changes)
        self.reads = []

    async def pages(self):
        page = dict(self.rows)
        await sleep(0.2)
        yield page

    async def load_many(self, keys):
        await sleep(0.1)
        self.reads.append(tuple(keys))
        if self.changes:
            self.changes.pop(0)(self.rows)
        return {key: self.rows[key] for key in keys if key in self.rows}


def to(value):
    def change(rows):
        rows["a"] = value

    return change


def away(rows):
    del rows["a"]


async def copied(table, **settings):
    store = MemoryFarStore()
    done = await copy_rows(table.pages(), store, guard="recheck", source=table, **settings)
    return done, {key: copy.value for key, copy in (await store.get_many("ab")).items()}


async def test_a_row_that_has_changed_meanwhile_is_mended_and_only_it_is_looked_at_again():
    table = Table(to("new"), to("newer"))
    done, found = await copied(table)

    assert found == {"a": "newer", "b": "old"}
    assert table.reads == [("a", "b"), ("a",), ("a",)]
    assert (done.read, done.kept) == (2, 2)


async def test_a_row_that_is_gone_meanwhile_is_removed():
    done, found = await copied(Table(away))

    assert found == {"b": "old"}
    assert (done.read, done.kept, done.newer) == (2, 1, 1)


async def test_a_row_that_changes_each_time_is_left_out_and_it_is_said_why():
    done, found = await copied(Table(*[to(number) for number in range(100)]))

    assert found == {"b": "old"}
    assert (done.kept, done.rejected) == (1, 1)
    assert done.bad == {"a": "it changed each time that it was read"}


async def test_the_memory_of_other_processes_is_told_what_was_mended():
    store = MemoryFarStore()
    await copied(Table(to("new"), away), invalidations=store.invalidations)

    assert store.invalidations.calls == [("a",), ("a",)]


class Readers:
    """Other processes: whoever is told of a key reads it again at once."""

    def __init__(self, store):
        self.store = store
        self.read = []

    async def publish(self, keys, /):
        found = await self.store.get_many(keys)
        self.read += [(key, found[key].value if key in found else None) for key in keys]


async def test_other_processes_are_told_once_the_new_value_is_there():
    store, table = MemoryFarStore(), Table(to("new"), to("newer"))
    readers = Readers(store)
    await copy_rows(table.pages(), store, guard="recheck", source=table, invalidations=readers)

    assert readers.read == [("a", "new"), ("a", "newer")]


async def test_other_processes_are_told_of_a_row_that_changes_each_time_once_it_is_removed():
    store, table = MemoryFarStore(), Table(*[to(number) for number in range(100)])
    readers = Readers(store)
    await copy_rows(table.pages(), store, guard="recheck", source=table, invalidations=readers)

    assert readers.read == [*[("a", number) for number in range(9)], ("a", None)]


async def test_other_processes_are_told_of_rows_removed_because_the_source_failed():
    class Failing(Table):
        async def load_many(self, _):
            raise ConnectionError("down")

    store, table = MemoryFarStore(), Failing()
    readers = Readers(store)
    with pytest.raises(CopyError):
        await copy_rows(
            table.pages(), store, guard="recheck", source=table, invalidations=readers, attempts=1
        )

    assert set(readers.read) == {("a", None), ("b", None)}


async def test_a_row_that_is_not_equal_to_itself_is_copied_like_any_other():
    class Measured(Table):
        def __init__(self):
            super().__init__()
            self.rows = {"a": {"mean": math.nan}, "b": {"mean": 1.0}}

        async def load_many(self, keys):
            return {key: {"mean": float(str(row["mean"]))} for key, row in self.rows.items() if key in keys}

    done, found = await copied(Measured())

    assert (done.kept, done.rejected) == (2, 0)
    assert math.isnan(found["a"]["mean"])


async def test_a_row_that_is_equal_has_not_changed_whatever_else_it_holds():
    @dataclass
    class Product:
        name: str
        read: int = field(compare=False)

    class Numbered(Table):
        def __init__(self):
            super().__init__()
            self.rows = {"a": Product("x", 0)}

        async def load_many(self, keys):
            self.reads.append(tuple(keys))
            return {key: Product("x", len(self.reads)) for key in keys}

    done, found = await copied(table := Numbered())

    assert (done.kept, done.rejected, found["a"].name) == (1, 0, "x")
    assert table.reads == [("a",)]


async def test_when_the_source_fails_nothing_stays_that_may_be_old():
    class Failing(Table):
        async def load_many(self, _):
            raise ConnectionError("down")

    store, table = MemoryFarStore(), Failing()
    with pytest.raises(CopyError, match=r"a page could not be written: ConnectionError: down"):
        await copy_rows(table.pages(), store, guard="recheck", source=table)

    assert await store.get_many("ab") == {}


async def test_when_it_is_cancelled_nothing_stays_that_may_be_old():
    class Slow(Table):
        async def load_many(self, _):
            await sleep_forever()

    store, table = MemoryFarStore(), Slow()
    with CancelScope(deadline=current_time() + 1) as scope:
        await copy_rows(table.pages(), store, guard="recheck", source=table)

    assert scope.cancelled_caught
    assert await store.get_many("ab") == {}


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_store_that_is_out_of_reach_for_a_moment_is_asked_again_to_remove_them(is_cancelled, caplog):
    store, scope = MemoryFarStore(), CancelScope()

    class Cut(Table):
        async def load_many(self, _):
            store.link.fail()
            tasks.start_soon(recover)
            if is_cancelled:
                scope.cancel()
            await checkpoint()
            raise ConnectionError("down")

    async def recover():
        await sleep(4)
        store.link.recover()

    async with create_task_group() as tasks:
        with scope, pytest.raises(CopyError):
            await copy_rows(Cut().pages(), store, guard="recheck", source=Cut(), attempts=1)
        assert scope.cancelled_caught is is_cancelled
        assert store.link.is_up
        assert await store.get_many("ab") == {}
    assert "may be old" not in caplog.text


async def test_what_cannot_even_be_removed_is_said(caplog):
    class Cut(Table):
        async def load_many(self, _):
            store.link.fail()
            raise ConnectionError("down")

    store, table = MemoryFarStore(), Cut()
    with pytest.raises(CopyError) as caught:
        await copy_rows(table.pages(), store, guard="recheck", source=table, attempts=1)

    assert caught.value.copied.through is None
    assert "could be neither compared with the source nor removed everywhere, and may be old" in caplog.text


async def test_a_source_is_needed():
    with pytest.raises(ConfigurationError, match=r"source: guard=.recheck. reads each row again"):
        await copy_rows(pages_of(1), MemoryFarStore(), guard="recheck")


async def test_rows_that_do_not_change_are_read_once_more_and_no_oftener():
    done, found = await copied(table := Table())

    assert (done.kept, found, table.reads) == (2, table.rows, [("a", "b")])
    assert (await copied(Table(), ttl=60))[0].kept == 2
