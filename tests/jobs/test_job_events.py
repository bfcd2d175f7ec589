"""What observers and the log are told of jobs: pages, waits and statuses, each once."""

from __future__ import annotations

import logging

import pytest
from anyio import create_task_group, sleep

from async_backfill._jobs._errors import JobRefusedError, JobStateError
from async_backfill._jobs._event_lines import ALL
from async_backfill._jobs._events import JobPageDone, JobStatusChanged, JobThrottled
from async_backfill._jobs._records import JobCounts, JobStatus, Wanted
from async_backfill._jobs._reports import JobReports, ToldState
from async_backfill._jobs._spec import JobSettings
from async_backfill._jobs._state.approvals import approve, start
from async_backfill._jobs._state.jobs import add_job, change_status
from tests.jobs.state_rows import plan_of
from tests.jobs.working import Job, slow

pytestmark = pytest.mark.anyio


class ToldJob(Job):
    """A job whose workers tell observers."""

    def __init__(self, state, *observers, **settings):
        super().__init__(state, **settings)
        self.told = []
        self.reports = JobReports([self.told.append, *observers])
        told = ToldState(state, self.reports)
        told.now = state.now
        self.state = told

    async def work(self, owner="w1", **settings):
        return await super().work(owner, reports=self.reports, **settings)

    def of(self, kind):
        return [event for event in self.told if isinstance(event, kind)]


def lines(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records]


async def test_an_observer_is_told_of_each_status_of_a_job_who_and_why(state):
    told = []
    watched = ToldState(state, JobReports([told.append]))
    plan = plan_of()
    job = await watched.transact(lambda tx: add_job(tx, plan, by="ada"))
    allowed = {"max_rows": 10, "seconds": 100.0, "by": "bob", "reason": "new prices"}
    await watched.transact(lambda tx: approve(tx, job.id, plan_hash=plan.hash, **allowed))
    await watched.transact(lambda tx: start(tx, job.id, by="bob"))
    await watched.transact(
        lambda tx: change_status(tx, job.id, JobStatus.FAILED, by="w1", reason="the source: gone")
    )

    assert [(event.before, event.status, event.by, event.reason) for event in told] == [
        (None, JobStatus.PLANNED, "ada", None),
        (JobStatus.PLANNED, JobStatus.APPROVED, "bob", "new prices"),
        (JobStatus.APPROVED, JobStatus.RUNNING, "bob", None),
        (JobStatus.RUNNING, JobStatus.FAILED, "w1", "the source: gone"),
    ]
    assert {(event.job, event.name) for event in told} == {(job.id, "products")}


async def test_what_is_rolled_back_is_not_told(state):
    told = []
    watched = ToldState(state, JobReports([told.append]))

    def refused(tx):
        add_job(tx, plan_of(), by="ada")
        raise JobRefusedError("no")

    with pytest.raises(JobRefusedError):
        await watched.transact(refused)
    state.broken = "no disk"
    with pytest.raises(JobStateError):
        await watched.transact(lambda tx: add_job(tx, plan_of(), by="ada"))

    assert told == []


async def test_what_was_tried_twice_is_told_once():
    class Retrying:
        async def transact(self, work):
            work(Rows())
            return work(Rows())

    class Rows:
        def now(self):
            return 1.0

        def rows(self, statement, *_):
            return [("",)] if "log_head" in statement or "name" in statement else [(0,)]

    told = []
    await ToldState(Retrying(), JobReports([told.append])).transact(
        lambda tx: change(tx, 1, JobStatus.FAILED)
    )

    assert [event.status for event in told] == [JobStatus.FAILED]


def change(tx, job_id, status):
    from async_backfill._jobs._state.log import append  # noqa: PLC0415

    facts = {"from": JobStatus.RUNNING, "to": status, "reason": "no"}
    return append(tx, job_id, by="w1", what="status", facts=facts)


async def test_an_observer_is_told_of_every_page_and_their_rows_add_up(state):
    job = ToldJob(state, table=slow(), cuts=3, settings=JobSettings(batch=100))
    await job.work()

    pages = job.of(JobPageDone)
    assert sum((event.counts for event in pages), JobCounts()) == JobCounts(read=2_000, kept=2_000)
    assert {event.shard for event in pages} == {0, 1, 2, 3}
    assert {(event.job, event.name, event.pages) for event in pages} == {(job.id, "shop", 1)}
    assert sum(event.pages for event in pages) == sum(shard.pages for shard in job.shards)
    assert [event.status for event in job.of(JobStatusChanged)] == [JobStatus.VERIFYING, JobStatus.DONE]


async def test_an_observer_is_told_why_a_lane_waits_and_for_how_long(state):
    busy = True
    job = ToldJob(state, rows=1_000, cuts=0)

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work(is_busy=lambda: busy))
        await sleep(5.0)
        busy = False

    waits = job.of(JobThrottled)
    assert len(waits) == 2
    begin, end = waits
    assert (begin.throttled.reason, begin.before, begin.seconds) == ("live loads", None, 0.0)
    assert (end.throttled, end.before.reason) == (None, "live loads")
    assert end.seconds == pytest.approx(5.0, abs=0.2)


async def test_an_observer_that_fails_fails_no_job(state, caplog):
    def fails(_):
        raise ValueError("an observer that fails")

    job = ToldJob(state, fails, rows=1_000)

    assert (await job.work()).status is JobStatus.DONE
    assert "an observer that fails" in caplog.text


async def test_each_status_of_a_job_is_a_line_in_the_log(state, caplog):
    caplog.set_level(logging.INFO, logger="async_backfill.jobs")
    job = ToldJob(state, table=slow(), settings=JobSettings(batch=100))
    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(2.2)
        job.want(Wanted.PAUSE, "lunch")
    job.start()
    await job.work()

    assert lines(caplog) == [
        ("WARNING", "job 1 (shop): paused, by w1: lunch"),
        ("INFO", "job 1 (shop): verifying, by w1"),
        ("INFO", "job 1 (shop): done, by w1"),
    ]
    assert {(record.job, record.job_name) for record in caplog.records} == {(1, "shop")}
    assert [record.status for record in caplog.records] == ["paused", "verifying", "done"]


async def test_a_job_that_fails_is_an_error_in_the_log(state, caplog):
    job = ToldJob(state, rows=1_000, cuts=0, max_dead=0)
    watched = ToldState(state, job.reports)
    await watched.transact(lambda tx: change_status(tx, job.id, JobStatus.FAILED, by="w1", reason="no disk"))

    assert lines(caplog) == [("ERROR", "job 1 (shop): failed, by w1: no disk")]


async def test_the_log_says_what_a_job_waits_for_but_not_each_page_of_its_rate(state, caplog):
    caplog.set_level(logging.INFO, logger="async_backfill.jobs")
    job = ToldJob(state, rows=1_000, cuts=0, settings=JobSettings(rate=500.0, batch=100))
    await job.work()

    assert "rate" in {event.throttled.reason for event in job.of(JobThrottled) if event.throttled}
    assert "waits" not in caplog.text


def test_no_line_of_a_job_says_a_key_or_a_row():
    for line in ALL:
        assert not {"key", "value", "row"} & {word.strip("%()s") for word in line.text.split()}
