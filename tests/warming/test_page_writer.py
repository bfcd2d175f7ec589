"""One page: tried again, read again when it is too old, and written around the rows that are bad."""

from __future__ import annotations

import math

import pytest
from anyio import current_time, sleep, sleep_forever
from hypothesis import given
from hypothesis import strategies as st

from async_backfill.contracts import CallLimits, LimitedSource, RowPage
from async_backfill.outcomes import Failed
from async_backfill.testing import MemoryFarStore
from async_backfill.warming import CopyError, copy_rows
from tests.warming.shelf import Shelf, page, pages_of

pytestmark = pytest.mark.anyio


class Poisoned(Shelf):
    """A store that refuses any page with one of the ``bad`` keys."""

    def __init__(self, bad):
        super().__init__(self._refuse)
        self.bad, self.calls = bad, 0

    async def _refuse(self, items):
        self.calls += 1
        if self.bad & items.keys():
            raise ValueError("a poisoned row")


def adds_up(copied):
    return copied.read == copied.kept + copied.newer + copied.leased + copied.rejected + copied.dead


async def test_a_page_that_fails_once_is_tried_again():
    failures = [ConnectionError("once")]

    async def before(_):
        if failures:
            raise failures.pop()

    copied = await copy_rows(pages_of(3), Shelf(before))

    assert (copied.kept, copied.pages, copied.dead) == (6, 3, 0)


async def test_a_write_that_never_answers_ends_the_copy_in_bounded_time():
    async def before(items):
        if "0.0" in items:
            await sleep_forever()

    with pytest.raises(CopyError, match=r"took longer than 2.0 s \(write_timeout\); ") as caught:
        await copy_rows(pages_of(3000, seconds=0.1), Shelf(before), write_timeout=2, attempts=3)

    assert isinstance(caught.value.__cause__, TimeoutError)
    assert current_time() < 7
    assert caught.value.copied.pages < 70


async def test_a_read_that_never_answers_ends_the_copy_in_bounded_time():
    async def pages():
        yield page(0)
        await sleep_forever()

    with pytest.raises(CopyError, match=r"a page could not be read: TimeoutError: took longer than 5.0 s"):
        await copy_rows(pages(), Shelf(), read_timeout=5)

    assert current_time() == 5


@pytest.mark.parametrize("size", [1, 2, 3, 64, 1000])
async def test_one_bad_row_is_found_in_few_calls_and_all_others_are_written(size):
    async def pages():
        yield page(0, size)
        yield page(1, size)

    bad = f"0.{size // 3}"
    store = Poisoned({bad})
    copied = await copy_rows(pages(), store, max_dead=1, attempts=1)

    assert (copied.dead, copied.kept, dict(copied.bad)) == (
        1,
        2 * size - 1,
        {bad: "ValueError: a poisoned row"},
    )
    assert set(store.rows) == {*page(0, size), *page(1, size)} - {bad}
    assert store.calls <= 2 + math.ceil(math.log2(size)) + 2
    assert adds_up(copied)


async def test_more_bad_rows_than_allowed_stop_the_copy_and_one_is_named():
    with pytest.raises(CopyError) as caught:
        await copy_rows(pages_of(5), Poisoned({"2.1"}), writers=1)

    assert str(caught.value).startswith(
        "the row of '2.1' could not be copied: ValueError: a poisoned row (max_dead is 0); 5 of 6 rows"
    )
    assert (caught.value.copied.dead, caught.value.copied.through) == (1, "1.1")


async def test_a_store_that_takes_nothing_is_at_fault_and_no_row():
    async def before(_):
        raise ConnectionError("down")

    with pytest.raises(CopyError, match=r"^a page could not be written: ConnectionError: down") as caught:
        await copy_rows(pages_of(5), Shelf(before), max_dead=1)

    assert (caught.value.copied.dead, caught.value.copied.read) == (0, 0)


@given(size=st.integers(1, 40), bad=st.sets(st.integers(0, 39)), allowed=st.integers(0, 40))
async def test_whatever_rows_are_bad_the_others_are_written_or_the_copy_stops(size, bad, allowed):
    rows = {number: number for number in range(size)}
    store = Poisoned(bad := bad & rows.keys())

    async def pages():
        yield rows

    try:
        copied = await copy_rows(pages(), store, max_dead=allowed, attempts=1)
    except CopyError as error:
        assert len(bad) > allowed
        copied = error.copied
        assert set(copied.bad) <= bad
    else:
        assert len(bad) <= allowed
        assert set(copied.bad) == bad
        assert set(store.rows) == rows.keys() - bad
    assert adds_up(copied)


