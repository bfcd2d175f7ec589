"""The audit log: numbered without a gap, legal changes only, what repeats folded, bounded in memory."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCause, Status
from async_backfill.backfill._audit.log import AuditLog
from async_backfill.records import LEGAL_CHANGES
from async_backfill.testing import ManualClock

FOLDED = (Status.SKIPPED, Status.DENIED)

decisions = st.fixed_dictionaries(
    {
        "status": st.sampled_from([Status.SKIPPED, Status.DENIED, Status.APPROVED]),
        "cause": st.sampled_from([None, *BackfillCause]),
        "permits_left": st.sampled_from([None, 0, 1]),
        "by": st.sampled_from([None, "ada", "bob"]),
        "reason": st.sampled_from([None, "deploy"]),
    }
)


def make_log(keep=1000, clock=None):
    reported = []
    return AuditLog(keep=keep, wall_clock=clock or ManualClock(), report=reported.append), reported


def is_a_repeat(decision, previous):
    return decision["status"] in FOLDED and decision == previous


@settings(deadline=None)
@given(st.lists(decisions, max_size=40), st.integers(1, 5))
def test_whatever_is_decided_every_decision_is_in_the_log_or_counted_as_dropped(made, keep):
    log, reported = make_log(keep)
    groups = []
    for lookup, decision in enumerate(made, start=1):
        log.add(lookup=lookup, **decision)
        if groups and is_a_repeat(decision, groups[-1][0]):
            groups[-1][1].append(lookup)
        else:
            groups.append((decision, [lookup]))

    held = [
        {
            "number": number,
            **decision,
            "lookup": lookups[0],
            "last_lookup": lookups[-1],
            "repeats": len(lookups),
        }
        for number, (decision, lookups) in enumerate(groups, start=1)
    ][-keep:]
    assert [{name: getattr(record, name) for name in held[0]} for record in log.records] == held
    assert log.dropped == len(groups) - len(held)
    assert len(reported) == len(made)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(sorted(set(Status) - {Status.RECEIPT}))), max_size=30
    )
)
def test_a_backfill_goes_only_from_one_status_to_a_legal_next_one(changes):
    log, _ = make_log()
    history = {}
    for which, status in changes:
        backfill = which if which in history else log.next_backfill()
        before = history.get(backfill)
        held = log.records
        if status in LEGAL_CHANGES[before]:
            assert log.add(status, lookup=1, backfill=backfill).status is status
            history[backfill] = status
        else:
            with pytest.raises(RuntimeError, match=f"backfill {backfill} cannot change"):
                log.add(status, lookup=1, backfill=backfill)
            assert log.records == held


@pytest.mark.parametrize("end", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
@pytest.mark.parametrize("next_status", [Status.STARTED, Status.FAILED, Status.COMPLETED, Status.CANCELLED])
def test_a_backfill_that_ended_is_never_reopened(end, next_status):
    log, _ = make_log()
    number = log.next_backfill()
    log.add(Status.STARTED, lookup=1, backfill=number)
    log.add(end, lookup=1, backfill=number)
    with pytest.raises(RuntimeError):
        log.add(next_status, lookup=2, backfill=number)

    assert [record.status for record in log.records] == [Status.STARTED, end]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.CANCELLED])
def test_what_can_only_follow_a_start_is_refused_without_one(status):
    log, _ = make_log()
    with pytest.raises(RuntimeError):
        log.add(status, lookup=1)
    with pytest.raises(RuntimeError):
        log.add(status, lookup=1, backfill=log.next_backfill())

    assert log.records == ()


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.RECEIPT}))
def test_a_backfill_that_has_no_number_yet_has_no_record(status):
    log, _ = make_log()
    with pytest.raises(RuntimeError):
        log.add(status, lookup=1, backfill=1)


def test_backfills_side_by_side_are_told_apart_by_their_number():
    log, _ = make_log()
    first, second = log.next_backfill(), log.next_backfill()
    log.add(Status.STARTED, lookup=1, backfill=first)
    log.add(Status.STARTED, lookup=1, backfill=second)
    log.add(Status.COMPLETED, lookup=1, backfill=second)
    log.add(Status.FAILED, lookup=1, backfill=first)

    assert [(record.backfill, record.status.value) for record in log.records] == [
        (1, "started"),
        (2, "started"),
        (2, "completed"),
        (1, "failed"),
    ]
    assert log.backfills == 2


def test_a_log_in_which_backfills_come_and_go_remembers_only_those_under_way():
    log, _ = make_log(keep=3)
    for _ in range(100):
        number = log.next_backfill()
        log.add(Status.STARTED, lookup=1, backfill=number)
        log.add(Status.COMPLETED, lookup=1, backfill=number)

    assert [record.number for record in log.records] == [198, 199, 200]
    assert (log.dropped, log.backfills, log._open) == (197, 100, {})


@pytest.mark.parametrize("status", FOLDED)
def test_a_decision_that_repeats_the_one_before_is_counted_in_it(status):
    clock = ManualClock(100.0)
    log, reported = make_log(clock=clock)
    log.add(status, lookup=5, window_misses=3, window_lookups=5)
    clock.advance(7)
    last = log.add(status, lookup=9, window_misses=6, window_lookups=9)

    assert log.records == (last,)
    assert (last.number, last.repeats, last.lookup, last.last_lookup) == (1, 2, 5, 9)
    assert (last.time, last.window_misses, last.window_lookups) == (100.0, 6, 9)
    assert [record.repeats for record in reported] == [1, 2]


@pytest.mark.parametrize("status", [Status.STARTED, Status.FAILED, Status.APPROVED])
def test_what_is_not_a_refusal_is_never_folded(status):
    log, _ = make_log()
    for _ in range(3):
        log.add(status, lookup=1)

    assert [(record.number, record.repeats) for record in log.records] == [(1, 1), (2, 1), (3, 1)]


def test_a_refusal_after_something_else_is_a_record_of_its_own():
    log, _ = make_log()
    for status in (Status.DENIED, Status.SKIPPED, Status.DENIED, Status.DENIED):
        log.add(status, lookup=1)

    assert [(record.status.value, record.repeats) for record in log.records] == [
        ("denied", 1),
        ("skipped", 1),
        ("denied", 2),
    ]


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("cause", BackfillCause.THRESHOLD, BackfillCause.MANUAL),
        ("permits_left", 1, 0),
        ("reason", "deploy", "restart"),
        ("by", "ada", "bob"),
    ],
)
def test_refusals_that_differ_in_what_matters_are_not_folded(name, one, other):
    log, _ = make_log()
    for value in (one, other):
        log.add(Status.SKIPPED, lookup=1, **{name: value})

    assert [getattr(record, name) for record in log.records] == [one, other]


def test_a_decision_that_repeats_a_dropped_one_is_still_folded_into_the_latest():
    log, _ = make_log(keep=1)
    for status in itertools.chain([Status.STARTED], itertools.repeat(Status.DENIED, 5)):
        log.add(status, lookup=1)

    assert [(record.number, record.repeats) for record in log.records] == [(2, 5)]
    assert log.dropped == 1


def test_a_record_has_the_time_of_the_wall_clock():
    clock = ManualClock(1000.0)
    log, _ = make_log(clock=clock)
    log.add(Status.APPROVED, lookup=0)
    clock.advance(2.5)
    log.add(Status.APPROVED, lookup=0)

    assert [record.time for record in log.records] == [1000.0, 1002.5]


def test_a_new_log_is_empty():
    log, reported = make_log()

    assert (log.records, log.dropped, log.backfills, reported) == ((), 0, 0, [])


def test_a_receipt_may_be_written_of_a_backfill_that_ended_and_changes_nothing():
    log, _ = make_log()
    number = log.next_backfill()
    log.add(Status.STARTED, lookup=1, backfill=number)
    log.add(Status.COMPLETED, lookup=1, backfill=number)
    receipt = log.add(Status.RECEIPT, lookup=9, backfill=number, loaded=10, read=4, calls=1)

    assert receipt.as_dict() | {"time": None} == {
        "number": 3,
        "status": "receipt",
        "time": None,
        "lookup": 9,
        "last_lookup": 9,
        "window_misses": 0,
        "window_lookups": 0,
        "backfill": number,
        "keys": 0,
        "loaded": 10,
        "read": 4,
        "calls": 1,
        "repeats": 1,
    }
    with pytest.raises(RuntimeError):
        log.add(Status.COMPLETED, lookup=10, backfill=number)


def test_a_repeat_differs_from_the_record_before_in_what_it_counts_alone():
    log, _ = make_log(clock=ManualClock(100.0))
    decision = {"cause": BackfillCause.RECOVERY, "permits_left": 2, "by": "ada", "reason": "deploy"}
    first = log.add(Status.SKIPPED, lookup=5, window_misses=3, window_lookups=5, **decision)
    again = log.add(Status.SKIPPED, lookup=9, window_misses=4, window_lookups=6, **decision)

    assert again == replace(first, last_lookup=9, repeats=2, window_misses=4, window_lookups=6)
    assert (first.repeats, first.last_lookup) == (1, 5)
