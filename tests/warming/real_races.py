"""``python -m tests.warming.real_races``: copies beside writers in processes of their own, on real servers.

Each page is held between its read and its write. Writers change and delete rows of PostgreSQL, and put or
remove them in Valkey, as a cache of the product does. At the end each key of the store is compared with its
row. It exits 1 when a guarded copy left an old value or brought a row back, or when a copy without a guard
did neither: then the runs prove nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count as count_up
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import asyncpg

from async_backfill.redis.connection import connect
from async_backfill.redis.store import RedisStore
from async_backfill.sources.sql import SQLSource
from async_backfill.warming import CopyProgress, copy_rows
from tests.servers.postgres import start_postgres
from tests.servers.valkey import start_valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    GuardName = Literal["stamp", "recheck", "none"]

_TTL = 3600.0
_WRITERS = 3
_PAGE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one copy left behind: ``old`` values and deleted rows that came ``back``, beside ``writes``."""

    copied: CopyProgress[str]
    writes: int
    old: int
    back: int


def write(postgres: str, valkey: str, rows: int, seed: int, ends: Event, count: Synchronized[int]) -> None:
    """Change rows, and tell the store, until ``ends`` is set; the work of one process."""
    asyncio.run(_write(postgres, valkey, rows, random.Random(seed), ends, count))


async def _write(
    postgres: str, valkey: str, rows: int, draw: random.Random, ends: Event, count: Synchronized[int]
) -> None:
    database = await asyncpg.connect(postgres)
    async with connect(valkey) as redis:
        store = _store(redis)
        while not ends.is_set():
            key = _key(draw.randrange(rows))
            if draw.random() < 0.05:
                await database.execute("DELETE FROM t WHERE id = $1", key)
                await store.delete_many([key])
            else:
                value = f"changed at {time.time_ns()}"
                done = await database.execute("UPDATE t SET value = $2 WHERE id = $1", key, value)
                if done == "UPDATE 1" and draw.random() < 0.5:
                    await store.set_many({key: value}, ttl=_TTL)
                else:
                    await store.delete_many([key])
            with count.get_lock():
                count.value += 1
    await database.close()


async def race(postgres: str, valkey: str, *, rows: int, hold: float, guard: GuardName, seed: int) -> Outcome:
    """Copy ``rows`` rows beside writers, each page held for ``hold`` seconds."""
    database = await asyncpg.connect(postgres)
    await database.execute(
        "DROP TABLE IF EXISTS t; CREATE TABLE t (id text PRIMARY KEY, value text NOT NULL)"
    )
    keys = [(_key(number),) for number in range(rows)]
    await database.executemany("INSERT INTO t VALUES ($1, 'first')", keys)
    spawn = multiprocessing.get_context("spawn")
    ends, count = spawn.Event(), spawn.Value("i", 0)
    processes = [
        spawn.Process(target=write, args=(postgres, valkey, rows, seed + number, ends, count), daemon=True)
        for number in range(_WRITERS)
    ]
    async with (
        connect(valkey) as redis,
        SQLSource[str, str].connect(postgres, "t", key="id", value="value") as source,
    ):
        store = _store(redis)
        await redis.execute("FLUSHALL")
        for process in processes:
            process.start()
        while count.value < 10:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.02)
        before, pages = count.value, _held(source.rows(page=_PAGE), hold)
        copied = await copy_rows(pages, store, guard=guard, source=source, ttl=_TTL, max_dead=rows)
        writes = count.value - before
        ends.set()
        for process in processes:
            await asyncio.to_thread(process.join, 60)
        old, back = await _compared(database, store, rows)
    await database.close()
    return Outcome(copied=copied, writes=writes, old=old, back=back)


async def _held(pages: AsyncIterator[Mapping[str, str]], hold: float) -> AsyncIterator[Mapping[str, str]]:
    async for page in pages:
        await asyncio.sleep(hold)
        yield page


async def _compared(database: asyncpg.Connection, store: RedisStore[str, str], rows: int) -> tuple[int, int]:
    """Return how many values are older than their rows, and how many have no row any more."""
    truth = dict(await database.fetch("SELECT id, value FROM t"))
    old = back = 0
    for start in range(0, rows, 5000):
        keys = [_key(number) for number in range(start, min(rows, start + 5000))]
        for key, copy in (await store.get_many(keys)).items():
            back += key not in truth
            old += key in truth and copy.value != truth[key]
    return old, back


def _store(redis: object) -> RedisStore[str, str]:
    return RedisStore(redis, namespace="shop", key_type=str, value_type=str)  # type: ignore[arg-type]


def _key(number: int) -> str:
    return f"k{number:09}"


def main() -> int:
    """Run the races, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.warming.real_races", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="in the table")
    parser.add_argument("--hold", type=float, default=0.2, help="seconds between read and write of a page")
    parser.add_argument("--runs", type=int, default=10, help="of each guard; no guard runs once")
    parser.add_argument("--least", type=int, default=5_000, help="writes beside a run that counts")
    options = parser.parse_args()
    faults: Counter[str] = Counter()
    guards: tuple[GuardName, ...] = ("stamp", "recheck", "none")
    with (
        tempfile.TemporaryDirectory() as name,
        start_postgres() as postgres,
        start_valkey(Path(name)) as valkey,
    ):
        for guard in guards:
            left = 1 if guard == "none" else options.runs
            for seed in count_up(step=_WRITERS):
                outcome = asyncio.run(
                    race(
                        postgres.url,
                        valkey.url,
                        rows=options.rows,
                        hold=options.hold,
                        guard=guard,
                        seed=seed,
                    )
                )
                faults[guard] += outcome.old + outcome.back
                left -= outcome.writes >= options.least
                figures = f"{outcome.old} old, {outcome.back} back, {outcome.writes:,} writes"
                print(f"{guard}: {figures}, {outcome.copied.kept:,} rows kept", flush=True)  # noqa: T201 - a command
                if not left:
                    break
    return 0 if faults["none"] and not faults["stamp"] + faults["recheck"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
