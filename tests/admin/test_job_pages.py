"""What an operator sees of jobs and does with them, in a browser without scripts."""

from __future__ import annotations

import html
import re
import shlex

import pytest

from async_backfill._jobs._state.jobs import add_job
from async_backfill.admin import Access, Application
from async_backfill.jobs import JobSettings, JobStatus
from tests.admin.conftest import browser_on
from tests.jobs.state_rows import plan_of

pytestmark = pytest.mark.anyio


async def test_a_job_is_reviewed_approved_started_set_paused_and_ended(browser, jobs, state):
    state.now(add_job, plan_of(), by="eve")
    await browser.send("/jobs/1/review", "/jobs/1/approve", reason="new prices", hours="2", max_rows="2,000")
    given = (await jobs.status(1)).approval
    assert (given.by, given.reason, given.max_rows) == ("ada", "new prices", 2_000)

    await browser.send("/jobs/1", "/jobs/1/resume")
    assert (await jobs.status(1)).status == "interrupted"  # no worker is there yet

    await browser.send("/jobs/1", "/jobs/1/set", rate="500", batch="200", lanes="3")
    assert (await jobs.status(1)).settings == JobSettings(rate=500.0, batch=200, lanes=3)

    await browser.send("/jobs/1", "/jobs/1/pause", reason="too slow")
    assert (await jobs.status(1)).status is JobStatus.PAUSED

    page = await browser.send("/jobs/1", "/jobs/1/cancel", for_good="yes")
    assert (await jobs.status(1)).status is JobStatus.CANCELLED
    assert page.status == 200
    assert [line.by for line in await jobs.log(1)][1:] == ["ada"] * 8


async def test_a_job_that_waits_for_approval_leads_to_its_review(browser, state):
    state.now(add_job, plan_of(), by="eve")
    links = [given.get("href") for _, given in (await browser.get("/")).page.elements]

    assert "/jobs/1/review" in links


async def test_a_command_that_is_shown_names_the_state_and_is_one_that_can_be_typed(jobs, state):
    state.now(add_job, plan_of(), by="eve")
    await jobs.approve(1, plan_hash=plan_of().hash, by="bob", reason="fine")
    page = browser_on(
        Application(jobs=jobs, access=Access(local_user="ada"), state="/srv/my jobs.sqlite; rm -rf")
    )
    shown = (await page.get("/jobs/1")).text
    (command,) = re.findall(r"<code>(.*?)</code>", shown)

    assert shlex.split(html.unescape(command)) == [
        *("python", "-m", "async_backfill", "jobs", "run", "1", "--state", "/srv/my jobs.sqlite; rm -rf")
    ]


async def test_a_password_in_the_name_of_the_state_is_on_no_page(jobs, state):
    job = state.now(add_job, plan_of(), by="eve")
    await jobs.approve(job.id, plan_hash=job.plan_hash, by="bob", reason="fine")
    url = "postgresql://ada:s3cret@db/shop"
    page = browser_on(Application(jobs=jobs, access=Access(local_user="ada"), state=url))
    told = [(await page.get(place)).text for place in ("/", "/jobs/1", "/jobs/1/review")]

    assert "postgresql://ada:***@db/shop" in told[1]
    assert "s3cret" not in "".join(told)
