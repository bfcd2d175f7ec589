"""Sampling by key hash: all or none of a key, a share of the keys, and counts for the whole."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._runner.scenario.model import MappingSpec, Settings
from async_backfill._runner.tuning.sampling import margin_of, place_of, sampled, scale_down
from async_backfill._runner.tuning.trial import Workload, run_trial
from async_backfill.sources._rows.tables import read_table
from benchmarks.key_files import read_keys
from tests.command_line import ROOT

KEYS = st.lists(st.text(max_size=5), max_size=60)
SHARES = st.floats(0.001, 1.0)


@given(KEYS, SHARES)
def test_a_sample_keeps_all_or_none_of_the_lookups_of_a_key(keys, share):
    kept, whole = Counter(sampled(keys, share)), Counter(keys)
    assert all(kept[key] in {0, whole[key]} for key in whole)
    assert kept.keys() <= whole.keys()


@given(KEYS, SHARES)
def test_a_sample_keeps_the_order(keys, share):
    chosen = set(sampled(keys, share))
    assert sampled(keys, share) == [key for key in keys if key in chosen]


@given(KEYS, SHARES, SHARES)
def test_a_smaller_sample_is_part_of_a_larger_one(keys, one, other):
    small, large = sorted((one, other))
    assert set(sampled(keys, small)) <= set(sampled(keys, large))


@given(KEYS)
def test_a_sample_of_everything_is_everything(keys):
    assert sampled(keys, 1.0) == keys


@given(st.text())
def test_the_place_of_a_key_is_a_share(key):
    assert 0.0 <= place_of(key) < 1.0


def test_the_place_of_a_key_is_the_same_in_every_process_and_release():
    assert place_of("product_001") == pytest.approx(0.5969331598979436, abs=1e-12)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("pattern", ["key_{}", "{:08d}", "user:{}:profile", "{:x}"])
def test_the_share_of_the_keys_in_a_sample_converges_to_what_was_asked_for(share, pattern):
    """Within four standard deviations of a binomial draw, for keys as people number them."""
    for count in (1_000, 30_000):
        kept = len(sampled([pattern.format(number) for number in range(count)], share))
        assert abs(kept - share * count) < 4 * (count * share * (1 - share)) ** 0.5


def test_capacity_window_and_batch_are_scaled_with_the_sample_and_a_budget_is_not():
    small = scale_down(Settings(capacity=5000, backfill_batch=100, max_backfills=7), 0.1)
    assert (small.capacity, small.window, small.backfill_batch, small.max_backfills) == (500, 100, 10, 7)


def test_a_budget_is_scaled_where_a_scaled_batch_would_be_less_than_one_key():
    small = scale_down(Settings(backfill_batch=10, max_backfills=50), 0.01)
    assert (small.backfill_batch, small.max_backfills) == (1, 5)


def test_no_setting_is_scaled_to_nothing_and_none_and_zero_stay():
    small = scale_down(Settings(capacity=1, backfill_batch=1, max_backfills=1, window=3), 0.001)
    assert (small.capacity, small.window, small.backfill_batch, small.max_backfills) == (1, 3, 1, 1)
    assert scale_down(Settings(), 0.1).capacity is None
    assert scale_down(Settings(), 0.1).max_backfills is None
    assert scale_down(Settings(max_backfills=0), 0.1).max_backfills == 0


def test_the_margin_shrinks_with_the_root_of_the_keys_in_the_sample():
    one = margin_of({f"{number}": 1 for number in range(100)}, 0.01, 1_000_000)
    other = margin_of({f"{number}": 1 for number in range(400)}, 0.04, 1_000_000)
    assert one / other == pytest.approx(2.0, rel=0.02)
    assert margin_of({"a": 5}, 1.0, 10) == 0.0


@pytest.fixture(scope="module")
def flights():
    """Return the lookups of data/flights_weather.json as a workload, sampled."""
    lookups, table = anyio.run(read_flights)

    def workload(share: float) -> Workload:
        return Workload(
            spec=MappingSpec(entries={}),
            keys=sampled(table, share),
            lookups=sampled(lookups, share),
            share=share,
            total=len(lookups),
            absent=sum(key not in table for key in lookups),
        )

    return workload


async def read_flights():
    lookups = await read_keys(ROOT / "data/flights_weather.keys.gz")
    return lookups, await read_table(ROOT / "data/weather.csv.gz", key="key", value=None)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(max_backfills=0, capacity=100, eviction="s3-fifo"),
        Settings(miss_threshold=0.05, backfill_batch=500, max_backfills=10),
    ],
    ids=["s3-fifo", "a few backfills"],
)
def test_a_sampled_hit_rate_is_as_near_to_the_full_one_as_it_says(flights, settings):
    full = anyio.run(run_trial, flights(1.0), settings)
    for share in (0.1, 0.03):
        estimate = anyio.run(run_trial, flights(share), settings)
        assert abs(estimate.hit_rate - full.hit_rate) <= estimate.margin < 0.01
        assert estimate.entries == pytest.approx(full.entries, rel=0.05)
        assert estimate.source_calls == pytest.approx(full.source_calls, rel=0.1)


def trial_of(lookups, share=1.0, **settings):
    """Return the result of a trial of ``lookups``, all of whose keys the source has."""
    workload = Workload(
        spec=MappingSpec(entries={}),
        keys=sampled(dict.fromkeys(lookups), share),
        lookups=sampled(lookups, share),
        share=share,
        total=len(lookups),
        absent=0,
    )
    return anyio.run(run_trial, workload, Settings(max_backfills=0, **settings))


@pytest.mark.parametrize(("flush_at", "entries"), [(1, 4), (4, 4), (5, 3), (6, 4), (7, 4), (99, 4)])
def test_the_entries_of_a_trial_are_the_most_before_and_after_its_flush(flush_at, entries):
    assert trial_of("abcadcb", flush_at=flush_at).entries == entries


def test_a_flush_after_the_last_lookup_of_a_trial_changes_nothing():
    never, late = trial_of("abcadcb"), trial_of("abcadcb", flush_at=8)
    assert (late.entries, late.source_calls) == (never.entries, never.source_calls) == (4, 4)


def test_the_entries_of_a_sampled_trial_are_those_before_a_flush_too():
    lookups = [f"{number % 1000}" for number in range(2000)]
    never, late = trial_of(lookups, 0.3), trial_of(lookups, 0.3, flush_at=1900)
    assert late.entries == never.entries == pytest.approx(1000, rel=0.1)
    assert late.source_calls > never.source_calls
