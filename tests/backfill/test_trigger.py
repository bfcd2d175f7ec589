"""When the miss rate of the latest lookups is high enough, against a model that keeps every lookup."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from async_backfill import ConfigurationError
from async_backfill.backfill.trigger import MissRateTrigger

fractions = st.tuples(st.integers(1, 30), st.integers(1, 30)).filter(lambda pair: pair[0] <= pair[1])
thresholds = st.floats(0.01, 1.0) | st.just(1) | fractions.map(lambda pair: max(0.01, pair[0] / pair[1]))
streams = st.lists(st.booleans(), max_size=120)


def decisions(trigger, missed):
    """Return what ``trigger`` said to each miss of the stream ``missed``, and what it read then."""
    return [
        (trigger.observe_miss(number), trigger.reading())
        for number, miss in enumerate(missed, start=1)
        if miss
    ]


def worked_out(missed, threshold, window, min_lookups):
    """Return the same by counting the whole window again at each miss."""
    expected = []
    for number, miss in enumerate(missed, start=1):
        if miss:
            latest = missed[max(0, number - window) : number]
            misses, lookups = latest.count(True), len(latest)
            expected.append((lookups >= min_lookups and misses / lookups >= threshold, (misses, lookups)))
    return expected


@settings(deadline=None)
@given(streams, thresholds, st.integers(1, 40), st.integers(1, 40))
@example([True] * 3, 1.0, 3, 3)
@example([False, False, True], 1 / 3, 3, 3)
@example([True] * 50, 0.01, 5, 6)
def test_any_stream_of_hits_and_misses_is_judged_as_by_counting_it(missed, threshold, window, min_lookups):
    trigger = MissRateTrigger(threshold, window=window, min_lookups=min_lookups)

    assert decisions(trigger, missed) == worked_out(missed, threshold, window, min_lookups)


@settings(deadline=None)
@given(fractions)
def test_a_rate_exactly_at_the_threshold_fires_and_one_hit_more_does_not(fraction):
    misses, lookups = fraction
    if misses / lookups < 0.01:
        return
    at_threshold = [False] * (lookups - misses) + [True] * misses
    trigger = MissRateTrigger(misses / lookups, window=100, min_lookups=1)
    assert decisions(trigger, at_threshold)[-1] == (True, (misses, lookups))

    trigger = MissRateTrigger(misses / lookups, window=100, min_lookups=1)
    assert decisions(trigger, [False, *at_threshold])[-1] == (False, (misses, lookups + 1))


def test_the_rate_is_not_rounded():
    two_thirds = [True, True, False, True, True, False, False, True, True]

    assert decisions(MissRateTrigger(0.667), two_thirds)[-1] == (False, (6, 9))
    assert decisions(MissRateTrigger(0.6666), two_thirds)[-1] == (True, (6, 9))


@pytest.mark.parametrize(("min_lookups", "first"), [(1, 1), (3, 3), (10, 10)])
def test_it_does_not_fire_before_there_were_so_many_lookups(min_lookups, first):
    trigger = MissRateTrigger(0.5, min_lookups=min_lookups)
    fired = [number for number in range(1, 20) if trigger.observe_miss(number)]

    assert fired == list(range(first, 20))


def test_it_fires_on_every_miss_while_the_rate_is_high():
    fired = [fires for fires, _ in decisions(MissRateTrigger(1.0), [True] * 5)]

    assert fired == [False, False, True, True, True]


def test_a_window_smaller_than_the_least_lookups_never_fires():
    assert not any(fires for fires, _ in decisions(MissRateTrigger(0.01, window=2), [True] * 100))


def test_what_left_the_window_no_longer_counts():
    trigger = MissRateTrigger(0.5, window=10)
    decided = decisions(trigger, [True] * 10 + [False] * 8 + [True])

    assert decided[-1] == (False, (2, 10))


def test_it_has_read_nothing_before_the_first_miss():
    assert MissRateTrigger(0.5).reading() == (0, 0)


def test_it_keeps_no_more_misses_than_its_window_holds():
    trigger = MissRateTrigger(1.0, window=7)
    for number in range(1, 1000):
        trigger.observe_miss(number)

    assert trigger.reading() == (7, 7)
    assert len(trigger._misses) == 7


@pytest.mark.parametrize("threshold", [0, 0.0, 0.0099, 1.0001, -1, math.nan, math.inf, True, "0.5", None])
def test_a_threshold_outside_its_limits_is_refused_with_what_it_would_do(threshold):
    with pytest.raises(ConfigurationError, match="thrash") as refused:
        MissRateTrigger(threshold)

    assert refused.value.setting == "miss_threshold"


@pytest.mark.parametrize("setting", ["window", "min_lookups"])
@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None])
def test_a_count_that_is_no_whole_number_of_one_or_more_is_refused(setting, value):
    with pytest.raises(ConfigurationError) as refused:
        MissRateTrigger(0.5, **{setting: value})

    assert refused.value.setting == setting


@pytest.mark.parametrize("threshold", [0.01, 1, 1.0, 0.5])
def test_a_threshold_within_its_limits_is_taken_as_it_is(threshold):
    assert MissRateTrigger(threshold).threshold == threshold