@given(size=st.integers(1, 100), failures=st.integers(0, 12), bad=st.sets(st.integers(0, 99), max_size=2))
async def test_a_store_that_is_back_while_bad_rows_are_looked_for_gets_all_others(size, failures, bad):
    rows, left = {number: number for number in range(size)}, [ConnectionError("down")] * failures
    bad &= rows.keys()

    async def before(items):
        if left:
            raise left.pop()
        if bad & items.keys():
            raise ValueError("a poisoned row")

    async def pages():
        yield rows

    store = Shelf(before)
    try:
        copied = await copy_rows(pages(), store, max_dead=5, attempts=1)
    except CopyError as error:
        copied = error.copied
    else:
        assert copied.read == size
        assert set(store.rows) == rows.keys() - copied.bad.keys()
        assert bad <= copied.bad.keys()
        assert len(copied.bad) <= len(bad) + failures
    assert adds_up(copied)


class Again(LimitedSource):
    """The rows as they are now, a few at a time; ``b`` is gone, and ``c`` cannot be read."""

    call_limits = CallLimits(max_batch=2, concurrency=1)

    def __init__(self):
        self.asked = []

    async def load_many(self, keys):
        self.asked.append(tuple(keys))
        rows = {"a": "now", "c": Failed(ValueError("broken")), "d": "now"}
        return {key: rows[key] for key in keys if key in rows}


async def old_page():
    page = {"a": "old", "b": "old", "c": "old", "d": "old"}
    await sleep(11)
    yield page


async def test_a_page_that_is_too_old_is_read_again_by_its_keys():
    store, source = MemoryFarStore(), Again()
    copied = await copy_rows(old_page(), store, source=source, max_dead=1)

    assert {key: copy.value for key, copy in (await store.get_many("abcd")).items()} == {
        "a": "now",
        "d": "now",
    }
    assert (copied.kept, copied.newer, copied.dead) == (2, 1, 1)
    assert (copied.through, copied.bad) == ("d", {"c": "ValueError: broken"})
    assert source.asked == [("a", "b"), ("c", "d")]
    assert adds_up(copied)


async def test_without_a_source_its_rows_are_dead_and_it_is_said_what_to_do():
    with pytest.raises(CopyError) as caught:
        await copy_rows(old_page(), MemoryFarStore())

    assert "3 others could not be copied: StalePageError: the read of a page began 11.000 s" in str(
        caught.value
    )
    assert "give source= to have its rows read again, or yield smaller pages" in str(caught.value)
    assert caught.value.copied.dead == 4


async def test_a_source_that_answers_by_other_keys_is_no_source_without_these_rows():
    class Other:
        async def load_many(self, keys):
            return {key.upper(): "now" for key in keys}

    copied = await copy_rows(old_page(), MemoryFarStore(), source=Other(), max_dead=4)

    assert (copied.dead, copied.newer) == (4, 0)


async def test_a_source_that_fails_stops_the_copy():
    class Down:
        async def load_many(self, _):
            raise ConnectionError("down")

    with pytest.raises(CopyError, match="a page could not be read again: ConnectionError: down"):
        await copy_rows(old_page(), MemoryFarStore(), source=Down(), max_dead=4)


async def test_a_store_whose_answer_does_not_add_up_is_not_believed():
    class Forgetful(Shelf):
        async def set_page(self, items, /, *, read_at, ttl=None):
            kept = await super().set_page(items, read_at=read_at, ttl=ttl)
            return type(kept)(kept=kept.kept - 1)

    with pytest.raises(CopyError, match=r"Forgetful\.set_page told of 0 of 1 rows"):
        await copy_rows(pages_of(1), Forgetful(), attempts=1)


@pytest.mark.parametrize(("jitter", "least", "middle"), [({"ttl_jitter": 0.2}, 80, 90), ({}, 95, 97.5)])
async def test_the_ttl_of_each_page_is_shortened_by_a_share_at_random(jitter, least, middle):
    shelf = Shelf()
    await copy_rows(pages_of(50), shelf, ttl=100, **jitter)
    ttls = [ttl for _, ttl in shelf.writes]

    assert len(set(ttls)) > 40
    assert least <= min(ttls) < middle < max(ttls) <= 100


async def row_pages():
    failed = {"c": Failed(ValueError("no number"))}
    yield RowPage({"b": 1, "a": 2}, cursor=("place", 1))
    yield RowPage({}, cursor=("place", 2), failed=failed)
    yield RowPage({}, cursor=("place", 3))


async def test_a_copy_goes_on_after_the_cursor_of_a_page_whose_rows_that_failed_are_dead():
    shelf = Shelf()
    copied = await copy_rows(row_pages(), shelf, max_dead=1)

    assert shelf.rows == {"b": 1, "a": 2}
    assert (copied.read, copied.kept, copied.dead, copied.pages) == (3, 2, 1, 2)
    assert (copied.through, copied.bad) == (("place", 2), {"c": "ValueError: no number"})


async def test_a_row_that_could_not_be_read_ends_a_copy_that_may_leave_out_none():
    with pytest.raises(CopyError, match=r"^the row of 'c' could not be copied: ValueError") as caught:
        await copy_rows(row_pages(), Shelf(), writers=1)

    assert caught.value.copied.through == ("place", 1)
