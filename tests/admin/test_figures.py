"""Every figure of a page of jobs is a field of their `JobReport`, as ``status --json`` has it."""

from __future__ import annotations

import re

import msgspec
import pytest
from anyio import sleep

from async_backfill._jobs._packing import pack
from async_backfill._jobs._records import JobCounts, Throttled
from async_backfill._jobs._state.shards import PageDone, checkpoint, claim, renew
from async_backfill.jobs import JobSettings, estimate
from tests.admin.browser import Elements
from tests.jobs.working import Job

pytestmark = pytest.mark.anyio
OF_THE_REPORT = ("job_status", "job_figures", "job_workers", "job_shards")


@pytest.fixture
async def job(state):
    """A job in which each figure is another number."""
    job = Job(state, 5_000, cuts=7)
    shard = state.now(claim, job.id, owner="a/1", lease=30.0)
    counts = JobCounts(read=1_717, kept=1_001, newer=402, leased=203, rejected=110, dead=1)
    dead = [(pack("k1"), "ValueError: no")]
    state.now(
        checkpoint,
        shard,
        PageDone(cursor=pack("k2"), counts=counts, seconds=12.5, batch=77, repeated=3, dead=dead),
        lease=30.0,
    )
    why = Throttled(reason="replica lag", since=1_000_001.5, value="2.1 s", limit="1 s")
    state.now(renew, shard, lease=30.0, throttled=why)
    state.now(claim, job.id, owner="b/2", lease=-31.0)
    return job


def at(report, path):
    """Return what JSON has at a path, as a page writes it exactly."""
    if path == "shards[]":
        return str(len(report["shards"]))
    if path == "shards[done]":
        return str(sum(shard["status"] == "done" for shard in report["shards"]))
    for step in path.split("."):
        report = report[int(step)] if step.isdigit() else report[step]
    return "" if report is None else str(report)


def differing(data, report):
    return [(path, value) for path, value, _ in data if value != at(report, path)]


async def test_each_figure_of_a_job_is_a_field_of_its_report(browser, jobs, job):
    report = msgspec.to_builtins(await jobs.status(job.id))
    page = (await browser.get("/jobs/1")).page
    figures = [figure for figure in page.data if figure[0] != "at"]

    assert len(figures) > 60
    assert differing(figures, report) == []
    assert {f"counts.{name}" for name in report["counts"]} <= {path for path, _, _ in figures}


BUDGET = {"kind": "redis", "url": "redis://:${SECRET}@budget.internal:6379/1", "name": "shop <b>"}


async def test_a_budget_that_is_shared_its_pages_and_its_wait_are_figures_of_the_report(browser, jobs, state):
    job = Job(state, 5_000, budget=BUDGET, settings=JobSettings(rate=100.0, pages=3))
    shard = state.now(claim, job.id, owner="a/1", lease=30.0)
    why = Throttled(reason="pages", since=1_000_001.5, value="3 pages are read", limit="3 at once")
    state.now(renew, shard, lease=30.0, throttled=why)
    report = msgspec.to_builtins(await jobs.status(job.id))
    for path in ("/jobs/1", "/jobs/1/review"):
        shown = {name: value for name, value, _ in (await browser.get(path)).page.data}
        assert shown["settings.pages"] == "3"
        assert {name: shown[f"plan.spec.budget.{name}"] for name in BUDGET} == BUDGET
    page = (await browser.get("/jobs/1")).page

    assert ("throttled.reason", "pages") in [figure[:2] for figure in map(tuple, page.data)]
    assert differing([figure for figure in page.data if figure[0] != "at"], report) == []


async def test_the_pages_of_a_budget_are_set_from_the_page(browser, jobs, state):
    job = Job(state, 5_000, budget=BUDGET, settings=JobSettings(rate=100.0, pages=3))
    await browser.send("/jobs/1", "/jobs/1/set", pages="7")
    assert (await jobs.status(job.id)).settings == JobSettings(rate=100.0, pages=7)
    await browser.send("/jobs/1", "/jobs/1/set", pages="none")
    assert (await jobs.status(job.id)).settings.pages is None
    assert (await browser.get("/jobs/1")).page.forms["/jobs/1/set"]["pages"] == "none"
    assert (await browser.send("/jobs/1", "/jobs/1/set", pages="0")).status == 400


@pytest.mark.usefixtures("job")
async def test_without_a_budget_there_are_no_pages_to_set(browser):
    assert "pages" not in (await browser.get("/jobs/1")).page.forms["/jobs/1/set"]
    assert (await browser.send("/jobs/1", "/jobs/1/set", pages="3")).status == 400


async def test_each_figure_of_the_list_is_a_field_of_a_report(browser, jobs, job):
    report = msgspec.to_builtins(await jobs.status(job.id))
    figures = (await browser.get("/")).page.data

    assert len(figures) == 9
    assert differing(figures, report) == []


async def test_each_figure_of_a_plan_is_a_field_of_its_report_or_of_its_estimate(browser, jobs, job):
    shown = await jobs.status(job.id)
    report = msgspec.to_builtins(shown) | msgspec.to_builtins(estimate(shown.plan))
    figures = (await browser.get("/jobs/1/review")).page.data

    assert len(figures) > 30
    assert differing(figures, report) == []


@pytest.mark.usefixtures("job")
async def test_what_is_shown_of_a_report_has_no_number_beside_its_figures(browser):
    async with browser.follow("/jobs/1/events") as followed:
        await sleep(0.5)
        news = followed.news()
    for name in OF_THE_REPORT:
        assert re.findall(r"[0-9]+", " ".join(Elements(news[name]).outside)) == []


@pytest.mark.usefixtures("job")
async def test_figures_are_written_for_people(browser):
    said = {path: text for path, _, text in (await browser.get("/jobs/1")).page.data}

    assert said["counts.read"] == "1,717"
    assert said["throttled.since"] == "1970-01-12 13:46:41 UTC"
    assert said["workers.1.lease_seconds"] == "-31.0 s"
    assert said["ended"] == "–"  # noqa: RUF001
