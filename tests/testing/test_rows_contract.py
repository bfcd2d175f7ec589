"""The suites for rows in ranges: each way to break the contract fails a test of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import anyio
import pytest

from async_backfill.contracts import RowPage
from async_backfill.outcomes import Failed
from async_backfill.testing import ChangingRowsContract, RowsContract
from tests.testing.suites import failed_tests, names_of

KNOWN = {f"key {number}": number for number in range(1, 10)}


class Suite(RowsContract):
    known = KNOWN


class ChangingSuite(ChangingRowsContract):
    known = KNOWN
    spare = {"": -1, "key 3+": 3.5, "key 99": 99}  # noqa: RUF012 - as a user would write it


class Keyset:
    """Rows as they should be: a cursor is a key, in the order of the keys."""

    def __init__(self):
        self.known = dict(KNOWN)

    @property
    def keys(self):
        return sorted(self.known)

    def first(self, after):
        return 0 if after is None else bisect_right(self.keys, after)

    def last(self, until):
        return len(self.known) if until is None else bisect_right(self.keys, until)

    def page(self, keys):
        return RowPage([(key, self.known[key]) for key in keys], cursor=keys[-1])

    async def rows(self, *, after=None, until=None, page=5000):
        while True:
            await anyio.sleep(0.01)
            keys = self.keys[self.first(after) : self.last(until)][:page]
            if not keys:
                return
            found = self.page(keys)
            after = keys[-1]
            yield found

    async def cuts(self, shards):
        keys = self.keys
        return sorted({keys[len(keys) * cut // shards] for cut in range(1, shards)} - {keys[-1]})

    async def insert(self, key, value):
        self.known[key] = value

    async def delete(self, key):
        del self.known[key]


class KnowsNoCuts(Keyset):
    async def cuts(self, shards):
        return ()


class RepeatsTheRowAtTheCursor(Keyset):
    """`after` is inclusive for those who ask, but not from page to page."""

    async def rows(self, *, after=None, until=None, page=5000):
        if after in self.known:
            yield self.page([after])
        async for found in super().rows(after=after, until=until, page=page):
            yield found


class LeavesOutTheLast(Keyset):
    """`until` is exclusive."""

    def last(self, until):
        return len(self.known) if until is None else bisect_left(self.keys, until)


class IgnoresUntil(Keyset):
    def last(self, until):
        return len(self.known)


class SkipsARow(Keyset):
    def first(self, after):
        return 0 if after is None else bisect_right(self.keys, after) + 1


class IgnoresTheSize(Keyset):
    async def rows(self, *, after=None, until=None, page=5000):
        async for found in super().rows(after=after, until=until, page=page + 1):
            yield found


class HasEmptyPages(Keyset):
    async def rows(self, *, after=None, until=None, page=5000):
        yield RowPage(cursor=after)
        async for found in super().rows(after=after, until=until, page=page):
            yield found


class HasNoOrder(Keyset):
    read = 0

    async def rows(self, *, after=None, until=None, page=5000):
        self.read += 1
        order = self.keys[:: 1 if self.read % 2 else -1]
        for key in order[self.first(after) : self.last(until)]:
            yield self.page([key])


class ForgetsItsCursors(Keyset):
    """A cursor is good for one use."""

    def __init__(self):
        super().__init__()
        self.used = set()

    async def rows(self, *, after=None, until=None, page=5000):
        if after in self.used:
            raise LookupError
        self.used |= {after} - {None}
        async for found in super().rows(after=after, until=until, page=page):
            yield found


class HasCursorsOfItsOwn(Keyset):
    """A cursor is an object that no other process can have."""

    class Cursor:
        def __init__(self, key):
            self.key = key

    def first(self, after):
        return super().first(getattr(after, "key", after))

    def last(self, until):
        return super().last(getattr(until, "key", until))

    def page(self, keys):
        return RowPage(super().page(keys), cursor=self.Cursor(keys[-1]))

    async def cuts(self, shards):
        return [self.Cursor(key) for key in await super().cuts(shards)]


class CutsTooOften(Keyset):
    async def cuts(self, shards):
        return [*await super().cuts(shards), self.keys[-1]]


class CutsOutOfOrder(Keyset):
    async def cuts(self, shards):
        return (await super().cuts(shards))[::-1]


class EndsAtTheLastRow(Keyset):
    """The end is the last row that there was at the beginning."""

    def last(self, until):
        return super().last(until or max(KNOWN))


class HasOnePlace(Keyset):
    """There is one place for all readings, as in a server's cursor."""

    place = None

    async def rows(self, *, after=None, until=None, page=5000):
        self.place = after
        while keys := self.keys[self.first(self.place) : self.last(until)][:page]:
            self.place = keys[-1]
            await anyio.sleep(0.01)
            yield self.page(keys)


class BreaksWhenLeft(Keyset):
    is_open = False

    async def rows(self, *, after=None, until=None, page=5000):
        if self.is_open:
            raise ConnectionError
        self.is_open = True
        async for found in super().rows(after=after, until=until, page=page):
            yield found
        self.is_open = False


