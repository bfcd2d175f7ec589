"""What an operator asks of jobs and is told of them, from the state alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._operator import Operator
from async_backfill._jobs._packing import pack
from async_backfill._jobs._plan import Plan
from async_backfill._jobs._records import Finding, JobCounts, JobStatus, Throttled
from async_backfill._jobs._spec import JobSettings, JobSpec
from async_backfill._jobs._state.approvals import start
from async_backfill._jobs._state.dead import add_findings
from async_backfill._jobs._state.jobs import add_job, keep_live
from async_backfill._jobs._state.shards import PageDone, checkpoint, claim, renew
from async_backfill._jobs._state.sqlite import SQLiteJobState
from async_backfill.errors import ConfigurationError

pytestmark = pytest.mark.anyio
SPEC = JobSpec(name="shop", source={"kind": "sql"}, store={"kind": "sqlite"}, settings=JobSettings(rate=5.0))
PLAN = Plan(
    spec=SPEC,
    rows=100,
    rows_by="counted",
    row_bytes=10.0,
    store_bytes=None,
    store_limit=None,
    present=0.0,
    schema=None,
    cuts=(b"m",),
    release="1",
)


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
async def state(tmp_path, clock):
    async with SQLiteJobState(tmp_path / "jobs.sqlite", clock=lambda: clock[0]) as opened:
        yield opened


@pytest.fixture
async def operator(state):
    await state.transact(lambda tx: add_job(tx, PLAN, by="ada"))
    return Operator(state)


async def running(operator, state):
    """Return a shard that a worker has claimed."""
    await operator.approve(1, plan_hash=PLAN.hash, by="bob", reason="migrated")
    await state.transact(lambda tx: start(tx, 1, by="bob"))
    return await state.transact(lambda tx: claim(tx, 1, owner="w", lease=30.0))


async def test_a_job_shows_its_counts_rate_eta_and_who_works_on_it(operator, state):
    shard = await running(operator, state)
    done = PageDone(cursor=b"a", counts=JobCounts(read=20, kept=19, newer=1), seconds=5.0, batch=20)
    await state.transact(lambda tx: checkpoint(tx, shard, done, lease=30.0))
    shown = await operator.status(1)

    assert (shown.status, shown.counts, shown.rows_total) == ("running", done.counts, 100)
    assert (shown.pages, shown.rows_per_second, shown.eta_seconds) == (1, 4.0, 20.0)
    assert [(one.owner, one.shards, one.lease_seconds) for one in shown.workers] == [("w", 1, 30.0)]
    assert [one.status for one in shown.shards] == ["running", "ready"]


async def test_a_job_that_began_again_shows_the_speed_of_its_new_run(operator, state, clock):
    shard = await running(operator, state)
    done = PageDone(cursor=b"a", counts=JobCounts(read=20, kept=20), seconds=500.0, batch=20)
    await state.transact(lambda tx: checkpoint(tx, shard, done, lease=30.0))
    clock[0] += 10.0
    began = await operator.resume(1, by="eve", from_start=True)
    shard = await state.transact(lambda tx: claim(tx, 1, owner="w", lease=30.0))
    done = replace(done, seconds=5.0)
    await state.transact(lambda tx: checkpoint(tx, shard, done, lease=30.0))

    shown = await operator.status(1)
    assert (shown.rows_per_second, shown.eta_seconds) == (4.0, 20.0)
    assert shown.started == began.started == clock[0]


async def test_a_job_whose_worker_was_lost_is_shown_as_interrupted(operator, state, clock):
    await running(operator, state)
    clock[0] += 31.0
    shown = await operator.status(1)

    assert (shown.status, shown.eta_seconds) == ("interrupted", None)
    assert shown.workers[0].lease_seconds == -1.0


async def test_a_job_whose_shards_are_handed_out_runs_while_nobody_holds_one(operator, state, clock):
    await running(operator, state)
    clock[0] += 31.0
    await state.transact(lambda tx: keep_live(tx, 1, lease=30.0))
    assert (await operator.status(1)).status == "running"
    clock[0] += 31.0
    assert (await operator.status(1)).status == "interrupted"


async def test_who_handed_out_shards_before_a_pause_does_not_count_afterwards(operator, state, clock):
    await running(operator, state)
    clock[0] += 31.0
    await state.transact(lambda tx: keep_live(tx, 1, lease=30.0))
    await operator.pause(1, by="eve")
    assert (await operator.status(1)).status == "paused"  # at once: no page is under way
    await operator.resume(1, by="eve")
    assert (await operator.status(1)).status == "interrupted"


async def test_a_job_whose_worker_has_not_obeyed_yet_is_shown_as_pausing(operator, state):
    await running(operator, state)
    await operator.pause(1, by="eve")

    assert (await operator.status(1)).status == "pausing"


async def test_a_job_without_a_worker_is_paused_at_once_and_resumed(operator, state, clock):
    await running(operator, state)
    clock[0] += 31.0

    assert (await operator.pause(1, by="eve")).status is JobStatus.PAUSED
    assert (await operator.resume(1, by="eve")).status is JobStatus.RUNNING


async def test_the_reason_why_a_job_waits_is_shown_with_its_value(operator, state):
    shard = await running(operator, state)
    why = Throttled(reason="replica lag", since=1000.0, value="2.1 s", limit="1 s")
    await state.transact(lambda tx: renew(tx, shard, lease=30.0, throttled=why))

    assert (await operator.status(1)).throttled == why


async def test_settings_that_are_left_out_stay(operator):
    assert (await operator.set(1, by="ada", lanes=4)).settings == JobSettings(rate=5.0, lanes=4)
    assert (await operator.set(1, by="ada", rate="none")).settings == JobSettings(lanes=4)


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"batch": 0}, {"lanes": 0}, {"lanes": 10**6}])
async def test_a_setting_that_is_not_allowed_is_refused_and_changes_nothing(operator, wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        await operator.set(1, by="ada", **wrong)

    assert (await operator.status(1)).settings == SPEC.settings


async def test_panic_stops_the_jobs_that_run_and_names_them(operator, state):
    assert await operator.panic(by="eve") == []
    await running(operator, state)

    assert await operator.panic(by="eve") == [1]
    assert (await operator.status(1)).status == "pausing"


async def test_panic_stops_a_job_whose_plan_is_damaged(operator, state):
    await running(operator, state)
    await state.transact(lambda tx: tx.rows("UPDATE job SET plan = ?", b"{}"))

    assert await operator.panic(by="eve") == [1]
    assert await state.transact(lambda tx: tx.rows("SELECT wanted FROM job")) == [("pause",)]


async def test_a_job_whose_plan_is_damaged_hides_no_other(operator, state, caplog):
    await state.transact(lambda tx: add_job(tx, PLAN, by="ada"))
    await state.transact(lambda tx: tx.rows("UPDATE job SET plan = ? WHERE id = 1", b"{}"))

    assert [report.id for report in await operator.list()] == [2]
    assert caplog.messages == ["the plan of job 1 was changed or damaged: plan a new job"]


async def test_keys_that_are_dead_or_differ_are_told_as_the_source_has_them(operator, state):
    shard = await running(operator, state)
    done = PageDone(
        cursor=b"a", counts=JobCounts(read=1, dead=1), batch=1, dead=[(pack(("a", 7)), "no name")]
    )
    await state.transact(lambda tx: checkpoint(tx, shard, done, lease=30.0))
    found = Finding(job=1, key=pack("b"), kind="wrong", at=0.0)
    await state.transact(lambda tx: add_findings(tx, 1, [found]))

    assert await operator.dead(1) == {("a", 7): "no name"}
    assert await operator.findings(1) == {"b": "wrong"}


async def test_a_job_that_is_gone_is_refused_by_each_question(operator):
    for name in ("status", "approvals", "dead", "findings", "log", "check_log"):
        with pytest.raises(JobRefusedError):
            await getattr(operator, name)(7)


async def test_approvals_say_who_gave_them_and_how_many_rows_were_read_on_them(operator, state):
    shard = await running(operator, state)
    done = PageDone(cursor=b"a", counts=JobCounts(read=7, kept=7), batch=7)
    await state.transact(lambda tx: checkpoint(tx, shard, done, lease=30.0))
    await operator.approve(1, plan_hash=PLAN.hash, by="eve", reason="more", max_rows=5)

    given = await operator.approvals(1)
    assert [(one.by, one.reason, one.max_rows, one.rows) for one in given] == [
        ("bob", "migrated", 120, 7),
        ("eve", "more", 5, 0),
    ]


async def test_a_line_of_the_log_that_was_changed_is_named(operator, state):
    await operator.approve(1, plan_hash=PLAN.hash, by="bob", reason="migrated")
    assert await operator.check_log(1) is None
    await state.transact(lambda tx: tx.rows("UPDATE log SET by = 'mallory' WHERE number = 2"))

    assert await operator.check_log(1) == 2


async def test_a_job_shows_who_planned_it_when_and_the_approval_that_counts(operator):
    assert (await operator.status(1)).approval is None
    for reason in ("migrated", "more rows"):
        given = await operator.approve(1, plan_hash=PLAN.hash, by="bob", reason=reason)
    shown = await operator.status(1)

    assert shown.approval == given
    assert (shown.planned_by, shown.created, shown.started) == ("ada", 1000.0, None)
    assert shown.log_head == (await operator.log(1))[-1].hash
