from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import AuditRecord, BackfillCache, BackfillCause, MappingSource, Stats, Status
from async_backfill._runner.replay.lookups import LookupFailure
from async_backfill._runner.replay.summary import VirtualTime, encode, percentile, summarize
from async_backfill._runner.scenario.model import Settings
from async_backfill.outcomes import ABSENT

NO_STATS = BackfillCache(MappingSource({})).stats

RECORD = AuditRecord(
    number=1,
    status=Status.STARTED,
    cause=BackfillCause.THRESHOLD,
    time=1_700_000_000.0,
    lookup=3,
    last_lookup=3,
    backfill=1,
    keys=2,
)


def summary_of(stats: Stats = NO_STATS, *, audit=(), settings=None, results=None) -> dict:
    return summarize(stats, audit, settings or Settings(), results=results)


def test_the_figures_stand_in_the_order_in_which_people_read_them():
    assert list(summary_of(results=[])) == [
        "lookups",
        "cache_size",
        "hits",
        "misses",
        "absent",
        "failed",
        "hit_rate",
        "miss_rate",
        "backfills",
        "backfills_skipped",
        "backfills_denied",
        "evictions",
        "source_calls",
        "source_keys",
        "lookup_results",
        "audit",
        "audit_dropped",
        "settings",
    ]


def test_times_stand_in_the_summary_of_a_replay_in_virtual_time_and_in_no_other():
    times = VirtualTime(seconds=3600.1234567, latencies=[0.0] * 98 + [0.25, 0.5])
    with_times = summarize(NO_STATS, (), Settings(), results=None, virtual=times)
    added = {name: value for name, value in with_times.items() if name not in summary_of()}
    assert added == {"virtual_seconds": 3600.123457, "latency_p50": 0.0, "latency_p99": 0.25}
    names = list(with_times)
    assert names[names.index("source_keys") + 1 : names.index("audit")] == list(added)


@given(values=st.lists(st.integers(0, 50), min_size=1), percent=st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values, percent):
    def share(limit: int) -> float:
        return 100 * sum(value <= limit for value in values) / len(values)

    found = percentile(values, percent)
    assert found in values
    assert share(found) >= percent
    assert all(share(value) < percent for value in values if value < found)


def test_the_percentile_of_nothing_is_0():
    assert percentile([], 99) == 0.0


def test_without_lookups_both_rates_are_zero():
    summary = summary_of()
    assert (summary["lookups"], summary["hit_rate"], summary["miss_rate"]) == (0, 0.0, 0.0)


@given(hits=st.integers(0, 10**6), misses=st.integers(0, 10**6))
def test_rates_have_four_decimals_and_are_as_near_to_the_truth_as_that_allows(hits, misses):
    lookups = hits + misses
    stats = replace(
        NO_STATS,
        hits=hits,
        misses=misses,
        lookups=lookups,
        hit_rate=hits / max(lookups, 1),
        miss_rate=misses / max(lookups, 1),
    )
    for rate, count in ((summary_of(stats)["hit_rate"], hits), (summary_of(stats)["miss_rate"], misses)):
        assert len(str(rate).partition(".")[2]) <= 4
        assert abs(rate - count / max(lookups, 1)) <= 0.00005 + 1e-12


def test_a_result_says_whether_its_key_was_found():
    results = [("a", 1), ("b", None), ("c", ABSENT), ("d", LookupFailure("the source failed"))]
    assert summary_of(results=results)["lookup_results"] == [
        {"key": "a", "value": 1, "found": True},
        {"key": "b", "value": None, "found": True},
        {"key": "c", "value": None, "found": False},
        {"key": "d", "value": None, "found": False, "error": "the source failed"},
    ]


def test_results_can_be_left_out():
    assert "lookup_results" not in summary_of(results=None)


def test_audit_records_have_no_times_so_that_a_second_run_gives_the_same_summary():
    assert summary_of(audit=[RECORD]) == summary_of(audit=[replace(RECORD, time=0.0)])
    assert summary_of(audit=[RECORD])["audit"] == [
        {
            "number": 1,
            "status": "started",
            "cause": "threshold",
            "lookup": 3,
            "last_lookup": 3,
            "window_misses": 0,
            "window_lookups": 0,
            "backfill": 1,
            "keys": 2,
            "loaded": 0,
            "repeats": 1,
        }
    ]


def test_the_effective_settings_are_all_there():
    settings = Settings(capacity=7, miss_threshold=0.25)
    written = summary_of(settings=settings)["settings"]
    assert [*written, "capacity_bytes"] == list(Settings.__struct_fields__)  # only where it is given
    assert Settings(**written) == settings
    sized = summary_of(settings=Settings(capacity_bytes=7))["settings"]
    assert list(sized) == list(Settings.__struct_fields__)


def test_the_file_is_indented_json_in_utf_8_that_ends_its_last_line():
    content = encode(summary_of(results=[("ä", "\N{SNOWMAN}")]))
    assert '"key": "ä"'.encode() in content
    assert content.startswith(b'{\n  "lookups": 0,\n')
    assert content.endswith(b"\n}\n")
    assert json.loads(content) == summary_of(results=[("ä", "\N{SNOWMAN}")])


def test_what_json_cannot_hold_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"hit_rate": float("nan")})
