"""Jobs in a state: plans, statuses, what an operator asks, and approvals."""

from __future__ import annotations

import dataclasses

import pytest

from async_backfill._jobs._errors import JobRefusedError, JobStateError
from async_backfill._jobs._plan import Plan
from async_backfill._jobs._records import LEGAL_JOB_CHANGES, JobStatus, Wanted
from async_backfill._jobs._spec import JobSettings, JobSpec, ThrottleLimits
from async_backfill._jobs._state.approvals import approvals, approve, start
from async_backfill._jobs._state.jobs import (
    change_status,
    find_job,
    list_jobs,
    move,
    set_settings,
    stop_all,
    want,
)
from async_backfill._jobs._state.log import lines
from async_backfill._jobs._state.shards import checkpoint, claim, renew, shards
from tests.jobs.state_rows import page, plan_of


@pytest.fixture
def state(each_state):
    return each_state


def test_a_plan_that_was_kept_has_the_same_hash():
    plan = plan_of()

    assert Plan.from_bytes(plan.to_bytes()).hash == plan.hash


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 2},
        {"rows_by": "estimated"},
        {"row_bytes": 1.0},
        {"schema": None},
        {"cuts": [b"#3"]},
        {"release": "2"},
    ],
)
def test_any_other_field_of_a_plan_makes_another_hash(change):
    assert plan_of(**change).hash != plan_of().hash


def test_each_field_of_a_plan_and_its_spec_is_one_that_was_tried():
    def tried(test):
        return {name for mark in test.pytestmark for given in mark.args[1] for name in given}

    of_plan = tried(test_any_other_field_of_a_plan_makes_another_hash)
    of_plan |= tried(test_what_was_measured_of_the_store_leaves_the_hash)
    of_spec = {given[0] for given in test_any_other_field_of_a_spec_makes_another_hash.pytestmark[0].args[1]}
    assert of_plan | {"spec"} == {field.name for field in dataclasses.fields(Plan)}
    assert of_spec == {field.name for field in dataclasses.fields(JobSpec)}


@pytest.mark.parametrize("change", [{"store_bytes": 5}, {"store_limit": 5}, {"present": 0.5}])
def test_what_was_measured_of_the_store_leaves_the_hash(change):
    assert plan_of(**change).hash == plan_of().hash


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", "other"), ("source", {"kind": "file"}), ("store", {}), ("guard", "none")),
        *(("policy", "all"), ("ttl", None), ("ttl_jitter", 0.0), ("settings", JobSettings(lanes=3))),
        *(("shards", 1), ("max_dead", 1), ("four_eyes", True), ("throttle", ThrottleLimits(patience=1.0))),
        ("budget", {"kind": "redis"}),
    ],
)
def test_any_other_field_of_a_spec_makes_another_hash(field, value):
    plan = plan_of()

    other = dataclasses.replace(plan, spec=dataclasses.replace(plan.spec, **{field: value}))

    assert other.hash != plan.hash


def test_a_new_job_is_planned_and_has_a_shard_between_any_two_cuts(state):
    job = state.planned()

    assert (job.status, job.planned_by, job.log_head) == (
        *(JobStatus.PLANNED, "ada"),
        state(lines, job.id)[-1].hash,
    )
    bounds = [(shard.low, shard.high) for shard in state(shards, job.id)]
    assert bounds == [(None, b"#3"), (b"#3", b"#6"), (b"#6", None)]
    assert state(list_jobs) == [job]


def test_a_job_that_is_not_there_is_refused_in_one_line(state):
    with pytest.raises(JobRefusedError, match="there is no job 7"):
        state(find_job, 7)


def test_a_plan_that_was_changed_in_the_file_is_refused(state):
    job = state.planned()
    data = plan_of(rows=5).to_bytes()
    state.file.transact(lambda tx: tx.rows("UPDATE job SET plan = ?", data))

    with pytest.raises(JobStateError, match="was changed or damaged"):
        state(find_job, job.id)


@pytest.mark.parametrize("after", JobStatus)
@pytest.mark.parametrize("before", JobStatus)
def test_only_legal_changes_of_a_status_are_made(state, before, after):
    job = dataclasses.replace(state.planned(), status=before)
    state.file.transact(lambda tx: tx.rows("UPDATE job SET status = ?", before.value))

    if after in LEGAL_JOB_CHANGES[before]:
        assert state(move, job, after, by="ada", reason=None).status is after
    else:
        with pytest.raises(JobRefusedError, match=f"is {before}: it does not become {after}"):
            state(move, job, after, by="ada", reason=None)
        assert state(find_job, job.id).status is before


