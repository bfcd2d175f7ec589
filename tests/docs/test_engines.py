"""The tasks of other engines on the page on clusters: the engine's own worker runs each, on a real broker."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version
from importlib.util import find_spec
from urllib.parse import parse_qs, urlsplit

import pytest

asyncpg = pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")

from async_backfill.jobs import Jobs
from tests.commands.operating import job_file, products
from tests.docs.engines import PATIENCE, Engine, engines_of_the_page
from tests.jobs.state_rows import schema_at
from tests.servers.valkey import start_valkey

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, and servers from wheels")

ENGINES = ("saq", "procrastinate", "celery", "arq")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """The URL of a Valkey of these tests' own: what engines leave in it goes with it."""
    with start_valkey(tmp_path_factory.mktemp("broker")) as server:
        yield server.url


@pytest.fixture(params=ENGINES)
def engine(request):
    """The name of an engine that is installed."""
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture
def store(engine, request):
    """Where the rows go: a newer arq comes with a redis that is older than that of the extra ``redis``."""
    if int(version("redis").partition(".")[0]) < 8:
        return {"kind": "sqlite", "file": "rows.sqlite"}
    return {"kind": "redis", "url": request.getfixturevalue("valkey_url"), "namespace": f"rows-of-{engine}"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    products()
    return tmp_path


@pytest.fixture
def server(engine, broker, postgres_url):
    """What the page calls the server of an engine, and one that is there."""
    if engine != "procrastinate":
        yield {"redis://broker.example": broker}
        return
    with schema_at(postgres_url) as url:
        schema = schema_of(url)
        asyncio.run(execute(url, f"CREATE SCHEMA {schema}"))
        yield {"postgresql://db.example": f"{postgres_url}?options=-csearch_path%3D{schema}"}


def test_a_page_shows_no_engine_that_is_not_tested():
    assert engines_of_the_page()[1].keys() == set(ENGINES)


def test_a_task_of_an_engine_does_a_job_also_if_it_failed_at_first(
    engine, folder, server, store, postgres_url
):
    with schema_at(postgres_url) as made, schema_at(postgres_url) as state:
        asyncio.run(begun(made, store))
        tasks = Engine(engine, folder, state=state, changes={"AGAIN = 10 ": "AGAIN = 1 ", **server})
        tasks.prepare()
        with tasks.working() as worker:
            tasks.put_a_task()
            worker.wait_until_it_logs("there is no such state of jobs")
            asyncio.run(execute(made, f"ALTER SCHEMA {schema_of(made)} RENAME TO {schema_of(state)}"))
            asyncio.run(done(state, worker))
        asyncio.run(all_right(state))


async def begun(state, store):
    """Approve and start a job for workers elsewhere."""
    async with Jobs(state) as jobs:
        plan = await jobs.plan(job_file(store=store), by="ada")
        await jobs.approve(plan.id, plan_hash=plan.plan_hash, by="bob", reason="new prices")
        await jobs.start(plan.id, by="bob")


async def done(state, worker):
    """Wait until the job is done."""
    async with Jobs(state, create=False) as jobs, asyncio.timeout(PATIENCE):
        while (await jobs.status(1)).status in {"interrupted", "running", "verifying"}:
            worker.require_running()
            await asyncio.sleep(0.05)


async def all_right(state):
    async with Jobs(state, create=False) as jobs:
        report = await jobs.status(1)
        assert (report.status, report.counts.kept) == ("done", 300)
        verified = await jobs.verify(1, by="ada", sample=None, extra=True)
        assert (verified.compared, verified.differences) == (300, 0)


async def execute(url, statement):
    connection = await asyncpg.connect(urlsplit(url)._replace(query="").geturl())
    await connection.execute(statement)
    await connection.close()


def schema_of(url):
    return parse_qs(urlsplit(url).query)["schema"][0]
