"""Kill the workers of a job with ``kill -9`` at random moments, and compare all rows at the end.

``python -m tests.jobs.kills --kills 100`` copies a table of SQLite into a far store in a file; with
``--servers`` a table of PostgreSQL into Valkey, and the state is in PostgreSQL, too. It exits 1 when a row is
wrong, more pages were repeated than a page a lane for each kill, or the store and the state do not count the
same rows.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time

import anyio

from async_backfill.jobs import Jobs, JobSettings, JobStatus
from async_backfill.jobs._states import state_at
from tests.jobs.acceptance.place import (
    Place,
    Shown,
    approved,
    differing,
    entries,
    in_files,
    make_table,
    on_servers,
    worked,
)

LANES, BATCH, LEASE, SHARDS = 2, 500, 1.0, 16


def child(place, owner):
    """Work on the job until it is over, or until killed."""
    anyio.run(lambda: worked(place, 1, owner=owner, lease=LEASE))


def killed(place, kills, seed):
    """Let one worker after the other work, each killed but for the last.

    Returns how many kills landed, and the longest time from the start of a worker to its first page or shard.
    """
    draws, landed, slowest = random.Random(seed), 0, 0.0
    forks = multiprocessing.get_context("fork")  # to import all anew would take longer than to resume
    for number in range(kills + 1):
        began, begin = pages_of(place), time.monotonic()
        process = forks.Process(target=child, args=(place, f"w{number}"))
        process.start()
        while process.is_alive() and pages_of(place) == began and time.monotonic() < begin + 60.0:
            time.sleep(0.01)  # until it works, or starting would be all that is killed
        slowest = max(slowest, time.monotonic() - begin)
        if number < kills:
            time.sleep(draws.random() * 0.1)
            process.kill()
            process.join()
            landed += process.exitcode < 0
        else:
            process.join(600.0)
    return landed, slowest


def pages_of(place):
    """The number of pages that are kept, and of shards that were claimed."""
    query = "SELECT CAST(sum(pages) + sum(generation) AS INTEGER) FROM shard"

    async def ask():
        async with state_at(place.state, create=False) as state:
            return await state.transact(lambda tx: tx.rows(query))

    ((found,),) = anyio.run(ask)
    return found


async def judge(place):
    """Return what is known of the job, and how many rows are wrong or missing."""
    async with Jobs(place.state) as jobs:
        return await jobs.status(1), sum(await differing(place, 1)), await entries(place, 1)


def show(place: Place, *, kills: int, rows: int, seed: int) -> Shown:
    """Kill, and return what became of the job."""
    anyio.run(make_table, place, rows)
    settings = JobSettings(batch=BATCH, lanes=LANES)
    anyio.run(approved, place, place.spec(settings=settings, shards=SHARDS))
    landed, slowest = killed(place, kills, seed)
    job, wrong, there = anyio.run(judge, place)
    read, repeated = job.counts.read, job.repeated_pages
    holds = job.status is JobStatus.DONE and not wrong and read == there == rows
    return Shown(
        holds and repeated <= LANES * landed,
        f"seed {seed}: {landed} of {kills} kills; job {job.status} {job.reason or ''}; {wrong} of {rows:,} "
        f"rows wrong; {read:,} counted as read, {there:,} in the store, {job.pages} pages; {repeated} pages "
        f"repeated (at most {LANES} a kill); "
        f"resumed after {slowest:.1f} s at the latest (the lease is {LEASE} s)",
    )


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.jobs.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--servers", action="store_true", help="PostgreSQL and Valkey in place of files")
    options = parser.parse_args()
    with on_servers() if options.servers else in_files() as place:
        shown = show(place, kills=options.kills, rows=options.rows, seed=options.seed)
    print(shown.figures)  # noqa: T201
    return 0 if shown.holds else 1


if __name__ == "__main__":
    sys.exit(main())
