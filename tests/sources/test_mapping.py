"""`MappingSource`: known keys, unknown keys, and keys page by page."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import MappingSource

pytestmark = pytest.mark.anyio


async def pages_of(source, limit):
    cursor, pages = None, []
    while True:
        page = await source.scan(cursor, limit)
        pages.append(list(page.keys))
        cursor = page.cursor
        if cursor is None:
            return pages


async def test_it_answers_with_what_the_mapping_has_and_none_is_a_value():
    source = MappingSource({"a": 1, "none": None})

    assert await source.load_many(("none", "gone", "a")) == {"none": None, "a": 1}
    assert await source.load_many(("gone",)) == {}


async def test_a_key_that_is_missing_is_not_made_by_a_mapping_that_makes_its_values():
    made = []

    class Making(dict):
        def __missing__(self, key):
            made.append(key)
            return key

    assert await MappingSource(Making(a=1)).load_many(("a", "b")) == {"a": 1}
    assert made == []


async def test_the_mapping_is_not_copied():
    rows = {"a": 1}
    source = MappingSource(rows)
    rows["a"] = 2
    rows["b"] = 3

    assert await source.load_many(("a", "b")) == {"a": 2, "b": 3}
    assert len(source) == 2
    assert (await source.scan(None, 5)).keys == ("a", "b")


@settings(deadline=None)
@given(rows=st.dictionaries(st.integers(), st.none()), limit=st.integers(1, 5))
async def test_pages_of_any_size_list_every_key_once_in_the_order_of_the_mapping(rows, limit):
    pages = await pages_of(MappingSource(rows), limit)

    assert [key for page in pages for key in page] == list(rows)
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages[-1]) < limit


async def test_an_empty_mapping_is_one_empty_page():
    assert await pages_of(MappingSource({}), 10) == [[]]


async def test_a_scan_can_be_taken_up_again_at_any_cursor():
    source = MappingSource(dict.fromkeys("abcdef"))
    cursor = (await source.scan(None, 2)).cursor

    assert [(await source.scan(cursor, 3)).keys for _ in range(2)] == [("c", "d", "e")] * 2


async def test_a_scan_survives_keys_that_are_removed_while_it_goes_on():
    rows = dict.fromkeys("abcdef")
    source = MappingSource(rows)
    page = await source.scan(None, 4)
    rows.clear()

    assert list(page.keys) == list("abcd")
    assert await source.scan(page.cursor, 4) == type(page)((), None)
