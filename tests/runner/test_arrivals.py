from __future__ import annotations

from itertools import islice, pairwise
from statistics import fmean, pstdev

import pytest

from async_backfill._runner.replay.arrivals import arrival_times
from async_backfill.errors import ConfigurationError


def first(count: int, *, rate: float = 20.0, seed: int = 0) -> list[float]:
    return list(islice(arrival_times(rate, seed=seed), count))


def test_without_a_rate_no_lookup_waits_for_its_moment():
    assert arrival_times(None, seed=0) is None


def test_moments_never_go_back_and_are_whole_microseconds():
    moments = [0.0, *first(5000)]
    assert all(before <= after for before, after in pairwise(moments))
    assert moments == [round(moment, 6) for moment in moments]


@pytest.mark.parametrize("rate", [0.5, 20.0, 3000.0])
def test_there_are_as_many_in_a_second_as_asked_for(rate):
    moments = first(20_000, rate=rate)
    assert 20_000 / moments[-1] == pytest.approx(rate, rel=0.03)


def test_gaps_vary_as_much_as_those_of_independent_users():
    gaps = [after - before for before, after in pairwise(first(20_000))]
    assert pstdev(gaps) == pytest.approx(fmean(gaps), rel=0.05)


def test_the_seed_decides():
    assert first(100, seed=3) == first(100, seed=3)
    assert first(100, seed=3) != first(100, seed=4)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan"), True, "20"])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ConfigurationError) as refused:
        arrival_times(rate, seed=0)
    assert refused.value.setting == "lookups_per_second"


@pytest.mark.parametrize("rate", [None, 20.0])
def test_an_impossible_seed_is_refused_whether_or_not_it_is_needed(rate):
    with pytest.raises(ConfigurationError) as refused:
        arrival_times(rate, seed=-1)
    assert refused.value.setting == "arrival_seed"
