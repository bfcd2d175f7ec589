"""Jobs on Dask between servers that are killed: state and source in PostgreSQL, the store in Valkey."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from urllib.parse import urlsplit

import anyio
import asyncpg
import pytest

from async_backfill.jobs import Jobs
from async_backfill.redis.connection import connect
from async_backfill.redis.store import RedisStore
from tests.commands.dask_cluster import started_cluster
from tests.commands.operating import job_file
from tests.servers.postgres import start_postgres
from tests.servers.valkey import start_valkey

pytest.importorskip("distributed", reason="distributed is not installed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

ROWS = 300


@pytest.fixture(scope="module")
def postgres():
    """A server of the tests of this file alone, with a table of products."""
    with start_postgres() as server:

        async def fill():
            connection = await asyncpg.connect(server.url)
            await connection.execute("CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT, price INTEGER)")
            rows = [(f"k{number:05}", f"name {number}", number) for number in range(ROWS)]
            await connection.copy_records_to_table("products", records=rows)
            await connection.execute("ANALYZE products")
            await connection.close()

        anyio.run(fill)
        yield server


@pytest.fixture(scope="module")
def dask(postgres):
    """The address of a scheduler, whose workers know the password of the database from elsewhere."""
    with started_cluster(DB_PASSWORD=urlsplit(postgres.url).password) as running:
        yield running.address


@pytest.fixture
def valkey(tmp_path, request):
    with start_valkey(tmp_path / "valkey", *getattr(request, "param", ())) as server:
        yield server


@pytest.fixture
def job(postgres, valkey, jobs, tmp_path, monkeypatch):
    """The number of a job that was approved, in a state of its own."""
    monkeypatch.chdir(tmp_path)
    password = urlsplit(postgres.url).password
    monkeypatch.setenv("DB_PASSWORD", password)
    url = postgres.url.replace(password, "${DB_PASSWORD}")
    monkeypatch.setenv("ASYNC_BACKFILL_STATE", f"{url}?schema=jobs_{uuid.uuid4().hex[:12]}")
    job_file(url=url, store={"kind": "redis", "url": valkey.url}, rate=10, batch=10, shards=6)
    plan = jobs.data("plan", "job.json")["plan_hash"]
    jobs.said("approve", "1", "--plan", plan, "--by", "bob", "--reason", "new prices")
    return "1"


def asked(call):
    """Return what ``call`` of the jobs in the state returns."""

    async def ask():
        async with Jobs(os.environ["ASYNC_BACKFILL_STATE"], create=False) as jobs:
            return await call(jobs)

    return anyio.run(ask)


def wait_for(found):
    end = time.monotonic() + 120.0
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


def shown():
    return asked(lambda jobs: jobs.status(1))


def meanwhile(act):
    """Run ``act`` in a thread, once pages of the job are noted, and let the job go fast afterwards."""

    def run():
        wait_for(lambda: shown().pages >= 2)
        act()
        asked(lambda jobs: jobs.set(1, by="bob", rate="none"))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def all_right(jobs, valkey):
    """Whether the last comparison found each row, and each row is in the store."""

    async def copies():
        async with connect(valkey.url) as redis:
            store = RedisStore(redis, namespace="async_backfill")
            return await store.get_many([f"k{number:05}" for number in range(ROWS)])

    compared = jobs.data("verify", "1", "--all", "--extra")
    found = {key: copy.value for key, copy in anyio.run(copies).items()}
    right = {f"k{number:05}": {"name": f"name {number}", "price": number} for number in range(ROWS)}
    return (compared["compared"], compared["differences"], found) == (ROWS, 0, right)


def test_a_job_on_dask_fills_valkey_from_postgresql_with_its_state_there(jobs, job, valkey, dask):
    jobs.said("set", job, "rate=none")
    code, out, err = jobs.type(f"python -m async_backfill jobs run {job} --dask {dask}")
    assert (code, "300 kept" in out) == (0, True)
    assert os.environ["DB_PASSWORD"] not in out + err
    assert all_right(jobs, valkey)


def test_kill_9_of_postgresql_in_mid_job_on_dask_needs_no_person(jobs, job, valkey, dask, postgres):
    killing = meanwhile(postgres.crash)
    code, out, _ = jobs("run", job, "--dask", dask)
    killing.join()
    assert (code, "300 of 300" in out) == (0, True)
    assert all_right(jobs, valkey)


@pytest.mark.parametrize("valkey", [("--appendonly", "yes")], indirect=True)
def test_kill_9_of_a_valkey_that_keeps_its_data_needs_no_person(jobs, job, valkey, dask):
    def kill():
        valkey.kill()
        wait_for(lambda: (wait := shown().throttled) is not None and wait.reason == "store")
        valkey.restart()

    killing = meanwhile(kill)
    code, out, _ = jobs("run", job, "--dask", dask)
    killing.join()
    assert (code, "300 of 300" in out) == (0, True)
    assert all_right(jobs, valkey)


def test_kill_9_of_a_valkey_that_loses_all_is_said_and_the_job_begins_again(jobs, job, valkey, dask):
    killing = meanwhile(valkey.restart)
    code, out, _ = jobs("run", job, "--dask", dask)
    killing.join()
    assert (code, "the store lost its memory" in out) == (3, True)
    code, out, _ = jobs("run", job, "--dask", dask)
    assert (code, "the store lost its memory" in out) == (3, True)
    code, out, _ = jobs("run", job, "--dask", dask, "--from-start")
    assert (code, "300 of 300" in out) == (0, True)
    assert all_right(jobs, valkey)
