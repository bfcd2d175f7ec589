"""The rate in rows a second is kept on the whole, and in each second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from async_backfill._jobs._running.pace import Pace

SECONDS = 60.0


@given(
    st.floats(1.0, 1e5),
    st.lists(st.floats(0.0, 0.02), min_size=1, max_size=20),
)
def test_a_worker_that_wakes_up_late_keeps_the_rate_within_three_in_a_hundred(rate, late):
    now, pace, done = 5.0, Pace(), []
    page = max(1, int(rate / 20))
    number = 0
    while now < 5.0 + SECONDS:
        if wait := pace.wait(now, page, rate):
            now += wait + late[number % len(late)]
            number += 1
            continue
        pace = pace.take(now, page, rate)
        done.append(now)
    rows = page * len(done)

    # The first page may begin at once, and one more a page's time ahead.
    assert rate * SECONDS * 0.97 - page <= rows <= rate * SECONDS + 2 * page


def test_rows_that_did_not_come_are_not_waited_for():
    pace = Pace().take(0.0, 100, 10.0)

    assert pace.wait(0.0, 10, 10.0) == 9.0
    assert pace.give_back(90, 10.0).wait(0.0, 10, 10.0) == 0.0


def test_without_a_rate_nobody_waits():
    pace = Pace().take(0.0, 10**9, None)

    assert (pace, pace.wait(0.0, 1, None)) == (Pace(), 0.0)


def test_a_pause_is_not_made_up_for():
    pace = Pace().take(0.0, 10, 10.0).take(1000.0, 10, 10.0)

    assert pace.until == 1001.0
