"""`Jobs` whose state is in PostgreSQL: two hosts, an operator, and a server that is killed in mid-job."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing

import anyio
import pytest
from anyio import create_task_group, fail_after, sleep, to_thread

pytest.importorskip("asyncpg", reason="needs the extra sql")

from async_backfill.errors import ConfigurationError
from async_backfill.jobs import JobRefusedError, Jobs
from async_backfill.stores.sqlite import SQLiteStore
from tests.jobs.state_rows import schema_at
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture
from tests.servers.postgres import start_postgres

pytestmark = pytest.mark.anyio

ROWS = 3_000
JOB = """\
name = "shop"
batch = 100
lanes = 1
rate = {rate}
[source]
kind = "sql"
url = "sqlite:///shop.db"
table = "products"
key = "id"
value = "price"
"""


@pytest.fixture
def shop(tmp_path):
    """A folder with a table of products."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db, db:
        db.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, price INTEGER)")
        db.executemany("INSERT INTO products VALUES (?, ?)", [(number, 2 * number) for number in range(ROWS)])
    return tmp_path


@pytest.fixture
def url(postgres_url):
    with schema_at(postgres_url) as url:
        yield url


async def approved(jobs, shop, rate=1_500):
    (shop / "job.toml").write_text(JOB.format(rate=rate), "utf-8")
    job = await jobs.plan(shop / "job.toml", by="ada")
    with pytest.raises(JobRefusedError, match="needs approval"):
        await jobs.run(job.id, by="bob")
    await jobs.approve(job.id, plan_hash=job.plan_hash, by="bob", reason="new prices")
    return job.id


async def pages_of(jobs, job, least=1):
    """Wait until so many pages of the job are noted."""
    with fail_after(120):
        while (await jobs.status(job)).pages < least:  # noqa: ASYNC110 - of a server
            await sleep(0.02)


async def hosts_of(jobs, job):
    return {worker.owner.partition(":")[0] for worker in (await jobs.status(job)).workers}


async def all_right(jobs, job, shop):
    """Whether each row of a job that is done is in the store, was counted once, and the log is whole."""
    report = await jobs.status(job)
    found = await jobs.verify(job, by="ada", sample=None, extra=True)
    async with SQLiteStore(shop / "cache.db", namespace="async_backfill") as store:
        copies = await store.get_many(range(ROWS))
    return (
        (report.status, report.reason) == ("done", None)
        and (found.compared, found.differences, await jobs.check_log(job)) == (ROWS, 0, None)
        and {key: copy.value for key, copy in copies.items()} == {key: 2 * key for key in range(ROWS)}
    )


async def test_two_hosts_share_a_job_and_each_sees_all_of_it(shop, url, monkeypatch):
    told = {"one": [], "two": []}
    monkeypatch.setattr(socket, "gethostname", iter(["one", "two"]).__next__)
    async with (
        Jobs(url, observers=[told["one"].append]) as one,
        Jobs(url, observers=[told["two"].append]) as two,
    ):
        job = await approved(one, shop, rate=300)
        async with create_task_group() as tasks:
            tasks.start_soon(lambda: one.run(job, by="ada"))
            await pages_of(two, job)
            tasks.start_soon(two.work, job)
            with fail_after(60):
                while await hosts_of(two, job) != {"one", "two"}:  # noqa: ASYNC110 - of a server
                    await sleep(0.01)
            await two.set(job, by="eve", rate="none")
        assert await all_right(two, job, shop)
        report = await one.status(job)
    assert (report.counts.read, report.counts.kept, report.repeated_pages) == (ROWS, ROWS, 0)
    assert all(any(type(event).__name__ == "JobPageDone" for event in events) for events in told.values())


async def test_an_operator_elsewhere_pauses_sets_resumes_and_cancels(shop, url):
    async with Jobs(url) as jobs, Jobs(url, create=False) as operator:
        job = await approved(jobs, shop, rate=300)
        async with create_task_group() as tasks:
            tasks.start_soon(lambda: jobs.run(job, by="ada"))
            await pages_of(operator, job)
            await operator.pause(job, by="eve", reason="too much")
        paused = await operator.status(job)
        assert (paused.status, paused.reason) == ("paused", "too much")
        assert 0 < paused.counts.read < ROWS
        await operator.set(job, by="eve", rate="none", batch=500)
        assert (await jobs.run(job, by="ada")).status == "done"
        assert await all_right(operator, job, shop)
        assert dict(await operator.dead(job)) == {}
        other = await approved(operator, shop)
        await operator.cancel(other, by="eve")
        assert [report.status for report in await jobs.list()] == ["done", "cancelled"]
        whats = [line.what for line in await operator.log(job)]
    assert whats[:2] == ["planned", "approved"]
    assert "settings" in whats


async def test_kill_9_of_postgresql_in_mid_job_needs_no_person(shop):
    with start_postgres() as server:
        async with Jobs(server.url) as jobs, Jobs(server.url) as operator:
            job = await approved(jobs, shop)
            async with create_task_group() as tasks:
                tasks.start_soon(lambda: jobs.run(job, by="ada"))
                for least in (5, 15):
                    await pages_of(operator, job, least)
                    await to_thread.run_sync(server.crash)
            report = await operator.status(job)
            assert await all_right(operator, job, shop)
    assert (report.counts.read, report.counts.kept + report.counts.newer) == (ROWS, ROWS)


def test_a_password_in_the_url_may_be_a_variable(url, monkeypatch):
    password = url.split(":")[2].partition("@")[0]
    monkeypatch.setenv("STATE_PASSWORD", password)

    async def opened(name):
        async with Jobs(name) as jobs:
            return list(await jobs.list())

    assert anyio.run(opened, url.replace(password, "${STATE_PASSWORD}")) == []
    with pytest.raises(ConfigurationError, match="state: the environment variable NO_SUCH is not set"):
        Jobs("postgresql://ada:${NO_SUCH}@h/d")
