"""``python -m tests.warming.real_races``: copies beside writers in processes of their own, on real servers.

Each page is held between its read and its write. Writers change and delete rows of PostgreSQL, and put or
remove them in Valkey, as a cache of the product does; values are numbers that only grow. At the end each key
of the store is compared with its row. It exits 1 when a guarded copy left an old value or brought a row back,
or when a copy without a guard did neither: then the runs prove nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import count as count_up
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import asyncpg

from async_backfill.redis.connection import connect
from async_backfill.redis.store import RedisStore
from async_backfill.sources.sql import SQLSource
from async_backfill.warming import CopyProgress, copy_rows
from tests.servers.postgres import start_postgres
from tests.servers.valkey import start_valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    GuardName = Literal["stamp", "version", "recheck", "none"]

_TTL = 3600.0
_WRITERS = 3
_PAGE = 2000
_GUARDS = ("stamp", "version", "recheck", "none")
_TABLE = """
    DROP TABLE IF EXISTS t; CREATE TABLE t (id text PRIMARY KEY, value text NOT NULL);
    CREATE SEQUENCE IF NOT EXISTS versions
"""
_UPDATE = "UPDATE t SET value = nextval('versions')::text WHERE id = $1 RETURNING value"


class Place(NamedTuple):
    """The servers, the size of the table, and the guard."""

    postgres: str
    valkey: str
    rows: int
    guard: GuardName


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one copy left behind: ``old`` values and deleted rows that came ``back``, beside ``writes``."""

    copied: CopyProgress[str]
    writes: int
    old: int
    back: int


def write(place: Place, seed: int, ends: Event, count: Synchronized[int]) -> None:
    """Change rows, and tell the store, until ``ends`` is set; the work of one process."""
    asyncio.run(_write(place, random.Random(seed), ends, count))


async def _write(place: Place, draw: random.Random, ends: Event, count: Synchronized[int]) -> None:
    database = await asyncpg.connect(place.postgres)
    async with connect(place.valkey) as redis:
        store = _store(redis, place.guard)
        while not ends.is_set():
            key = _key(draw.randrange(place.rows))
            if draw.random() < 0.05:
                await database.execute("DELETE FROM t WHERE id = $1", key)
                await store.delete_many([key])
            else:
                value = await database.fetchval(_UPDATE, key)
                if value is not None and draw.random() < 0.5:
                    await store.set_many({key: value}, ttl=_TTL)
                else:
                    await store.delete_many([key])
            with count.get_lock():
                count.value += 1
    await database.close()


async def race(place: Place, *, hold: float, seed: int) -> Outcome:
    """Copy all rows beside writers, each page held for ``hold`` seconds."""
    rows, guard = place.rows, place.guard
    database = await asyncpg.connect(place.postgres)
    await database.execute(_TABLE)
    keys = [(_key(number),) for number in range(rows)]
    await database.executemany("INSERT INTO t VALUES ($1, '0')", keys)
    spawn = multiprocessing.get_context("spawn")
    ends, count = spawn.Event(), spawn.Value("i", 0)
    processes = [
        spawn.Process(target=write, args=(place, seed + number, ends, count), daemon=True)
        for number in range(_WRITERS)
    ]
    async with (
        connect(place.valkey) as redis,
        SQLSource[str, str].connect(place.postgres, "t", key="id", value="value") as source,
    ):
        store = _store(redis, guard)
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


def _store(redis: object, guard: GuardName) -> RedisStore[str, str]:
    return RedisStore(
        redis,  # type: ignore[arg-type]
        namespace="shop",
        key_type=str,
        value_type=str,
        version_of=int if guard == "version" else None,
    )


def _key(number: int) -> str:
    return f"k{number:09}"


def main() -> int:
    """Run the races, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.warming.real_races", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="in the table")
    parser.add_argument("--hold", type=float, default=0.2, help="seconds between read and write of a page")
    parser.add_argument("--runs", type=int, default=10, help="of each guard; no guard runs once")
    parser.add_argument("--least", type=int, default=5_000, help="writes beside a run that counts")
    parser.add_argument("--guards", nargs="+", default=_GUARDS, choices=_GUARDS)
    options = parser.parse_args()
    faults: Counter[str] = Counter()
    guards: tuple[GuardName, ...] = options.guards
    with (
        tempfile.TemporaryDirectory() as name,
        start_postgres() as postgres,
        start_valkey(Path(name)) as valkey,
    ):
        for guard in guards:
            left = 1 if guard == "none" else options.runs
            for seed in count_up(step=_WRITERS):
                place = Place(postgres.url, valkey.url, options.rows, guard)
                outcome = asyncio.run(race(place, hold=options.hold, seed=seed))
                faults[guard] += outcome.old + outcome.back
                left -= outcome.writes >= options.least
                figures = f"{outcome.old} old, {outcome.back} back, {outcome.writes:,} writes"
                print(f"{guard}: {figures}, {outcome.copied.kept:,} rows kept", flush=True)  # noqa: T201 - a command
                if not left:
                    break
    has_teeth = "none" not in guards or faults.pop("none") > 0
    return 0 if has_teeth and not faults.total() else 1


if __name__ == "__main__":
    raise SystemExit(main())
