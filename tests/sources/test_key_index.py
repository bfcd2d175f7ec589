"""The index from keys to rows: nothing is lost when hashes collide."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from async_backfill.sources._rows.key_index import KeyIndex

hashes = st.integers(-3, 3) | st.sampled_from([1 << 40, -(1 << 63), (1 << 63) - 1]) | st.integers(-999, 999)


@given(digests=st.lists(hashes, max_size=300), asked=st.lists(hashes, max_size=5))
def test_the_rows_of_a_hash_are_those_that_were_added_with_it(digests, asked):
    index = KeyIndex()
    for row, digest in enumerate(digests):
        index.add(digest, 10 * row, row)
    for digest in {*digests, *asked}:
        expected = [row for row, other in enumerate(digests) if other == digest]
        assert sorted(index.rows(digest)) == expected
    assert [index.span(row) for row in range(len(index))] == [(10 * row, row) for row in range(len(digests))]


def test_a_row_that_was_moved_is_found_where_it_is():
    index = KeyIndex()
    index.add(7, 1, 2)
    index.add(7, 3, 4)
    index.move(0, (1 << 64) - 1, (1 << 32) - 1)
    assert [index.span(row) for row in index.rows(7)] == [((1 << 64) - 1, (1 << 32) - 1), (3, 4)]


def test_a_row_takes_less_than_40_bytes():
    count = 100_000
    tracemalloc.start()
    index = KeyIndex()
    for row in range(count):
        index.add(row * 0x9E3779B97F4A7C15 % (1 << 63), row, row)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(index) == count
    assert kept < 40 * count
