"""A plan from a form: of a job file in the folder that the page was given, and of no other file."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import partial

import pytest
from anyio import Event, create_task_group

from async_backfill.admin import Access, Application, _job_pages
from async_backfill.errors import ConfigurationError
from async_backfill.jobs import Jobs
from async_backfill.testing import MemoryFarStore
from tests.admin.conftest import browser_on
from tests.jobs.table import Facts, Table, ends_of, rows_of
from tests.real_time import REAL_BACKENDS

pytestmark = pytest.mark.anyio
SOURCE = {"kind": "sql", "url": "sqlite:///shop.db", "table": "products", "key": "id", "value": "name"}
JOB = json.dumps({"name": "products", "shards": 2, "source": SOURCE})


class Ends:
    """Opens ends; those of the job "slow" when they are let go."""

    def __init__(self):
        self.let_go = Event()
        self.waited_for = Event()

    @asynccontextmanager
    async def __call__(self, spec):
        if spec.name == "slow":
            self.waited_for.set()
            await self.let_go.wait()
        yield ends_of(Table(rows_of(100)), MemoryFarStore(), Facts())


@pytest.fixture
def anyio_backend():
    """In real time: files are read in threads."""
    return REAL_BACKENDS[0]


@pytest.fixture
def ends():
    return Ends()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "jobs"
    (folder / "below").mkdir(parents=True)
    (folder / "products.json").write_text(JOB)
    (folder / "slow.json").write_text(JOB.replace('"products", "shards"', '"slow", "shards"'))
    (folder / "broken.toml").write_text("name = <script>")
    (folder / ".hidden.json").write_text(JOB)
    (folder / "below" / "other.json").write_text(JOB)
    (folder / "notes.txt").write_text(JOB)
    (tmp_path / "secret.json").write_text(JOB)
    return folder


@pytest.fixture
def planner(state, folder, ends):
    """A browser on a page that may plan the job files of the folder, and its jobs."""
    jobs = Jobs(state, open_ends=ends)
    return browser_on(Application(jobs=jobs, access=Access(local_user="ada"), job_folder=folder)), jobs


def options(page):
    return [given["value"] for tag, given in page.elements if tag == "option"]


async def test_a_job_file_of_the_folder_is_planned_by_who_has_logged_in(planner):
    browser, jobs = planner
    assert options((await browser.get("/plan")).page) == ["broken.toml", "products.json", "slow.json"]
    shown = await browser.send("/plan", "/plan", file="products.json")
    job = await jobs.status(1)

    assert (job.name, job.planned_by, job.rows_total, job.status) == ("products", "ada", 100, "planned")
    assert job.plan_hash in shown.text


@pytest.mark.parametrize(
    "name",
    [
        *("../secret.json", "/etc/passwd", "below/other.json", ".hidden.json", "notes.txt", "products.json/"),
        *("..", "", "products.json\x00", "PRODUCTS.JSON", "<script>"),
    ],
)
async def test_no_other_file_is_planned(planner, name):
    browser, jobs = planner
    answer = await browser.send("/plan", "/plan", file=name)

    assert answer.status in {400, 404}
    assert await jobs.list() == []


async def test_a_job_file_that_is_wrong_is_told_in_one_line(planner):
    answer = await planner[0].send("/plan", "/plan", file="broken.toml")

    assert answer.status == 400
    assert "Traceback" not in answer.text
    assert "<script>alert" not in answer.text


async def test_while_a_plan_is_measured_no_other_begins(planner, ends):
    browser, jobs = planner
    async with create_task_group() as group:
        group.start_soon(partial(browser.send, "/plan", "/plan", file="slow.json"))
        await ends.waited_for.wait()
        assert (await browser.send("/plan", "/plan", file="products.json")).status == 409
        ends.let_go.set()
    await browser.send("/plan", "/plan", file="products.json")

    assert [job.name for job in await jobs.list()] == ["slow", "products"]


async def test_a_plan_that_takes_too_long_is_given_up(planner, monkeypatch):
    browser, jobs = planner
    monkeypatch.setattr(_job_pages, "_PLANNING", 0.1)
    answer = await browser.send("/plan", "/plan", file="slow.json")

    assert answer.status == 504
    assert await jobs.list() == []


async def test_without_a_folder_nothing_is_planned(browser):
    token = (await browser.get("/")).page.forms["/panic"]["form_token"]
    answer = await browser.post("/plan", {"form_token": token, "file": "products.json"})

    assert answer.status == 403
    assert options((await browser.get("/plan")).page) == []


async def test_a_folder_that_is_not_there_is_refused(jobs, tmp_path):
    with pytest.raises(ConfigurationError, match="job_folder"):
        Application(jobs=jobs, job_folder=tmp_path / "gone")
