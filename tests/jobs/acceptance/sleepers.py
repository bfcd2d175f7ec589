"""A6: a worker that is stopped (SIGSTOP) beyond the deadline of a page writes nothing once it goes on."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from typing import Any

import anyio

from async_backfill.jobs import Jobs, JobSettings, JobStatus
from async_backfill.redis.connection import connect
from tests.jobs.acceptance.place import Place, Shown, anew, approved, differing, make_table, worked

LEASE, DEADLINE = 1.0, 10.0
_WRITES = ("set", "mset", "msetex", "psetex", "setex")  # not "unlink": whoever sees its end removes the mark


async def _writes(place: Place) -> int:
    """Return how many writes the store has taken, by its own count."""
    if place.kind == "files":
        with sqlite3.connect(place.store["file"]) as store:
            # Each write of an entry has a number of its own, which only rises.
            return sum(int(row[0] or 0) for row in store.execute("SELECT max(id) FROM entry"))
    async with connect(place.store["url"]) as connection:
        told: Any = await connection.execute("INFO", "commandstats")
    lines = [line.split(b":", 1) for line in told.splitlines() if line.startswith(b"cmdstat_")]
    calls = {name[8:].decode(): int(said.split(b",")[0].removeprefix(b"calls=")) for name, said in lines}
    return sum(count for name, count in calls.items() if name in _WRITES)


async def _state(place: Place) -> tuple[JobStatus, int, int]:
    async with Jobs(place.state) as jobs:
        report = await jobs.status(1)
        return report.status, report.pages, len(await jobs.log(1))  # type: ignore[return-value]


def _work(place: Place, owner: str) -> None:
    anyio.run(lambda: worked(place, 1, owner=owner, lease=LEASE))


def _trial(place: Place, draw: random.Random) -> tuple[bool, str]:
    settings = JobSettings(batch=500, lanes=2)
    anyio.run(approved, place, place.spec(settings=settings, shards=8))
    forks = multiprocessing.get_context("fork")
    sleeper = forks.Process(target=_work, args=(place, "sleeper"))
    sleeper.start()
    while anyio.run(_state, place)[1] == 0:
        time.sleep(0.01)
    time.sleep(draw.random() * 0.05)
    assert sleeper.pid is not None
    os.kill(sleeper.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    _work(place, "other")
    time.sleep(max(0.0, stopped + DEADLINE + 1.0 - time.monotonic()))
    before = anyio.run(_writes, place), anyio.run(_state, place)
    os.kill(sleeper.pid, signal.SIGCONT)
    sleeper.join(60.0)
    after = anyio.run(_writes, place), anyio.run(_state, place)
    wrong, missing = anyio.run(differing, place, 1)
    writes = after[0] - before[0]
    holds = not writes and before[1] == after[1] and not wrong and not missing and not sleeper.is_alive()
    status = after[1][0]
    return holds and status is JobStatus.DONE, (
        f"{status}, {writes} writes and {after[1][1] - before[1][1]} checkpoints after its sleep, "
        f"{wrong + missing} rows wrong"
    )


def show(place: Place, *, trials: int, rows: int, seed: int = 1) -> Shown:
    """Stop a worker so many times."""
    anyio.run(make_table, place, rows)
    found, draw = [], random.Random(seed)
    for number in range(trials):
        with anew(place, f"sleeper{number}") as its:
            found.append(_trial(its, draw))
    return Shown(all(holds for holds, _ in found), " | ".join(said for _, said in found))
