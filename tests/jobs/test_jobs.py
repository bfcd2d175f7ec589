"""`Jobs` as one who copies a table uses it: a file of SQLite on both sides, in real time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial

import pytest
from anyio import Event, create_task_group, sleep

pytest.importorskip("aiosqlite", reason="needs the extra sql")

from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.jobs import (
    JobRefusedError,
    Jobs,
    JobSpec,
    JobStateError,
    SQLiteJobState,
    ThrottleLimits,
    open_ends,
    read_job,
)
from async_backfill.stores.sqlite import SQLiteStore
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio

ROWS = 3_000
JOB = """\
name = "shop"
batch = 250
shards = 6
[source]
kind = "sql"
url = "sqlite:///shop.db"
table = "products"
key = "id"
value = ["name", "price"]
"""

PRODUCTS = """\
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, price INTEGER);
WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 2999)
INSERT INTO products SELECT n, 'product ' || n, n FROM number;
"""


def execute(path, statements):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements)


@pytest.fixture
def shop(tmp_path):
    """A folder with a database of products, and a job that copies them."""
    execute(tmp_path / "shop.db", PRODUCTS)
    (tmp_path / "job.toml").write_text(JOB, "utf-8")
    return tmp_path


@pytest.fixture
async def jobs(shop):
    async with Jobs(shop / "jobs.sqlite") as opened:
        yield opened


async def approved(jobs, shop, **limits):
    """Plan the job of ``shop`` and approve it; return its number."""
    job = await jobs.plan(shop / "job.toml", by="ada")
    await jobs.approve(job.id, plan_hash=job.plan_hash, by="bob", reason="new prices", **limits)
    return job.id


async def a_page_of(jobs, job_id):
    """Wait until a page of the job is written; its state says so, and nobody calls."""
    while not (await jobs.status(job_id)).pages:  # noqa: ASYNC110
        await sleep(0.01)


def store_of(shop):
    return SQLiteStore(shop / "cache.db", namespace="async_backfill")


async def copies(shop):
    async with store_of(shop) as store:
        return {key: copy.value for key, copy in (await store.get_many(range(ROWS))).items()}


def rows():
    return {number: {"name": f"product {number}", "price": number} for number in range(ROWS)}


async def test_a_job_is_planned_approved_run_and_verified(jobs, shop):
    job_id = await approved(jobs, shop)
    report = await jobs.run(job_id, by="bob")
    verified = await jobs.verify(job_id, by="bob", sample=None, extra=True)

    assert (report.status, report.reason, report.counts.kept) == ("done", None, ROWS)
    assert await copies(shop) == rows()
    assert (verified.compared, verified.differences) == (ROWS, 0)
    assert await jobs.check_log(job_id) is None
    assert [line.by for line in await jobs.log(job_id)][:3] == ["ada", "bob", "bob"]


async def test_nothing_is_opened_for_a_job_that_nobody_approved(shop):
    opened = []

    def opening(spec):
        opened.append(spec)
        return open_ends(spec)

    async with Jobs(shop / "jobs.sqlite", open_ends=opening) as jobs:
        job = await jobs.plan(shop / "job.toml", by="ada")
        with pytest.raises(JobRefusedError, match="needs approval: nobody approved its plan"):
            await jobs.run(job.id, by="bob")

    assert len(opened) == 1


async def test_a_spec_made_in_code_is_the_job_of_its_file(jobs, shop):
    spec, _ = await read_job(shop / "job.toml")
    planned = [await jobs.plan(job, by="ada") for job in (spec, shop / "job.toml", str(shop / "job.toml"))]

    assert [job.plan.spec for job in planned] == [spec, spec, spec]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": ""}, "name: must be 1 to 100 printable characters"),
        ({"guard": "stampp"}, "guard"),
        ({"shards": 0}, "shards: 0 is less than 1"),
        ({"source": {"engine": object()}}, "spec: .*must be plain JSON values"),
        ({"throttle": ThrottleLimits(hours="22-6")}, "throttle.hours: must be a begin"),
    ],
)
async def test_a_spec_that_is_wrong_is_refused_when_it_is_planned(jobs, changes, text):
    given = {"name": "shop", "source": {}, "store": {}}

    with pytest.raises(ConfigurationError, match=text):
        await jobs.plan(JobSpec(**given | changes), by="ada")
    assert await jobs.list() == []


async def test_a_job_file_that_is_not_there_is_named(jobs):
    with pytest.raises(ScenarioError, match=r"nothing\.toml"):
        await jobs.plan("nothing.toml", by="ada")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            "ALTER TABLE products DROP COLUMN price; ALTER TABLE products ADD COLUMN price TEXT",
            "other columns, or other types",
        ),
        ("DELETE FROM products WHERE id % 4 = 0", "2,250 rows, and had 3,000"),
    ],
)
async def test_a_source_that_has_changed_needs_a_new_plan(jobs, shop, change, text):
    job_id = await approved(jobs, shop)
    execute(shop / "shop.db", change)

    with pytest.raises(JobRefusedError, match=text):
        await jobs.run(job_id, by="bob")
    assert (await jobs.status(job_id)).status == "approved"


async def test_what_was_read_to_its_end_is_verified_although_the_source_has_shrunk_since(jobs, shop):
    job_id = await approved(jobs, shop)
    await jobs.start(job_id, by="bob")
    for shard in (await jobs.status(job_id)).shards:
        await jobs.work(job_id, shard=shard.number)
    execute(shop / "shop.db", "DELETE FROM products WHERE id % 2")

    await jobs.work(job_id)

    assert (await jobs.status(job_id)).status == "done"


async def test_two_who_run_one_job_share_its_shards(jobs, shop):
    job_id = await approved(jobs, shop)
    await jobs.set(job_id, by="bob", lanes=1, rate=100)  # so slow that each finds the other one at work
    workers = set()

    async with create_task_group() as tasks:
        for name in ("bob", "eve"):
            tasks.start_soon(partial(jobs.run, job_id, by=name))
        while len(workers) < 2:
            workers |= {worker.owner for worker in (await jobs.status(job_id)).workers}
            await sleep(0.01)
        await jobs.set(job_id, by="bob", rate="none")

    report = await jobs.status(job_id)
    assert (report.status, report.counts.read, report.repeated_pages) == ("done", ROWS, 0)


async def test_a_dry_run_writes_nothing_and_says_what_would_be_kept(jobs, shop):
    job_id = await approved(jobs, shop)
    found = await jobs.dry_run(job_id, rows=500)

    assert (found.rows >= 500, found.present, found.rejected) == (True, 0, 0)
    assert await copies(shop) == {}
    with pytest.raises(ConfigurationError, match="rows: 0 is less than 1"):
        await jobs.dry_run(job_id, rows=0)


async def test_a_run_that_is_cancelled_is_interrupted_and_goes_on(jobs, shop):
    job_id = await approved(jobs, shop)
    await jobs.set(job_id, by="bob", rate=100)

    async with create_task_group() as tasks:
        tasks.start_soon(partial(jobs.run, job_id, by="bob"))
        await a_page_of(jobs, job_id)
        tasks.cancel_scope.cancel()

    assert (await jobs.status(job_id)).status == "interrupted"
    await jobs.set(job_id, by="bob", rate="none")
    report = await jobs.run(job_id, by="bob")
    assert (report.status, report.counts.read) == ("done", ROWS)


async def test_a_run_that_is_stopped_pauses_the_job(jobs, shop):
    job_id = await approved(jobs, shop)
    stop = Event()
    stop.set()

    report = await jobs.run(job_id, by="bob", stop=stop)

    assert (report.status, report.workers) == ("paused", [])
    assert (await jobs.run(job_id, by="bob")).status == "done"


async def test_after_the_store_was_cleared_a_job_begins_again_from_its_start(jobs, shop):
    job_id = await approved(jobs, shop, max_rows=2 * ROWS)
    await jobs.set(job_id, by="bob", rate=100)
    stop = Event()
    async with create_task_group() as tasks:
        tasks.start_soon(partial(jobs.run, job_id, by="bob", stop=stop))
        await a_page_of(jobs, job_id)
        stop.set()
    async with store_of(shop) as store:
        await store.clear()
    await jobs.set(job_id, by="bob", rate="none")

    failed = await jobs.run(job_id, by="bob")
    done = await jobs.run(job_id, by="bob", from_start=True)

    assert failed.status == "failed"
    assert "lost its memory" in failed.reason
    assert (done.status, done.counts.kept) == ("done", ROWS)
    assert await copies(shop) == rows()


async def test_a_state_that_is_given_open_stays_open(shop):
    async with SQLiteJobState(shop / "jobs.sqlite") as state:
        async with Jobs(state) as jobs:
            await jobs.plan(shop / "job.toml", by="ada")
        async with Jobs(state) as jobs:
            assert len(await jobs.list()) == 1


async def test_a_state_that_is_not_there_is_not_made_unless_asked(shop):
    with pytest.raises(JobStateError, match="there is no such state of jobs"):
        async with Jobs(shop / "jobs.sqlite", create=False):
            pass
    assert not (shop / "jobs.sqlite").exists()


async def test_jobs_that_are_not_open_say_so(shop):
    with pytest.raises(JobStateError, match="use it in `async with`"):
        await Jobs(shop / "jobs.sqlite").list()
