"""The size of the next page is a pure function of the last ones."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_backfill._jobs._running.page_size import LEAST, MOST, PageSize, aim_of, most_at


def test_pages_grow_by_a_fifth_at_most_until_they_take_half_a_second():
    size, sizes = PageSize(rows=1000), []
    for _ in range(20):
        size = size.after_page(size.rows, size.rows * 0.0001, 0.5)
        sizes.append(size.rows)

    assert sizes[:3] == [1200, 1440, 1728]
    assert sizes[-1] == 5000


def test_a_page_that_was_slow_shrinks_the_next_one_at_once():
    size = PageSize(rows=5000, mean=0.0001).after_page(5000, 5.0, 0.5)

    assert size.rows == round(0.5 / (0.4 * 0.001 + 0.6 * 0.0001))


def test_a_timeout_halves_the_page_down_to_a_hundred_rows():
    size = PageSize(rows=350, mean=0.1)

    assert [size.after_timeout().rows, size.after_timeout().after_timeout().rows] == [175, LEAST]
    assert size.after_timeout().after_timeout().is_least


def test_a_page_that_was_not_half_full_tells_nothing():
    size = PageSize(rows=1000, mean=0.001)

    assert size.after_page(499, 100.0, 0.5) == size


@pytest.mark.parametrize(("deadline", "aim"), [(None, 0.5), (10.0, 0.5), (1.0, 0.2)])
def test_a_page_takes_a_fifth_of_the_deadline_of_its_guard_at_most(deadline, aim):
    assert aim_of(deadline) == aim


def test_no_page_is_larger_than_a_twentieth_of_the_rows_of_a_second():
    assert [most_at(rate) for rate in (None, 20_000.0, 10.0, 1e9)] == [MOST, 1000, 1, MOST]


@given(
    st.integers(LEAST, MOST),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1e6)), max_size=50),
)
@example(LEAST, [(1.0, 5e-324)])
def test_a_page_has_a_hundred_to_twenty_thousand_rows_whatever_comes(rows, pages):
    size = PageSize(rows=rows)
    for share, seconds in pages:
        after = size.after_page(round(size.rows * share), seconds, 0.5)
        assert LEAST <= after.rows <= min(MOST, max(LEAST, round(1.2 * size.rows)))
        size = after
