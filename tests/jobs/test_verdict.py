"""A job is done when nothing differs and nothing was left out; else it has gaps, and says which."""

from __future__ import annotations

import pytest

from async_backfill._jobs._records import JobCounts, JobStatus
from async_backfill._jobs._verifying.result import Verified
from async_backfill._jobs._verifying.verdict import verdict

COPIED = JobCounts(read=100, kept=90, newer=10)


def found(**counts):
    return Verified(is_all=True, compared=100, **counts)


@pytest.mark.parametrize("apart", ["inserted", "expired", "changing"])
def test_a_job_without_differences_is_done_whatever_is_counted_apart(apart):
    assert verdict(found(**{apart: 3}), COPIED) == (JobStatus.DONE, None)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("wrong", "3 wrong"),
        ("missing", "3 missing"),
        ("extra", "3 without a row"),
        ("unread", "3 not readable"),
    ],
)
def test_any_difference_is_a_gap_and_is_said(kind, said):
    status, reason = verdict(found(**{kind: 3}), COPIED)

    assert (status, reason) == (JobStatus.DONE_WITH_GAPS, f"of 100 rows compared {said}")


def test_repaired_differences_are_said_and_no_gap():
    status, reason = verdict(found(wrong=2, missing=1, repaired=3), COPIED)

    assert status is JobStatus.DONE
    assert reason == "of 100 rows compared 2 wrong, 1 missing, 3 of these repaired"


@pytest.mark.parametrize("kind", ["dead", "rejected"])
def test_rows_that_were_left_out_are_gaps(kind):
    status, reason = verdict(found(), JobCounts(read=100, kept=98, **{kind: 2}))

    assert status is JobStatus.DONE_WITH_GAPS
    assert reason is not None
    assert reason.startswith("2 ")
