"""Plans, and a state of jobs, in a file or on a server, whose clock is moved by hand."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import contextmanager

import asyncpg

from async_backfill._jobs._plan import Plan
from async_backfill._jobs._records import JobCounts
from async_backfill._jobs._spec import JobSpec
from async_backfill._jobs._state.approvals import approve, start
from async_backfill._jobs._state.file import StateFile
from async_backfill._jobs._state.jobs import add_job
from async_backfill._jobs._state.postgres import PostgresJobState
from async_backfill._jobs._state.shards import PageDone


def plan_of(name="products", *, rows=1_000, cuts=(b"#3", b"#6"), four_eyes=False, **others):
    spec = JobSpec(name=name, source={"kind": "sql"}, store={"kind": "sqlite"}, ttl=60, four_eyes=four_eyes)
    fields = {
        "spec": spec,
        "rows": rows,
        "rows_by": "counted",
        "row_bytes": 100.5,
        "store_bytes": None,
        "store_limit": None,
        "present": 0.0,
        "schema": "id:int",
        "cuts": cuts,
        "release": "1.0",
    }
    return Plan(**(fields | others))


class State:
    """Calls functions of a state, each in a transaction of its own."""

    def __init__(self, path):
        self.now = 1_000.0
        self.file = self.opened(path)

    def opened(self, path):
        file = StateFile(str(path), create=True, clock=lambda: self.now)
        file.open()
        return file

    def __call__(self, function, *arguments, **settings):
        return self.file.transact(lambda tx: function(tx, *arguments, **settings))

    def planned(self, name="products", **settings):
        return self(add_job, plan_of(name, **settings), by="ada")

    def approved(self, name="products", *, max_rows=1_000, seconds=100.0, **settings):
        job = self.planned(name, **settings)
        allowed = {"max_rows": max_rows, "seconds": seconds}
        self(approve, job.id, plan_hash=job.plan_hash, by="bob", reason="new prices", **allowed)
        return job

    def running(self, name="products", **settings):
        return self(start, self.approved(name, **settings).id, by="bob")


def page(rows=10, *, cursor=b"#1", **settings):
    return PageDone(cursor=cursor, counts=JobCounts(read=rows, kept=rows), batch=500, **settings)


class _Moved:
    """A transaction on a server whose clock is moved by hand."""

    def __init__(self, tx, state):
        self.rows = tx.rows
        self.now = lambda: state.now


class _Served:
    """A state on a server, for calls that wait."""

    def __init__(self, url, state):
        self._state = state
        self._runner = asyncio.Runner()
        self._opened = PostgresJobState(url)
        self._runner.run(self._opened.__aenter__())

    def transact(self, work):
        return self._runner.run(self._opened.transact(lambda tx: work(_Moved(tx, self._state))))

    def close(self):
        self._runner.run(self._opened.__aexit__(None, None, None))
        self._runner.close()


class ServerState(State):
    """The same in PostgreSQL."""

    def opened(self, url):
        return _Served(url, self)

    def empty(self):
        """Remove all jobs."""
        self.now = 1_000.0
        self.file.transact(lambda tx: tx.rows("TRUNCATE job, shard, approval, log, dead, finding"))


@contextmanager
def schema_at(url):
    """The URL of a state in a schema of its own, inside ``with``."""
    name = f"jobs_{uuid.uuid4().hex[:12]}"
    try:
        yield f"{url}?schema={name}"
    finally:
        asyncio.run(_dropped(url, name))


async def _dropped(url, name):
    connection = await asyncpg.connect(url)
    await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
    await connection.close()
