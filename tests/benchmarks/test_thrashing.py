"""The thrashing benchmark counts right, says the same each time, and shows what it claims to show."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import replace
from functools import cache

import anyio
import pytest

from async_backfill import BackfillCache, ConfigurationError, MappingSource, ScenarioError
from async_backfill.events import KeysEvicted, LoadFinished
from async_backfill.outcomes import LoadCause
from benchmarks.thrashing.experiment import BASELINE, THRESHOLDS, Case, Settings, compare, measure
from benchmarks.thrashing.report import encode, print_comparison
from benchmarks.thrashing.streams import Skew, Stream, flights_stream, skewed_stream, trace_stream
from benchmarks.thrashing.trigger import EveryMiss
from benchmarks.thrashing.usefulness import Usefulness

SMALL = Settings(backfill_batch=20)
"""A batch that leaves room for others in a cache of 50."""


def small_stream(lookups: int = 1500) -> Stream:
    return skewed_stream(Skew(keys=500, lookups=lookups, exponent=1.5))


@cache
def report_of_small_stream() -> tuple[str, str]:
    return report_of(small_stream(300))


def report_of(stream: Stream) -> tuple[str, str]:
    comparison = anyio.run(compare, stream, SMALL)
    printed = io.StringIO()
    print_comparison(comparison, printed)
    return printed.getvalue(), encode([comparison], SMALL)


def loaded(cause: LoadCause, *keys: str) -> LoadFinished:
    return LoadFinished(cause=cause, keys=keys, found=keys, seconds=0.0, error=None)


def test_two_runs_print_the_same_table_and_write_the_same_json():
    assert report_of(small_stream(300)) == report_of_small_stream()


def test_the_real_stream_runs_at_every_threshold_under_both_rules():
    flights = anyio.run(flights_stream)
    printed, written = report_of(replace(flights, lookups=flights.lookups[:300]))
    facts = json.loads(written)["streams"]["flights_weather"]
    assert facts["table_keys"] == 26_115
    for rule in ("may_evict", "free_room"):
        assert [row["threshold"] for row in facts[rule]] == list(THRESHOLDS)
    assert "Flights look up the weather" in printed


def test_the_json_says_how_it_was_measured():
    _, written = report_of_small_stream()
    document = json.loads(written)
    assert document["settings"]["backfill_batch"] == 20
    assert document["streams"]["skewed"]["capacity"] == 50
    assert document["streams"]["skewed"]["no_backfill"]["times_the_baseline"] == 1.0


def test_the_library_refuses_the_threshold_that_the_benchmark_shows():
    with pytest.raises(ConfigurationError, match="thrashes"):
        BackfillCache(MappingSource({}), miss_threshold=0.0)


def test_the_trigger_of_threshold_zero_fires_on_every_miss_whatever_the_miss_rate():
    trigger = EveryMiss()
    assert [trigger.observe_miss(lookup) for lookup in (1, 2, 5000)] == [True, True, True]
    assert trigger.reading() == (3, 5000)


def test_at_threshold_zero_every_miss_starts_a_backfill_that_may_evict():
    stream = small_stream()
    result = anyio.run(measure, stream, Case(threshold=0.0, evicts=True), SMALL)
    assert result.backfills == round((1 - result.hit_rate) * len(stream.lookups))


def test_threshold_zero_reads_more_and_hits_less_where_backfills_may_evict():
    stream = skewed_stream(Skew(keys=500, lookups=3000, exponent=2.0))
    at_zero = anyio.run(measure, stream, Case(threshold=0.0, evicts=True), SMALL)
    at_one_half = anyio.run(measure, stream, Case(threshold=0.5, evicts=True), SMALL)
    assert at_zero.source_keys > 10 * at_one_half.source_keys
    assert at_zero.hit_rate < at_one_half.hit_rate - 0.05


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_backfill_in_free_room_never_evicts(threshold):
    in_free_room = anyio.run(measure, small_stream(), Case(threshold=threshold, evicts=False), SMALL)
    assert in_free_room.backfills > 0
    assert in_free_room.evicted_by_backfill == 0


def test_what_backfills_evict_is_told_from_what_misses_evict():
    result = anyio.run(measure, small_stream(), Case(threshold=0.0, evicts=True), SMALL)
    assert 0 < result.evicted_by_backfill <= result.backfilled_keys


def test_the_baseline_never_backfills():
    result = anyio.run(measure, small_stream(), BASELINE, SMALL)
    assert (result.backfills, result.backfilled_keys, result.scan_pages) == (0, 0, 0)
    assert result.useful_share is None


def test_a_run_small_enough_to_do_by_hand_comes_to_what_the_hand_comes_to():
    # k4 misses: k1 and k2 are backfilled, k4 pushes out k1. k2 hits. k3 misses: k1 and k3 are
    # backfilled and push out k2 and k4. k3 hits twice, k1 once. So 3 of 4 backfilled keys were hit.
    stream = Stream(
        name="by hand",
        title="By hand",
        lookups=["k4", "k2", "k3", "k3", "k3", "k1"],
        table=dict.fromkeys(["k1", "k2", "k3", "k4"]),
    )
    settings = Settings(capacity_share=0.5, backfill_batch=2, latency=1.0, key_latency=0.25)
    result = anyio.run(measure, stream, Case(threshold=0.0, evicts=True), settings)
    assert result.hit_rate == 4 / 6
    assert (result.backfills, result.backfilled_keys, result.useful_share) == (2, 4, 0.75)
    assert result.evicted_by_backfill == 2
    assert (result.source_calls, result.scan_pages, result.source_keys) == (3, 1, 5)
    # The one page of the scan 1 s, each backfill of two keys 1.5 s, the load of k4 1.25 s.
    assert result.latency_p50 == 0.0
    assert result.latency_p99 == 3750.0
    assert result.latency_mean == 5250.0 / 6


def test_a_backfilled_key_is_useful_once_however_often_it_is_hit():
    usefulness = Usefulness()
    usefulness(loaded(LoadCause.BACKFILL, "a", "b"))
    usefulness.hit("a")
    usefulness.hit("a")
    assert usefulness.share == 0.5


def test_a_backfilled_key_that_left_unread_is_not_useful_when_a_miss_brings_it_back():
    usefulness = Usefulness()
    usefulness(loaded(LoadCause.BACKFILL, "a"))
    usefulness(KeysEvicted(keys=("a",)))
    usefulness(loaded(LoadCause.MISS, "a"))
    usefulness.hit("a")
    assert usefulness.share == 0.0


def test_a_key_that_is_backfilled_again_counts_again():
    usefulness = Usefulness()
    for _ in range(2):
        usefulness(loaded(LoadCause.BACKFILL, "a"))
        usefulness.hit("a")
        usefulness(KeysEvicted(keys=("a",)))
    assert (usefulness.backfilled, usefulness.useful) == (2, 2)


def test_an_eviction_counts_for_the_load_that_it_made_room_for():
    usefulness = Usefulness()
    usefulness(KeysEvicted(keys=("a", "b")))
    usefulness(loaded(LoadCause.MISS, "c"))
    usefulness(KeysEvicted(keys=("c",)))
    usefulness(loaded(LoadCause.BACKFILL, "d"))
    assert usefulness.evicted == 1


def test_there_is_no_useful_share_where_nothing_was_backfilled():
    assert Usefulness().share is None


def test_some_lookups_of_the_skewed_stream_ask_for_keys_that_do_not_exist():
    stream = skewed_stream(Skew(keys=500, lookups=1500, absent_share=0.5))
    absent = sum(key not in stream.table for key in stream.lookups)
    assert 600 < absent < 900


def test_popularity_in_the_skewed_stream_is_independent_of_the_order_of_the_table():
    stream = small_stream()
    first_half = set(list(stream.table)[:250])
    asked = [key for key in stream.table if key in set(stream.lookups)]
    assert 0.4 < sum(key in first_half for key in asked) / len(asked) < 0.6


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_table_of_a_trace_holds_all_of_its_keys_sorted(tmp_path, pack):
    path = tmp_path / "shop.keys.gz"
    path.write_bytes(pack(b"b\nc\na\nb\n"))
    stream = anyio.run(trace_stream, path)
    assert stream.name == "shop"
    assert stream.lookups == ["b", "c", "a", "b"]
    assert list(stream.table) == ["a", "b", "c"]


def test_an_empty_trace_is_refused(tmp_path):
    path = tmp_path / "empty.keys"
    path.touch()
    with pytest.raises(ScenarioError, match=r"empty\.keys: empty"):
        anyio.run(trace_stream, path)
