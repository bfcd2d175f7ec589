"""Approvals of jobs in their state: nothing runs that nobody approved."""

from __future__ import annotations

import pytest

from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._records import JobStatus, Wanted
from async_backfill._jobs._state.approvals import allowance, approvals, approve, revoke, start
from async_backfill._jobs._state.jobs import (
    change_status,
    find_job,
    want,
)
from async_backfill._jobs._state.shards import checkpoint, claim, release
from tests.jobs.state_rows import page, plan_of


@pytest.fixture
def state(each_state):
    return each_state


def test_an_approval_names_the_hash_of_the_plan(state):
    job = state.planned()

    with pytest.raises(JobRefusedError, match="look at it again"):
        state(approve, job.id, plan_hash=plan_of(rows=7).hash, by="bob", reason="x")
    with pytest.raises(JobRefusedError, match="nobody approved"):
        state(start, job.id, by="bob")


def test_the_first_six_characters_of_a_hash_are_enough_and_the_whole_is_kept(state):
    job = state.planned()

    for short in (job.plan_hash[:5], "", job.plan_hash + "0", job.plan_hash[1:8]):
        with pytest.raises(JobRefusedError, match="look at it again"):
            state(approve, job.id, plan_hash=short, by="bob", reason="x")
    given = state(approve, job.id, plan_hash=job.plan_hash[:6], by="bob", reason="x")

    assert given.plan_hash == job.plan_hash


@pytest.mark.parametrize(
    "wrong", [{"by": " "}, {"reason": ""}, {"max_rows": 0}, {"seconds": 0.0}, {"seconds": float("inf")}]
)
def test_an_approval_without_a_name_a_reason_or_a_limit_is_refused(state, wrong):
    job = state.planned()

    with pytest.raises(JobRefusedError):
        state(approve, job.id, **({"plan_hash": job.plan_hash, "by": "bob", "reason": "x"} | wrong))


def test_with_four_eyes_who_planned_a_job_does_not_approve_it(state):
    job = state.planned(four_eyes=True)

    with pytest.raises(JobRefusedError, match="somebody else"):
        state(approve, job.id, plan_hash=job.plan_hash, by=" Ada", reason="x")


def test_an_approval_is_used_once(state):
    job = state.running()

    (given,) = state(approvals, job.id)
    state(want, job.id, Wanted.PAUSE, by="ada", reason=None)
    assert state(start, job.id, by="eve").status is JobStatus.RUNNING
    assert (given.used, state(approvals, job.id)) == (1_000.0, [given])


def test_an_approval_that_expired_before_the_start_starts_nothing(state):
    job = state.approved(seconds=10.0)
    state.now += 10.0

    with pytest.raises(JobRefusedError, match="has expired"):
        state(start, job.id, by="bob")


def test_an_approval_taken_back_before_the_start_leaves_a_plan(state):
    job = state.approved()
    state(revoke, job.id, by="bob", reason="too early")

    assert state(find_job, job.id).status is JobStatus.PLANNED
    with pytest.raises(JobRefusedError, match="taken back"):
        state(start, job.id, by="bob")


def test_an_approval_taken_back_while_it_runs_allows_no_further_page(state):
    job = state.running()
    shard = state(claim, job.id, owner="w", lease=30.0)
    state(revoke, job.id, by="bob", reason=None)

    assert state(checkpoint, shard, page(), lease=30.0).allowance is None
    assert state(claim, job.id, owner="v", lease=30.0) is None


def test_rows_that_were_read_are_spent_and_a_new_approval_lets_it_go_on(state):
    job = state.running(max_rows=10)
    shard = state(claim, job.id, owner="w", lease=30.0)

    assert state(checkpoint, shard, page(10), lease=30.0).allowance.rows_left == 0
    assert state(claim, job.id, owner="v", lease=30.0) is None
    with pytest.raises(JobRefusedError, match="were read"):
        state(start, job.id, by="bob")
    state(approve, job.id, plan_hash=job.plan_hash, by="bob", reason="more", max_rows=5)
    assert state(allowance, job.id).rows_left == 5
    assert state(claim, job.id, owner="v", lease=30.0) is not None


def test_time_that_has_passed_ends_what_an_approval_allows(state):
    job = state.running(seconds=10.0)
    state.now += 11.0

    assert state(allowance, job.id).seconds_left == 0.0
    assert state(claim, job.id, owner="v", lease=30.0) is None


@pytest.mark.parametrize(("rows", "starts"), [(800, True), (799, False), (1_200, True), (1_201, False)])
def test_a_fifth_more_or_fewer_rows_than_planned_is_the_most(state, rows, starts):
    job = state.approved()

    if starts:
        assert state(start, job.id, by="bob", rows=rows).status is JobStatus.RUNNING
    else:
        with pytest.raises(JobRefusedError, match="planned for 1000 rows"):
            state(start, job.id, by="bob", rows=rows)


def test_a_source_of_another_schema_does_not_start(state):
    job = state.approved()

    with pytest.raises(JobRefusedError, match="other columns"):
        state(start, job.id, by="bob", schema="id:text")


def test_a_failed_job_that_starts_again_goes_on_from_its_cursors(state):
    job = state.running()
    shard = state(claim, job.id, owner="w", lease=30.0)
    state(checkpoint, shard, page(cursor=b"#2"), lease=30.0)
    state(release, shard, error="timeout", failed=True)
    state(change_status, job.id, JobStatus.FAILED, by="w", reason="timeout")

    state(start, job.id, by="bob")

    again = state(claim, job.id, owner="w", lease=30.0)
    assert (again.number, again.cursor, again.error) == (0, b"#2", "timeout")
