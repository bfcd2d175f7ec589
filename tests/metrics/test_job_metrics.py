"""What Prometheus is told of jobs: the figures of their reports, and the seconds of pages and waits."""

from __future__ import annotations

import logging

import pytest
from anyio import create_task_group, sleep

from async_backfill import ConfigurationError
from async_backfill._jobs._records import Finding, JobStatus
from async_backfill._jobs._reports import JobReports, ToldState
from async_backfill._jobs._spec import JobSettings
from async_backfill._jobs._state.dead import add_findings
from async_backfill._jobs._state.jobs import add_job, change_status
from async_backfill.jobs import Jobs
from async_backfill.prometheus import JobMetrics
from tests.jobs.state_rows import plan_of
from tests.jobs.table import spec_of
from tests.jobs.working import Job
from tests.metrics.scraped import samples, values

pytestmark = pytest.mark.anyio

SHOWN = (*(status.value for status in JobStatus), "interrupted", "pausing", "cancelling")


def expected(report):
    """The figures of ``report`` as a scrape must have them, but for those of this process."""
    counts = report.counts
    said = {
        ("job_id",): report.id,
        ("job_rows_planned",): report.rows_total,
        ("job_rows_read_total",): counts.read,
        ("job_pages_total",): report.pages,
        ("job_pages_repeated_total",): report.repeated_pages,
        ("job_rows_per_second",): report.rows_per_second,
        ("job_eta_seconds",): report.eta_seconds,
        ("job_workers",): len([worker for worker in report.workers if worker.lease_seconds > 0.0]),
    }
    for outcome in ("kept", "newer", "leased", "rejected", "dead"):
        said["job_rows", ("outcome", outcome)] = getattr(counts, outcome)
    for status in SHOWN:
        said["job_status", ("status", status)] = float(report.status == status)
    for kind in ("wrong", "missing", "extra"):
        said["job_differences", ("kind", kind)] = report.findings.get(kind, 0)
    if report.throttled is not None:
        said["job_waiting", ("reason", report.throttled.reason)] = 1.0
    return {key: value for key, value in said.items() if value is not None}


def scraped(registry, name="shop"):
    """The samples of a job that are read from its state."""
    found = samples(registry, job_name=name)
    of_this_process = ("job_page_duration", "job_throttled")
    return {key: value for key, value in found.items() if not key[0].startswith(of_this_process)}


class WatchedJob(Job):
    """A job whose workers tell observers."""

    def __init__(self, state, *observers, **settings):
        super().__init__(state, **settings)
        self.reports = JobReports(observers)
        told = ToldState(state, self.reports)
        told.now = state.now
        self.state = told

    async def work(self, owner="w1", **settings):
        return await super().work(owner, reports=self.reports, **settings)


async def test_a_scrape_has_each_figure_of_a_report_and_no_other(state, registry):
    metrics, jobs = JobMetrics(registry), Jobs(state)
    job = WatchedJob(state, metrics, rows=5_000)
    await metrics.look(jobs)
    assert scraped(registry) == expected(await jobs.status(job.id))
    await job.work()
    found = [Finding(job=job.id, key=kind.encode(), kind=kind, at=0.0) for kind in ("wrong", "extra")]
    state.now(add_findings, job.id, found)
    await metrics.look(jobs)
    report = await jobs.status(job.id)

    assert report.status is JobStatus.DONE
    assert scraped(registry) == expected(report)
    assert values(registry, "job_differences", job_name="shop") == {"wrong": 1, "missing": 0, "extra": 1}
    assert values(registry, "job_page_duration_seconds_count", job_name="shop") == report.pages


async def test_a_scrape_says_what_a_job_waits_for_and_for_how_long_it_has(state, registry):
    metrics, jobs = JobMetrics(registry), Jobs(state)
    job = WatchedJob(state, metrics, rows=2_000)
    job.set(JobSettings(rate=100.0, batch=100))
    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(6.5)
        await metrics.look(jobs)
        report, waiting = await jobs.status(job.id), scraped(registry)

    assert report.throttled.reason == "rate"
    assert waiting == expected(report)
    assert waiting["job_waiting", ("reason", "rate")] == 1.0
    assert values(registry, "job_throttled_seconds_total", job_name="shop")["rate"] > 10.0


async def test_of_jobs_with_one_name_the_one_under_way_is_told(state, registry):
    metrics, jobs = JobMetrics(registry), Jobs(state)
    first = Job(state)
    second = state.now(add_job, plan_of(spec=spec_of()), by="ada")
    state.now(add_job, plan_of(), by="ada")
    await metrics.look(jobs)
    assert values(registry, "job_id", job_name="shop") == first.id
    state.now(change_status, first.id, JobStatus.FAILED, by="ada", reason=None)
    await metrics.look(jobs)

    assert values(registry, "job_id", job_name="shop") == second.id
    assert values(registry, "job_status", job_name="products")["planned"] == 1.0


async def test_a_state_that_cannot_be_read_leaves_the_figures_and_says_so(state, registry, caplog):
    metrics, jobs = JobMetrics(registry), Jobs(state)
    Job(state)
    await metrics.look(jobs)
    before = scraped(registry)
    state.broken = "no disk"
    with caplog.at_level(logging.WARNING):
        await metrics.look(jobs)
        await metrics.look(jobs)
    assert values(registry, "jobs_readable") == 0.0
    assert scraped(registry) == before
    assert [record.getMessage() for record in caplog.records] == [
        "the metrics of jobs are not up to date: no disk"
    ]
    state.broken = None
    await metrics.look(jobs)

    assert values(registry, "jobs_readable") == 1.0


async def test_while_they_are_followed_the_figures_are_those_of_a_few_seconds_ago(state, registry):
    metrics, jobs = JobMetrics(registry), Jobs(state)
    job = Job(state)
    async with metrics.following(jobs, every=2.0):
        assert values(registry, "job_status", job_name="shop")["interrupted"] == 1.0
        state.now(change_status, job.id, JobStatus.FAILED, by="ada", reason=None)
        await sleep(2.1)
        assert values(registry, "job_status", job_name="shop")["failed"] == 1.0
    looks = state.calls
    await sleep(10.0)

    assert state.calls == looks


async def test_what_is_raised_while_jobs_are_followed_comes_as_it_is(state, registry):
    with pytest.raises(ValueError, match="mine"):
        async with JobMetrics(registry).following(Jobs(state)):
            raise ValueError("mine")


async def test_a_time_between_looks_must_be_above_0(state, registry):
    with pytest.raises(ConfigurationError, match="every"):
        async with JobMetrics(registry).following(Jobs(state), every=0.0):
            pass


async def test_a_registry_that_has_metrics_of_jobs_says_to_use_those(registry):
    JobMetrics(registry)
    with pytest.raises(ConfigurationError, match="registry: has a JobMetrics already"):
        JobMetrics(registry)