class NeverEnds(Keyset):
    async def rows(self, *, after=None, until=None, page=5000):
        while True:
            async for found in super().rows(page=page):
                yield found


class FailsEachRow(Keyset):
    def page(self, keys):
        return RowPage(cursor=keys[-1], failed=dict.fromkeys(keys, Failed(ValueError())))


class CountsRows(Keyset):
    """A cursor is a number of rows, as with OFFSET."""

    async def rows(self, *, after=None, until=None, page=5000):
        place = after or 0
        while keys := self.keys[place:until][:page]:
            place += len(keys)
            yield RowPage(self.page(keys), cursor=place)

    async def cuts(self, shards):
        return sorted({len(self.known) * cut // shards for cut in range(1, shards)} - {0})


class ReadsAhead(Keyset):
    async def rows(self, *, after=None, until=None, page=5000):
        for found in [found async for found in super().rows(after=after, until=until, page=page)]:
            yield found


class LosesItsPlace(Keyset):
    def first(self, after):
        return 0 if after is None else self.keys.index(after) + 1


def insert(made):
    return made["ranged"].insert


def delete(made):
    return made["ranged"].delete


@pytest.mark.parametrize(
    "ranged", [Keyset, KnowsNoCuts, CountsRows, ReadsAhead, LosesItsPlace, EndsAtTheLastRow]
)
def test_rows_that_keep_their_promises_pass(ranged):
    assert failed_tests(Suite(), ranged=ranged) == set()


@pytest.mark.parametrize("ranged", [Keyset, KnowsNoCuts])
def test_rows_by_key_pass_the_suite_for_rows_that_change(ranged):
    assert failed_tests(ChangingSuite(), ranged=ranged, insert=insert, delete=delete) == set()


BROKEN = [
    (RepeatsTheRowAtTheCursor, "test_between_two_cursors_are_the_rows_up_to_the_second"),
    (RepeatsTheRowAtTheCursor, "test_each_row_is_in_exactly_one_of_the_shards"),
    (LeavesOutTheLast, "test_between_two_cursors_are_the_rows_up_to_the_second"),
    (LeavesOutTheLast, "test_each_row_is_in_exactly_one_of_the_shards"),
    (IgnoresUntil, "test_each_row_is_in_exactly_one_of_the_shards"),
    (SkipsARow, "test_pages_of_any_size_have_each_row_once"),
    (IgnoresTheSize, "test_a_page_has_a_row_and_no_more_than_its_size"),
    (HasEmptyPages, "test_a_page_has_a_row_and_no_more_than_its_size"),
    (HasNoOrder, "test_the_order_is_the_same_each_time_and_for_pages_of_any_size"),
    (ForgetsItsCursors, "test_a_cursor_holds_as_often_as_asked_and_outlives_its_process"),
    (ForgetsItsCursors, "test_cuts_hold_as_often_as_asked_and_outlive_their_process"),
    (HasCursorsOfItsOwn, "test_a_cursor_holds_as_often_as_asked_and_outlives_its_process"),
    (HasCursorsOfItsOwn, "test_cuts_hold_as_often_as_asked_and_outlive_their_process"),
    (CutsTooOften, "test_each_row_is_in_exactly_one_of_the_shards"),
    (CutsOutOfOrder, "test_each_row_is_in_exactly_one_of_the_shards"),
    (HasOnePlace, "test_ranges_read_at_the_same_time_do_not_mix"),
    (BreaksWhenLeft, "test_a_reading_that_was_left_disturbs_no_later_one"),
    (BreaksWhenLeft, "test_a_cancelled_page_can_be_asked_for_again"),
    (NeverEnds, "test_pages_of_any_size_have_each_row_once"),
    (FailsEachRow, "test_pages_of_any_size_have_each_row_once"),
]


@pytest.mark.parametrize(("ranged", "test"), BROKEN)
def test_rows_that_break_a_promise_fail_the_test_of_it(ranged, test):
    assert test in failed_tests(Suite(), ranged=ranged)


def test_each_test_of_the_suite_is_failed_by_some_broken_rows():
    assert {test for _, test in BROKEN} == names_of(Suite())


BROKEN_BY_CHANGE = [
    (CountsRows, "test_rows_that_come_and_go_meanwhile_disturb_no_other"),
    (CountsRows, "test_cuts_and_cursors_hold_when_their_rows_are_gone"),
    (LosesItsPlace, "test_cuts_and_cursors_hold_when_their_rows_are_gone"),
    (EndsAtTheLastRow, "test_rows_that_came_after_the_cuts_are_in_exactly_one_shard"),
    (ReadsAhead, "test_a_page_is_read_when_it_is_asked_for"),
]


@pytest.mark.parametrize(("ranged", "test"), BROKEN_BY_CHANGE)
def test_rows_that_break_a_promise_when_they_change_fail_the_test_of_it(ranged, test):
    assert test in failed_tests(ChangingSuite(), ranged=ranged, insert=insert, delete=delete)


def test_each_test_of_changes_is_failed_by_some_broken_rows():
    assert {test for _, test in BROKEN_BY_CHANGE} == names_of(ChangingSuite()) - names_of(Suite())