@pytest.mark.parametrize("status", [JobStatus.APPROVED, JobStatus.RUNNING])
def test_no_change_of_status_gets_around_an_approval(state, status):
    job = state.planned()

    with pytest.raises(JobRefusedError, match="it"):
        state(change_status, job.id, status, by="ada", reason=None)


def test_the_second_active_job_of_one_name_is_refused(state):
    state.running()
    second = state.planned()

    with pytest.raises(JobRefusedError, match="job 1 of the same name"):
        state(approve, second.id, plan_hash=second.plan_hash, by="bob", reason="x")
    assert state(find_job, second.id).status is JobStatus.PLANNED
    assert state(approvals, second.id) == []


def test_the_index_refuses_what_the_check_before_it_would_miss(state):
    state.running()
    state.planned()

    with pytest.raises(JobStateError, match=r"(?i)unique constraint"):
        state.file.transact(lambda tx: tx.rows("UPDATE job SET status = 'paused' WHERE id = 2"))


@pytest.mark.parametrize(
    ("wanted", "status"), [(Wanted.PAUSE, JobStatus.PAUSED), (Wanted.CANCEL, JobStatus.CANCELLED)]
)
def test_a_job_on_which_nobody_works_obeys_at_once(state, wanted, status):
    job = state.running()

    assert state(want, job.id, wanted, by="ada", reason="noise").status is status


def test_a_job_on_which_somebody_works_obeys_at_the_next_checkpoint(state):
    job = state.running()
    shard = state(claim, job.id, owner="w", lease=30.0)

    asked = state(want, job.id, Wanted.PAUSE, by="ada", reason="noise")
    orders = state(checkpoint, shard, page(), lease=30.0)

    assert (asked.status, orders.wanted) == (JobStatus.RUNNING, Wanted.PAUSE)
    assert state(claim, job.id, owner="v", lease=30.0) is None


def test_a_pause_that_was_taken_back_leaves_no_reason(state):
    job = state.running()
    state(claim, job.id, owner="w", lease=30.0)
    state(want, job.id, Wanted.PAUSE, by="ada", reason="noise")

    again = state(start, job.id, by="bob")
    assert (again.status, again.wanted, again.reason) == (JobStatus.RUNNING, Wanted.RUN, None)


def test_a_job_told_to_cancel_goes_on_no_more(state):
    job = state.running()
    state(claim, job.id, owner="w", lease=30.0)
    state(want, job.id, Wanted.CANCEL, by="ada", reason=None)

    with pytest.raises(JobRefusedError, match="told to cancel"):
        state(want, job.id, Wanted.RUN, by="ada", reason=None)
    with pytest.raises(JobRefusedError, match="told to cancel"):
        state(start, job.id, by="ada")


@pytest.mark.parametrize(
    ("wanted", "status", "left"),
    [
        (Wanted.PAUSE, JobStatus.DONE, Wanted.RUN),
        (Wanted.CANCEL, JobStatus.DONE, Wanted.RUN),
        (Wanted.PAUSE, JobStatus.DONE_WITH_GAPS, Wanted.RUN),
        (Wanted.PAUSE, JobStatus.FAILED, Wanted.RUN),
        (Wanted.CANCEL, JobStatus.FAILED, Wanted.CANCEL),
        (Wanted.PAUSE, JobStatus.PAUSED, Wanted.PAUSE),
        (Wanted.CANCEL, JobStatus.CANCELLED, Wanted.CANCEL),
    ],
)
def test_what_was_asked_too_late_is_forgotten_but_for_a_cancel(state, wanted, status, left):
    state.running()
    state.file.transact(lambda tx: tx.rows("UPDATE job SET status = 'verifying', wanted = ?", wanted.value))

    assert state(change_status, 1, status, by="w", reason=None).wanted is left


def test_panic_asks_each_job_that_runs_to_pause(state):
    state.running("a")
    state.running("b")
    state.planned("c")

    assert state(stop_all, by="ada", reason="panic") == [1, 2]
    assert [job.status for job in state(list_jobs)] == ["paused", "paused", "planned"]


def test_new_settings_reach_the_worker_and_the_log(state):
    job = state.running()
    shard = state(claim, job.id, owner="w", lease=30.0)
    state(set_settings, job.id, JobSettings(rate=5.0), by="ada")

    assert state(renew, shard, lease=30.0, throttled=None).settings == JobSettings(rate=5.0)
    assert state(lines, job.id)[-1].what == "settings"
