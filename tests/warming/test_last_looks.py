"""The end of a copy: keys that were leased are looked at again, and lost rows are noticed and said."""

from __future__ import annotations

import pytest
from anyio import sleep

from async_backfill import MappingSource
from async_backfill.outcomes import ABSENT
from async_backfill.testing import MemoryFarStore
from async_backfill.warming import CopyError, copy_rows
from tests.leases import lease
from tests.warming.shelf import Shelf, page, pages_of

pytestmark = pytest.mark.anyio


class Act:
    """Pages of ``rows`` and then of one more, between which something happens."""

    def __init__(self, rows, act):
        self.rows, self.act = rows, act

    async def pages(self):
        yield self.rows
        await sleep(0.1)
        await self.act()
        yield {"last": 0}


async def copied_while_leased(end, **settings):
    """Copy ``a`` while it is leased; before the copy ends, ``end`` happens to the lease."""
    store = MemoryFarStore()
    tokens = await lease(store.leases, ["a"])
    act = Act({"a": "old"}, lambda: end(store, tokens))
    copied = await copy_rows(act.pages(), store, **settings)
    return copied, (await store.get_many(["a"])).get("a")


async def write(store, tokens):
    await store.leases.set_many({"a": "new"}, tokens)


async def release(store, tokens):
    await store.leases.release_many(tokens)


async def tell_that_it_is_absent(store, tokens):
    await store.leases.release_many(tokens, told={"a": ABSENT})


async def nothing(_, __):
    pass


async def test_what_the_holder_of_a_lease_has_written_counts_as_newer():
    copied, found = await copied_while_leased(write)

    assert (copied.read, copied.kept, copied.newer, copied.leased) == (2, 1, 1, 0)
    assert found.value == "new"


@pytest.mark.parametrize("end", [release, tell_that_it_is_absent, nothing])
async def test_what_has_no_value_at_the_end_stays_counted_as_leased_without_a_source(end):
    copied, found = await copied_while_leased(end)

    assert (copied.read, copied.kept, copied.leased) == (2, 1, 1)
    assert found is None


@pytest.mark.parametrize(("rows", "kept", "newer"), [({"a": "now"}, 2, 0), ({}, 1, 1)], ids=["there", "gone"])
async def test_with_a_source_it_is_read_again_and_written(rows, kept, newer):
    copied, found = await copied_while_leased(release, source=MappingSource(rows))

    assert (copied.read, copied.kept, copied.newer, copied.leased) == (2, kept, newer, 0)
    assert (found and found.value) == rows.get("a")


async def test_a_lease_that_is_still_held_at_the_end_is_left_alone():
    copied, found = await copied_while_leased(nothing, source=MappingSource({"a": "now"}))

    assert (copied.read, copied.leased, found) == (2, 1, None)


async def test_an_older_value_under_a_lease_is_not_taken_for_a_newer_one():
    store = MemoryFarStore()
    await store.set_many({"a": "older"})
    await sleep(1)
    tokens = await lease(store.leases, ["a"], outdated=["a"])
    copied = await copy_rows(Act({"a": "old"}, lambda: release(store, tokens)).pages(), store)

    assert (copied.newer, copied.leased) == (0, 1)


async def test_a_source_that_fails_then_leaves_the_key_leased_and_says_so(caplog):
    class Down:
        async def load_many(self, _):
            raise ConnectionError("down")

    copied, _ = await copied_while_leased(release, source=Down())

    assert (copied.read, copied.leased) == (2, 1)
    assert "rows that were leased could not be read: ConnectionError: down" in caplog.text


def emptied_after(count, of, shelf):
    async def pages():
        async for rows in pages_of(of):
            if rows.keys() == page(count).keys():
                await sleep(1)
                shelf.rows.clear()
            yield rows

    return pages()


async def test_a_store_that_is_emptied_in_mid_copy_is_noticed_and_said():
    shelf = Shelf()
    with pytest.raises(CopyError) as caught:
        await copy_rows(emptied_after(15, 20, shelf), shelf)
    copied = caught.value.copied

    assert (copied.sampled, copied.lost, copied.kept) == (40, 30, 40)
    assert copied.through is None
    assert str(caught.value) == (
        "of 40 rows that the store had kept, 30 are not there any more: it was emptied, is full and evicts, "
        "or others removed them (max_lost is 0.25); 40 of 40 rows were kept"
    )


async def test_a_store_that_evicts_in_mid_copy_is_noticed_and_said():
    class Small(Shelf):
        async def set_page(self, items, /, *, read_at, ttl=None):
            kept = await super().set_page(items, read_at=read_at, ttl=ttl)
            while len(self.rows) > 500:
                del self.rows[next(iter(self.rows))]
            return kept

    async def pages():
        for number in range(100):
            yield page(number, 100)

    with pytest.raises(CopyError, match=r"of 500 rows that the store had kept, 4\d\d are not there any more"):
        await copy_rows(pages(), Small())


async def test_a_few_lost_rows_are_counted_and_said_but_stop_nothing(caplog):
    shelf = Shelf()
    copied = await copy_rows(emptied_after(2, 4, shelf), shelf)

    assert (copied.sampled, copied.lost, copied.through) == (8, 4, None)
    assert "of 8 rows that the store had kept, 4 are not there any more" in caplog.text


async def test_also_one_that_is_emptied_early():
    shelf = Shelf()
    with pytest.raises(CopyError, match=r"of 200 rows that the store had kept, 30 are not there any more"):
        await copy_rows(emptied_after(15, 100, shelf), shelf)


async def test_it_can_be_said_that_any_loss_is_right():
    shelf = Shelf()
    copied = await copy_rows(emptied_after(15, 20, shelf), shelf, max_lost=1)

    assert (copied.sampled, copied.lost, copied.through) == (40, 30, "19.1")


async def test_rows_that_applications_remove_here_and_there_are_counted_and_no_error():
    class Busy(Shelf):
        async def set_page(self, items, /, *, read_at, ttl=None):
            kept = await super().set_page(items, read_at=read_at, ttl=ttl)
            if len(self.writes) % 5 == 0:
                for key in items:
                    del self.rows[key]
            return kept

    copied = await copy_rows(pages_of(100), Busy())

    assert (copied.sampled, copied.lost, copied.through) == (200, 40, "99.1")


async def test_rows_whose_ttl_is_over_are_not_looked_for():
    store = MemoryFarStore()
    copied = await copy_rows(pages_of(20, seconds=1), store, ttl=5)

    assert copied.lost == 0
    assert 0 < copied.sampled <= 10


async def test_the_sample_of_a_long_copy_is_bounded_and_spread():
    shelf = Shelf()
    asked = []
    find = shelf.get_many

    async def get_many(keys, /):
        asked.extend(keys)
        return await find(keys)

    shelf.get_many = get_many
    copied = await copy_rows(pages_of(5000), shelf)
    pages = sorted({int(key.partition(".")[0]) for key in asked})

    assert 500 < copied.sampled == len(asked) <= 2000
    assert (pages[0] < 100, pages[-1] > 4900) == (True, True)


async def test_a_store_that_does_not_answer_at_the_end_is_said():
    class Deaf(Shelf):
        async def get_many(self, _, /):
            raise ConnectionError("gone")

    with pytest.raises(CopyError, match=r"could not be looked for at the end: ConnectionError: gone"):
        await copy_rows(pages_of(2), Deaf())
