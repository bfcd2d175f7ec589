"""From counters to the frozen snapshot that users see."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BudgetState, CircuitState, Stats, Status
from async_backfill._lookup.counters import Counters, snapshot
from async_backfill.outcomes import LoadCause, MissCause
from async_backfill.stats import FarStats

counts = st.integers(0, 10**12)


def snapshot_of(counters, **facts):
    looked_up = {
        "size": 0,
        "in_flight": 0,
        "abandoned": 0,
        "backfills": 0,
        "permits_left": None,
        "budget": BudgetState.OPEN,
        "circuit": None,
        "audit_dropped": 0,
        "far": None,
    }
    return snapshot(counters, **(looked_up | facts))


def test_a_cache_that_has_done_nothing_has_counted_nothing():
    stats = dataclasses.asdict(snapshot_of(Counters()))
    left = {name: value for name, value in stats.items() if value != 0}

    assert left == {
        "miss_causes": {},
        "first_causes": {},
        "calls": dict.fromkeys(LoadCause, 0),
        "calls_failed": dict.fromkeys(LoadCause, 0),
        "backfill_keys_read": None,
        "weight": None,
        "readiness": None,
        "permits_left": None,
        "budget": BudgetState.OPEN,
        "circuit": None,
        "far": None,
        "journal": None,
        "snapshot": None,
    }
    assert (stats["hit_rate"], stats["miss_rate"]) == (0.0, 0.0)


@settings(deadline=None)
@given(hits=counts, misses=counts, data=st.data())
def test_whatever_was_counted_the_figures_agree_with_each_other(hits, misses, data):
    led = data.draw(st.integers(0, misses))
    delivered = {cause: data.draw(counts) for cause in LoadCause}
    stats = snapshot_of(Counters(hits=hits, misses=misses, led=led, keys=delivered))

    assert stats.lookups == stats.hits + stats.misses == hits + misses
    assert stats.misses == stats.led + stats.joined
    assert stats.source_keys == stats.miss_keys + stats.refresh_keys + stats.backfill_keys
    assert stats.source_keys == sum(delivered.values())
    assert math.isclose(stats.hit_rate + stats.miss_rate, 1.0 if hits + misses else 0.0)
    assert stats.hit_rate * stats.lookups == pytest.approx(hits)


def test_each_figure_is_the_one_that_was_counted():
    counters = Counters(
        hits=1,
        misses=7,
        led=3,
        stale=18,
        absent=4,
        failed=5,
        source_calls=6,
        evictions=8,
        expirations=21,
        unkept=9,
        unremembered=20,
        backfills_completed=22,
        backfills_cancelled=23,
        backfills_failed=9,
        backfills_skipped=10,
        backfills_denied=11,
        causes={MissCause.COLD: 2, MissCause.EVICTED: 5},
        left_causes={MissCause.COLD: 3},
        other_calls={LoadCause.REFRESH: 1, LoadCause.BACKFILL: 2},
        failed_calls={LoadCause.REFRESH: 1},
        keys={LoadCause.MISS: 12, LoadCause.REFRESH: 19, LoadCause.BACKFILL: 13},
    )
    facts = {
        "size": 14,
        "in_flight": 15,
        "abandoned": 16,
        "backfills": 16,
        "permits_left": 0,
        "budget": BudgetState.NEEDS_APPROVAL,
        "circuit": CircuitState.HALF_OPEN,
        "audit_dropped": 17,
        "backfill_keys_read": 24,
        "weight": 25,
        "readiness": "warming",
        "far": FarStats(
            hits=1, misses=2, failures=3, written=4, unwritten=5, unreleased=0, circuit=CircuitState.OPEN
        ),
    }

    assert snapshot_of(counters, **facts) == Stats(
        lookups=8,
        hits=1,
        misses=7,
        led=3,
        joined=4,
        stale=18,
        absent=4,
        failed=5,
        hit_rate=1 / 8,
        miss_rate=7 / 8,
        miss_causes={MissCause.COLD: 2, MissCause.EVICTED: 5},
        first_causes={
            MissCause.COLD: 5,
            MissCause.EXPIRED: 0,
            MissCause.EVICTED: 5,
            MissCause.INVALIDATED: 0,
        },
        source_calls=6,
        calls={LoadCause.MISS: 3, LoadCause.REFRESH: 1, LoadCause.BACKFILL: 2},
        calls_failed={LoadCause.REFRESH: 1},
        source_keys=44,
        miss_keys=12,
        refresh_keys=19,
        backfill_keys=13,
        backfills=16,
        backfills_completed=22,
        backfills_cancelled=23,
        backfill_keys_read=24,
        backfills_failed=9,
        backfills_skipped=10,
        backfills_denied=11,
        evictions=8,
        expirations=21,
        unkept=9,
        unremembered=20,
        size=14,
        weight=25,
        readiness="warming",
        in_flight=15,
        abandoned=16,
        permits_left=0,
        budget=BudgetState.NEEDS_APPROVAL,
        circuit=CircuitState.HALF_OPEN,
        audit_dropped=17,
        far=facts["far"],
    )


def test_a_snapshot_does_not_change_with_the_counters_or_otherwise():
    counters = Counters(hits=1, causes=dict.fromkeys(MissCause, 0))
    stats = snapshot_of(counters)
    counters.hits += 1
    counters.count_cause(MissCause.COLD)
    counters.keys[LoadCause.MISS] += 1

    assert (stats.hits, stats.source_keys, stats.miss_causes[MissCause.COLD]) == (1, 0, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.hits = 2


def test_two_caches_do_not_count_into_one_another():
    one, other = Counters(), Counters()
    one.keys[LoadCause.MISS] += 1

    assert other.keys == dict.fromkeys(LoadCause, 0)


@settings(deadline=None)
@given(st.lists(st.sampled_from(Status)))
def test_a_decision_is_counted_under_its_status_and_no_other(decisions):
    counters = Counters()
    for status in decisions:
        counters.count_decision(status)

    assert counters == Counters(
        backfills_skipped=decisions.count(Status.SKIPPED),
        backfills_denied=decisions.count(Status.DENIED),
        backfills_failed=decisions.count(Status.FAILED),
        backfills_completed=decisions.count(Status.COMPLETED),
        backfills_cancelled=decisions.count(Status.CANCELLED),
    )
