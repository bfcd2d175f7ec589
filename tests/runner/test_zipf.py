from __future__ import annotations

from collections import Counter

import pytest

from async_backfill._runner.scenario.model import ZipfSpec
from async_backfill._runner.scenario.zipf import zipf_keys


def counts(**spec: float) -> list[int]:
    """How often the keys are asked for, the most popular first."""
    return sorted(Counter(zipf_keys(ZipfSpec(**spec))).values(), reverse=True)


def test_so_many_lookups_ask_for_so_many_keys_and_no_others():
    keys = zipf_keys(ZipfSpec(count=5000, keys=20, exponent=0.5))
    assert len(keys) == 5000
    assert set(keys) == {f"key_{number}" for number in range(20)}


def test_the_first_rank_is_asked_for_more_than_the_fourth_as_the_exponent_says():
    by_rank = counts(count=200_000, keys=100, exponent=1.0)
    assert by_rank[0] / by_rank[3] == pytest.approx(4.0, rel=0.1)


def test_without_an_exponent_above_0_every_key_is_as_popular_as_any():
    by_rank = counts(count=100_000, keys=10, exponent=0.0)
    assert by_rank[0] / by_rank[-1] == pytest.approx(1.0, rel=0.1)


def test_where_a_key_stands_says_nothing_about_how_popular_it_is():
    favourites = {
        Counter(zipf_keys(ZipfSpec(count=1000, keys=50, exponent=2.0, seed=seed))).most_common(1)[0][0]
        for seed in range(10)
    }
    assert len(favourites) > 5


def test_the_seed_decides():
    spec = {"count": 200, "keys": 50}
    assert zipf_keys(ZipfSpec(**spec, seed=1)) == zipf_keys(ZipfSpec(**spec, seed=1))
    assert zipf_keys(ZipfSpec(**spec, seed=1)) != zipf_keys(ZipfSpec(**spec, seed=2))


def test_no_lookups_can_be_made_up_as_well():
    assert zipf_keys(ZipfSpec(count=0, keys=1)) == []
