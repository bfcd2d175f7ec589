"""The suites for scans: each way to break the contract fails a test of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import anyio
import pytest

from async_backfill import MappingSource
from async_backfill.contracts import Page
from async_backfill.testing import KeysetScanContract, ScanContract
from tests.testing.suites import failed_tests

KEYS = [f"key {number}" for number in range(9)]


class Suite(ScanContract):
    keys = KEYS


class KeysetSuite(KeysetScanContract):
    keys = KEYS


class Keyset:
    """A scan that does as it should: the cursor is the last key."""

    def __init__(self):
        self.keys = list(KEYS)
        self.pages = 0

    def start(self, cursor):
        return 0 if cursor is None else bisect_right(self.keys, cursor)

    def rows(self, start, limit):
        return tuple(self.keys[start : start + limit])

    async def scan(self, cursor, limit):
        self.pages += 1
        await anyio.sleep(0.01)
        keys = self.rows(self.start(cursor), limit)
        return Page(keys, keys[-1] if len(keys) == limit else None)

    async def delete(self, key):
        self.keys.remove(key)


class RepeatsTheKeyAtTheCursor(Keyset):
    def start(self, cursor):
        return 0 if cursor is None else bisect_left(self.keys, cursor)


class SkipsAKey(Keyset):
    def start(self, cursor):
        return 0 if cursor is None else bisect_right(self.keys, cursor) + 1


class IgnoresTheLimit(Keyset):
    def rows(self, start, limit):
        return tuple(self.keys[start : start + limit + 1])


class HasNoOrder(Keyset):
    def rows(self, start, limit):
        return super().rows(start, limit)[:: 1 if self.pages % 2 else -1]


class OrdersByTheLimit(Keyset):
    """The order depends on how many keys are asked for."""

    async def scan(self, cursor, limit):
        self.keys = sorted(KEYS, reverse=limit > 3)
        start = cursor or 0
        return Page(self.rows(start, limit), start + limit if start + limit < len(KEYS) else None)


class HasItsOwnPlace(Keyset):
    """There is one place for all scans, as in a server's cursor."""

    place = 0

    async def scan(self, cursor, limit):
        if cursor is None:
            self.place = 0
        place, self.place = self.place, self.place + limit
        await anyio.sleep(0.01)
        return Page(self.rows(place, limit), "more" if self.place < len(KEYS) else None)


class NeverEnds(Keyset):
    async def scan(self, cursor, limit):
        page = await super().scan(cursor, limit)
        return Page(page.keys, page.cursor or KEYS[-1])


class CountsRows(Keyset):
    async def scan(self, cursor, limit):
        start = cursor or 0
        keys = self.rows(start, limit)
        return Page(keys, start + limit if len(keys) == limit else None)


class LosesItsPlaceWhenItsKeyIsDeleted(Keyset):
    def start(self, cursor):
        return 0 if cursor is None else self.keys.index(cursor) + 1


class BreaksWhenCancelled(Keyset):
    is_broken = False

    async def scan(self, cursor, limit):
        if self.is_broken:
            raise ConnectionError
        self.is_broken = True
        page = await super().scan(cursor, limit)
        self.is_broken = False
        return page


def delete(made):
    return made["scan"].delete


@pytest.mark.parametrize(
    "scan", [Keyset, CountsRows, LosesItsPlaceWhenItsKeyIsDeleted, lambda: MappingSource(dict.fromkeys(KEYS))]
)
def test_a_scan_that_keeps_its_promises_passes(scan):
    assert failed_tests(Suite(), scan=scan) == set()


def test_a_scan_by_key_passes_the_suite_for_such_scans():
    assert failed_tests(KeysetSuite(), scan=Keyset, delete=delete) == set()


@pytest.mark.parametrize(
    ("scan", "test"),
    [
        (RepeatsTheKeyAtTheCursor, "test_pages_of_any_size_have_each_key_once"),
        (SkipsAKey, "test_pages_of_any_size_have_each_key_once"),
        (IgnoresTheLimit, "test_no_page_has_more_keys_than_its_limit"),
        (HasNoOrder, "test_the_order_is_the_same_each_time_and_for_pages_of_any_size"),
        (HasNoOrder, "test_a_scan_begins_anew_without_a_cursor"),
        (OrdersByTheLimit, "test_the_order_is_the_same_each_time_and_for_pages_of_any_size"),
        (OrdersByTheLimit, "test_the_size_of_the_pages_may_change_on_the_way"),
        (HasItsOwnPlace, "test_a_scan_goes_on_from_any_of_its_cursors_as_often_as_asked"),
        (HasItsOwnPlace, "test_scans_at_the_same_time_do_not_mix"),
        (HasItsOwnPlace, "test_a_cancelled_page_can_be_asked_for_again"),
        (NeverEnds, "test_pages_of_any_size_have_each_key_once"),
        (BreaksWhenCancelled, "test_a_cancelled_page_can_be_asked_for_again"),
    ],
)
def test_a_scan_that_breaks_a_promise_fails_the_test_of_it(scan, test):
    assert test in failed_tests(Suite(), scan=scan)


@pytest.mark.parametrize(
    ("scan", "test"),
    [
        (CountsRows, "test_when_all_keys_of_a_page_are_deleted_no_other_is_missed"),
        (CountsRows, "test_when_the_key_at_the_cursor_is_deleted_no_other_is_missed"),
        (LosesItsPlaceWhenItsKeyIsDeleted, "test_when_the_key_at_the_cursor_is_deleted_no_other_is_missed"),
    ],
)
def test_a_scan_that_misses_keys_during_deletions_fails_the_test_of_it(scan, test):
    assert test in failed_tests(KeysetSuite(), scan=scan, delete=delete)


class ListsWhatIsGone(Keyset):
    """Goes by a copy of the keys from the beginning."""

    async def delete(self, key):
        pass


def test_a_scan_that_lists_deleted_keys_fails_the_test_of_it():
    assert failed_tests(KeysetSuite(), scan=ListsWhatIsGone, delete=delete) == {
        "test_a_key_that_is_deleted_ahead_of_the_cursor_does_not_come"
    }
