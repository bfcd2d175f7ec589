"""A verification that is begun from the page: in a process of its own, one at a time, ended by who asks."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from contextlib import asynccontextmanager, closing

import pytest
from anyio import fail_after, sleep

from async_backfill._jobs._state.jobs import add_job
from async_backfill.admin import Access, Application
from async_backfill.jobs import Jobs
from tests.admin.browser import Browser, Elements
from tests.commands.operating import job_file, products
from tests.jobs.state_rows import plan_of
from tests.real_time import REAL_BACKENDS

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="signals")]
SLOW = 3.0
"""Rows a second that a slow job reads and compares."""


@pytest.fixture
def anyio_backend():
    """In real time: processes take time."""
    return REAL_BACKENDS[0]


@asynccontextmanager
async def page_of_a_job(tmp_path, monkeypatch, *, rate=None):
    """A browser on a page with a job that is done, and its jobs."""
    monkeypatch.chdir(tmp_path)
    products(300)
    (tmp_path / "jobs").mkdir()
    async with Jobs("jobs.sqlite") as jobs:
        job = await jobs.plan(job_file(shards=1), by="ada")
        await jobs.approve(job.id, plan_hash=job.plan_hash, by="bob", reason="new prices")
        await jobs.run(job.id, by="bob")
        if rate is not None:
            with closing(sqlite3.connect("jobs.sqlite")) as db, db:
                db.execute("UPDATE job SET settings = json_set(settings, '$.rate', ?)", (rate,))
        access = Access(local_user="ada")
        app = Application(jobs=jobs, access=access, state="jobs.sqlite", job_folder="jobs")
        async with app.running():
            yield Browser(app), jobs


async def shown_once(browser, words):
    """The part of the page about the verification in one line, once it has those words."""
    with fail_after(60):
        while True:
            part = (await browser.get("/jobs/1")).text.split('id="job_verification">')[1]
            text = " ".join(re.sub("<[^>]*>", "", part.split("</section>")[0]).split())
            if words in text:
                return text
            await sleep(0.2)


async def test_differences_are_found_from_the_page_and_mended_by_a_second_word(tmp_path, monkeypatch):
    async with page_of_a_job(tmp_path, monkeypatch) as (browser, jobs):
        with closing(sqlite3.connect("shop.db")) as db, db:
            db.execute("UPDATE products SET price = 1 WHERE id = 'k00007'")
        await browser.send("/jobs/1", "/jobs/1/verify", rows="all")
        found = await shown_once(browser, "Exit code 1.")
        assert "300 rows compared, all: 1 differences" in found
        assert (await browser.send("/jobs/1", "/jobs/1/mend", rows="all")).status == 400
        await browser.send("/jobs/1", "/jobs/1/mend", rows="all", sure="yes")
        mended = await shown_once(browser, "Exit code 0.")

        assert "1 differences, 1 of them repaired" in mended
        assert [line.by for line in await jobs.log(1) if line.what == "verified"][1:] == ["ada", "ada"]


async def test_one_goes_on_at_a_time_says_how_far_it_is_and_ends_when_asked(tmp_path, monkeypatch):
    async with page_of_a_job(tmp_path, monkeypatch, rate=SLOW) as (browser, jobs):
        await browser.send("/jobs/1", "/jobs/1/verify", rows="all")
        await shown_once(browser, "300 rows were compared")
        assert ["compared", "300", "300"] in (await browser.get("/jobs/1")).page.data
        figures = Elements((await browser.get("/jobs/1")).text.split('id="job_verification">')[1]).data
        told = json.loads((await browser.get("/api/jobs/1/verification")).text)["verification"]
        mine = [figure for figure in figures if figure[0] in told]
        assert [figure[:2] for figure in mine] == [[name, str(told[name])] for name, *_ in mine]
        assert {"by", "since", "compared"} <= {name for name, *_ in mine}
        assert (await browser.post("/jobs/1/verify", await token_of(browser))).status == 409
        assert "/jobs/1/verify" not in (await browser.get("/jobs/1")).page.forms
        await browser.send("/jobs/1", "/jobs/1/end-verification")
        ended = await shown_once(browser, "Exit code 4.")

        assert "ada has asked" not in ended
        assert "It was ended before its end." in ended
        assert (await jobs.status(1)).reason == "its verification was ended"
        assert (await browser.post("/jobs/1/end-verification", await token_of(browser))).status == 409


async def test_it_ends_with_the_server(tmp_path, monkeypatch):
    async with page_of_a_job(tmp_path, monkeypatch, rate=SLOW) as (browser, _):
        await browser.send("/jobs/1", "/jobs/1/verify", rows="all")
        await shown_once(browser, "300 rows were compared")
        one = browser.app._desk.looks._kept["job", 1, ""].shown.facts["verification"]
    assert one.process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(one.process.pid, 0)


@pytest.mark.parametrize(
    ("verb", "fields"),
    [("verify", {"rows": "none"}), ("verify", {"rows": "<script>"}), ("mend", {"rows": "-1", "sure": "yes"})],
)
async def test_only_a_sample_or_all_rows_can_be_asked_for(state, jobs, verb, fields):
    state.now(add_job, plan_of(), by="eve")
    browser = Browser(Application(jobs=jobs, access=Access(local_user="ada")))
    token = (await token_of(browser))["form_token"]
    answer = await browser.post(f"/jobs/1/{verb}", {"form_token": token, **fields})

    assert answer.status == 400
    assert "rows:" in answer.said


async def test_what_cannot_be_begun_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    async with page_of_a_job(tmp_path, monkeypatch) as (browser, _):
        await browser.send("/jobs/1", "/jobs/1/verify", rows="sample")

        assert "it could not be begun" in await shown_once(browser, "Exit code")


async def test_without_a_folder_or_outside_of_its_lifespan_the_page_shows_the_command(tmp_path, monkeypatch):
    async with page_of_a_job(tmp_path, monkeypatch) as (_, jobs):
        access = Access(local_user="ada")
        for settings in ({"job_folder": "jobs"}, {"state": "jobs.sqlite"}):
            app = Application(jobs=jobs, access=access, **settings)
            async with app.running():
                await without_the_form(Browser(app))
        await without_the_form(
            Browser(Application(jobs=jobs, access=access, state="jobs.sqlite", job_folder="jobs"))
        )


async def without_the_form(browser):
    page = await browser.get("/jobs/1")
    assert "jobs verify 1" in page.text
    assert "/jobs/1/verify" not in page.page.forms
    assert (await browser.post("/jobs/1/verify", await token_of(browser))).status == 403


async def token_of(browser):
    return {"form_token": (await browser.get("/")).page.forms["/panic"]["form_token"], "rows": "all"}
