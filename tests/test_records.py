"""The audit record, and which status may follow which."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import AuditRecord, BackfillCause, Status
from async_backfill.records import LEGAL_CHANGES

counts = st.integers(0, 10**9)
texts = st.none() | st.text()
records = st.builds(
    AuditRecord,
    number=st.integers(1, 10**9),
    status=st.sampled_from(Status),
    cause=st.none() | st.sampled_from(BackfillCause),
    time=st.floats(0.0, 4e9),
    lookup=counts,
    last_lookup=counts,
    window_misses=counts,
    window_lookups=counts,
    backfill=st.none() | counts,
    keys=counts,
    loaded=counts,
    permits_left=st.none() | counts,
    by=texts,
    reason=texts,
    error=texts,
    repeats=st.integers(1, 10**9),
)


@settings(deadline=None)
@given(records)
def test_a_record_comes_back_whole_from_json(record):
    facts = json.loads(json.dumps(record.as_dict()))
    when = datetime.fromisoformat(facts.pop("time"))
    expected = {name: value for name, value in dataclasses.asdict(record).items() if value is not None}
    del expected["time"]

    assert facts == expected
    assert when.tzinfo is UTC
    assert abs(when.timestamp() - record.time) < 0.002


@settings(deadline=None)
@given(records)
def test_a_record_is_made_of_plain_json_types(record):
    assert {type(value) for value in record.as_dict().values()} <= {int, str}


def test_a_record_as_a_dict_keeps_its_fields_in_order_and_leaves_out_what_is_not_set():
    record = AuditRecord(
        number=1,
        status=Status.DENIED,
        cause=BackfillCause.THRESHOLD,
        time=0.5,
        lookup=4,
        last_lookup=9,
        window_misses=3,
        window_lookups=4,
        permits_left=0,
        repeats=6,
    )

    assert list(record.as_dict().items()) == [
        ("number", 1),
        ("status", "denied"),
        ("cause", "threshold"),
        ("time", "1970-01-01T00:00:00.500+00:00"),
        ("lookup", 4),
        ("last_lookup", 9),
        ("window_misses", 3),
        ("window_lookups", 4),
        ("keys", 0),
        ("loaded", 0),
        ("permits_left", 0),
        ("repeats", 6),
    ]


def test_a_record_cannot_be_changed():
    record = AuditRecord(number=1, status=Status.STARTED, cause=None, time=0.0, lookup=1, last_lookup=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.status = Status.COMPLETED


def test_every_status_has_its_row_and_can_be_reached():
    assert set(LEGAL_CHANGES) == {None, *Status}
    assert set().union(*LEGAL_CHANGES.values()) == set(Status)


def test_only_what_started_goes_on_and_it_ends_at_the_next_status():
    goes_on = {status for status, following in LEGAL_CHANGES.items() if following}

    assert goes_on == {None, Status.STARTED}
    assert LEGAL_CHANGES[Status.STARTED] == {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    assert Status.COMPLETED not in LEGAL_CHANGES[None]
    assert Status.CANCELLED not in LEGAL_CHANGES[None]


def test_the_table_of_status_changes_cannot_be_changed():
    with pytest.raises(TypeError):
        LEGAL_CHANGES[Status.COMPLETED] = frozenset({Status.STARTED})
