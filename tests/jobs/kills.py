"""Kill the workers of a job with ``kill -9`` at random moments, and compare all rows at the end.

``python -m tests.jobs.kills --kills 100`` copies a table of SQLite into a far store in a file; with
``--servers`` a table of PostgreSQL into Valkey. It exits 1 when a row is wrong, or more pages were repeated
than a page a lane for each kill.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import anyio
import sqlalchemy as sa

from async_backfill._jobs._ends import JobEnds
from async_backfill._jobs._packing import pack
from async_backfill._jobs._records import JobStatus
from async_backfill._jobs._running.worker import work
from async_backfill._jobs._spec import JobSettings
from async_backfill._jobs._state.approvals import approve, start
from async_backfill._jobs._state.jobs import add_job, find_job
from async_backfill._jobs._state.shards import shards
from async_backfill._jobs._state.sqlite import SQLiteJobState
from async_backfill.redis.connection import connect
from async_backfill.redis.store import RedisStore
from async_backfill.sources.sql import SQLSource, open_database
from async_backfill.stores.sqlite import SQLiteStore
from tests.jobs.state_rows import plan_of
from tests.jobs.table import spec_of
from tests.servers.postgres import start_postgres
from tests.servers.valkey import start_valkey

LANES, BATCH, LEASE, SHARDS = 2, 500, 1.0, 16


@asynccontextmanager
async def ends_at(places):
    """Open the source and the store at ``places``."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(
            SQLSource.connect(places["source"], "products", key="id", value="price")
        )
        kinds = {"namespace": "shop", "key_type": int, "value_type": str}
        if places["redis"] is None:
            store = await stack.enter_async_context(SQLiteStore(places["store"], **kinds))
        else:
            store = RedisStore(await stack.enter_async_context(connect(places["redis"])), **kinds)
        yield JobEnds(rows=source, source=source, store=store)


async def child(places, owner):
    """Work on the job until it is over, or until killed."""
    async with SQLiteJobState(places["state"], create=False) as state, ends_at(places) as ends:
        await work(state, 1, ends, owner=owner, lease=LEASE)


async def plan(places, rows):
    """Make the table and the job."""
    async with open_database(places["source"]) as engine, engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE products (id INTEGER PRIMARY KEY, price TEXT)"))
        insert = sa.text("INSERT INTO products VALUES (:id, :price)")
        for first in range(0, rows, 10_000):
            some = range(first, min(rows, first + 10_000))
            await connection.execute(
                insert, [{"id": n, "price": f"price of {n} ".ljust(90, "x")} for n in some]
            )
    async with SQLiteJobState(places["state"]) as state:
        cuts = [pack(rows * n // SHARDS) for n in range(1, SHARDS)]
        settings = JobSettings(batch=BATCH, lanes=LANES)
        made = plan_of(spec=spec_of(settings=settings), rows=rows, cuts=tuple(cuts), schema=None)
        allowed = {"plan_hash": made.hash, "by": "bob", "reason": "kills", "max_rows": 10**9, "seconds": 1e6}
        await state.transact(lambda tx: add_job(tx, made, by="ada"))
        await state.transact(lambda tx: approve(tx, 1, **allowed))
        await state.transact(lambda tx: start(tx, 1, by="bob"))


async def judge(places):
    """Return the job, its shards, and how many rows are wrong in the store."""
    wrong = 0
    async with SQLiteJobState(places["state"]) as state, ends_at(places) as ends:
        async for page in ends.rows.rows():
            found = await ends.store.get_many(tuple(page))
            wrong += sum(key not in found or found[key].value != page[key] for key in page)
        job = await state.transact(lambda tx: find_job(tx, 1))
        return job, await state.transact(lambda tx: shards(tx, 1)), wrong


def killed(places, kills, seed):
    """Let one worker after the other work, each killed but for the last; return how many kills landed."""
    draws, landed = random.Random(seed), 0
    for number in range(kills + 1):
        command = [sys.executable, "-m", "tests.jobs.kills", "--child", json.dumps(places), f"w{number}"]
        process = subprocess.Popen(command)
        if number < kills:
            end = time.monotonic() + 60.0
            began = pages_of(places)
            while process.poll() is None and pages_of(places) == began and time.monotonic() < end:
                time.sleep(0.01)  # until it works, or starting would be all that is killed
            time.sleep(draws.random() * 0.1)
            process.kill()
            landed += process.wait() < 0
        else:
            process.wait(timeout=600.0)
    return landed


def pages_of(places):
    """The number of pages that are kept."""
    engine = sa.create_engine(f"sqlite:///{places['state']}")
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT sum(pages) + sum(generation) FROM shard")).scalar_one()
    engine.dispose()
    return found


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.jobs.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--servers", action="store_true", help="PostgreSQL and Valkey in place of files")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        anyio.run(child, json.loads(options.child[0]), options.child[1])
        return 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = {
            "source": f"sqlite:///{folder / 'shop.db'}",
            "store": str(folder / "cache.db"),
            "redis": None,
        }
        if options.servers:
            places["source"] = stack.enter_context(start_postgres()).url
            places["redis"] = stack.enter_context(start_valkey(folder / "valkey")).url
        places["state"] = str(folder / "jobs.sqlite")
        anyio.run(plan, places, options.rows)
        landed = killed(places, options.kills, options.seed)
        job, parts, wrong = anyio.run(judge, places)
    read, repeated = sum(part.counts.read for part in parts), sum(part.repeated for part in parts)
    print(  # noqa: T201
        f"seed {options.seed}: {landed} of {options.kills} kills; job {job.status} {job.reason or ''}; "
        f"{wrong} of {options.rows:,} rows wrong; {read:,} counted as read, in {sum(p.pages for p in parts)} "
        f"pages; {repeated} shards taken over (at most {LANES} a kill)"
    )
    is_right = job.status is JobStatus.DONE and not wrong and read == options.rows
    return 0 if is_right and repeated <= LANES * landed else 1


if __name__ == "__main__":
    sys.exit(main())
