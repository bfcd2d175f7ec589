"""A clock that only a test moves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import ConfigurationError
from async_backfill.testing import ManualClock


@settings(deadline=None)
@given(st.floats(0, 1e6), st.lists(st.floats(0, 1e6)))
def test_a_manual_clock_shows_the_sum_of_what_it_was_moved_by(begin, steps):
    clock = ManualClock(begin)
    for step in steps:
        before = clock()
        clock.advance(step)
        assert clock() == before + step >= before


def test_a_manual_clock_starts_at_zero_and_stands_still():
    clock = ManualClock()

    assert [clock(), clock()] == [0.0, 0.0]


@pytest.mark.parametrize("duration", [-0.1, math.nan, math.inf, True, "1", None])
def test_a_manual_clock_never_goes_back_and_never_to_infinity(duration):
    clock = ManualClock(5)
    with pytest.raises(ConfigurationError):
        clock.advance(duration)
    with pytest.raises(ConfigurationError):
        ManualClock(duration)

    assert clock() == 5


def test_a_manual_clock_sleeps_without_waiting():
    clock = ManualClock()
    with pytest.raises(StopIteration):
        clock.sleep(60.0).send(None)

    assert clock() == 60.0
