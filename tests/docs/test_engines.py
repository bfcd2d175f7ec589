"""The tasks of other engines on the page on clusters: the engine's own worker runs each, on a real broker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from importlib.metadata import version
from importlib.util import find_spec
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")

import asyncpg

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


@pytest.fixture
def engine(request):
    """The name of an engine that is installed."""
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture
def store(folder, request):
    """Where the rows go: a newer arq comes with a redis that is older than that of the extra ``redis``."""
    if find_spec("redis") is None or int(version("redis").partition(".")[0]) < 8:
        return {"kind": "sqlite", "file": str(folder / "rows.sqlite")}
    return {
        "kind": "redis",
        "url": request.getfixturevalue("valkey_url"),
        "namespace": f"rows-{uuid.uuid4().hex}",
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    products()
    return tmp_path


@pytest.fixture
def state(postgres_url):
    """The name of a state that is not there yet."""
    with schema_at(postgres_url) as url:
        yield url


@pytest.fixture
def server(engine, postgres_url, request):
    """What the page calls the server of an engine, and one that is there."""
    if engine != "procrastinate":
        yield {"redis://broker.example": request.getfixturevalue("broker")}
        return
    with schema_at(postgres_url) as url:
        schema = schema_of(url)
        asyncio.run(execute(url, f"CREATE SCHEMA {schema}"))
        yield {"postgresql://db.example": f"{postgres_url}?options=-csearch_path%3D{schema}"}


@pytest.fixture
def tasks(engine, folder, state, server):
    """The engine with the module of the page, whose pauses are shorter."""
    engine = Engine(engine, folder, state=state, changes={"AGAIN = 10 ": "AGAIN = 1 ", **server})
    engine.prepare()
    return engine


@pytest.fixture
def ready(postgres_url, store):
    """Where a job that runs is until its state is wanted."""
    with schema_at(postgres_url) as url:
        asyncio.run(begun(url, store))
        yield url


def test_the_page_shows_the_engines_that_are_tested():
    assert engines_of_the_page()[1].keys() == set(ENGINES)


@pytest.mark.parametrize("engine", ["procrastinate"], indirect=True)
def test_a_task_that_fails_is_tried_again(tasks, state, ready):
    with tasks.working() as worker:
        fail_once(tasks, worker, ready, state)
        asyncio.run(unlimited(state))
        asyncio.run(done(state, worker))


@pytest.mark.parametrize("engine", ["saq", "arq"], indirect=True)
def test_a_task_that_fails_or_whose_worker_is_asked_to_end_is_tried_again(tasks, state, ready):
    with tasks.working() as worker:
        fail_once(tasks, worker, ready, state)
        asyncio.run(process_at_work(state, worker))
    asyncio.run(unlimited(state))
    with tasks.working() as worker:
        asyncio.run(done(state, worker))


@pytest.mark.parametrize("engine", ["celery"], indirect=True)
def test_a_task_that_fails_or_whose_process_is_killed_is_tried_again(tasks, state, ready):
    with tasks.working() as worker:
        fail_once(tasks, worker, ready, state)
        process = asyncio.run(process_at_work(state, worker))
        os.kill(process, signal.SIGKILL)
        ended = "UPDATE shard SET leased_until = 0.0 WHERE owner LIKE $1"
        asyncio.run(execute(state, ended, f"%:{process}:%"))
        asyncio.run(unlimited(state))
        asyncio.run(done(state, worker))


def fail_once(tasks, worker, ready, state):
    """Put a task in that finds no state, and then the state where it is looked for."""
    tasks.put_a_task()
    worker.wait_until_it_logs("there is no such state of jobs")
    asyncio.run(execute(ready, f"ALTER SCHEMA {schema_of(ready)} RENAME TO {schema_of(state)}"))


async def begun(state, store):
    """Approve and start a slow job for workers elsewhere."""
    async with Jobs(state) as jobs:
        plan = await jobs.plan(job_file(store=store, rate=1, batch=10), by="ada")
        await jobs.approve(plan.id, plan_hash=plan.plan_hash, by="bob", reason="new prices")
        await jobs.start(plan.id, by="bob")


async def process_at_work(state, worker):
    """Return the process that reads shards, once it does."""
    async with Jobs(state, create=False) as jobs, asyncio.timeout(PATIENCE):
        while not ((report := await jobs.status(1)).workers and report.counts.kept):
            worker.require_running()
            await asyncio.sleep(0.2)
    return int(report.workers[0].owner.split(":")[-2])


async def unlimited(state):
    """Let the job go on as fast as it can."""
    async with Jobs(state, create=False) as jobs:
        await jobs.set(1, by="bob", rate="none")


async def done(state, worker):
    """Wait until the job is done, and compare all rows."""
    async with Jobs(state, create=False) as jobs, asyncio.timeout(PATIENCE):
        while (report := await jobs.status(1)).status in {"interrupted", "running", "verifying"}:
            worker.require_running()
            await asyncio.sleep(0.2)
        assert (report.status, report.counts.kept) == ("done", 300)
        verified = await jobs.verify(1, by="ada", sample=None, extra=True)
        assert (verified.compared, verified.differences) == (300, 0)


async def execute(url, statement, *values):
    settings = {"search_path": schema_of(url)}
    connection = await asyncpg.connect(urlsplit(url)._replace(query="").geturl(), server_settings=settings)
    await connection.execute(statement, *values)
    await connection.close()


def schema_of(url):
    return parse_qs(urlsplit(url).query)["schema"][0]
