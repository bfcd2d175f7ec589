"""A9 and A15: what a second process brings, of a source whose pages take a while, and with one slow shard."""

from __future__ import annotations

import multiprocessing
import time
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
from anyio import sleep

from async_backfill._jobs._packing import unpack
from async_backfill.jobs import JobEnds, Jobs, JobSettings
from tests.jobs.acceptance.place import Place, Shown, anew, approved, differing, make_table, worked

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST, MOST_IDLE, PAGE, TIMES = 1.6, 0.05, 200, 5.0


class _Late:
    """Rows of which each page takes so many seconds more, and those of the first shard some times that."""

    def __init__(self, rows: Any, seconds: float, slow: float, first_end: Any) -> None:
        self._rows = rows
        self._seconds = seconds
        self._slow = slow
        self._first_end = first_end
        self.cuts = rows.cuts

    async def rows(self, *, after: Any = None, until: Any = None, page: int = 5000) -> Any:
        seconds = self._seconds * (self._slow if until == self._first_end else 1.0)
        async with aclosing(self._rows.rows(after=after, until=until, page=page)) as pages:
            async for each in pages:
                await sleep(seconds)
                yield each


def _work(place: Place, number: int, seconds: float, slow: float) -> None:
    async def main() -> None:
        async with Jobs(place.state) as jobs:
            cuts = (await jobs.status(1)).plan.cuts

        def late(ends: JobEnds[Any, Any]) -> JobEnds[Any, Any]:
            return replace(ends, rows=_Late(ends.rows, seconds, slow, unpack(cuts[0])))

        await worked(place, 1, owner=f"w{number}", wrap=late)

    anyio.run(main)


async def _watched(place: Place) -> tuple[float, Mapping[str, float]]:
    """Return for how long the shards were read, from the first one taken, and until when by each worker."""
    begin = end = 0.0
    last: dict[str, float] = {}
    async with Jobs(place.state) as jobs:
        while True:
            shards = (await jobs.status(1)).shards
            now = time.monotonic()
            owners = {shard.owner.split("/")[0] for shard in shards if shard.owner}
            if owners and not begin:
                begin = now
            last |= dict.fromkeys(owners, now)
            if all(shard.status == "done" for shard in shards):
                end = now
                break
            await sleep(0.01)
    return end - begin, {owner: end - at for owner, at in last.items()}


def _read(
    place: Place, workers: int, *, shards: int, seconds: float, slow: float = 1.0
) -> tuple[float, float, int]:
    """Return for how long shards were read, the idle share of workers, and how many rows are not right."""
    settings = JobSettings(batch=PAGE, lanes=1)
    anyio.run(lambda: approved(place, place.spec(settings=settings, shards=shards)))
    forks = multiprocessing.get_context("fork")
    processes = [forks.Process(target=_work, args=(place, each, seconds, slow)) for each in range(workers)]
    for process in processes:
        process.start()
    took, idle = anyio.run(_watched, place)
    for process in processes:
        process.join(120.0)
    wrong, missing = anyio.run(differing, place, 1)
    return took, sum(idle.values()) / took / workers, wrong + missing


def show_two(place: Place, *, rows: int) -> Shown:
    """Copy with one process and with two a source of which a page takes 20 ms."""
    anyio.run(make_table, place, rows)
    took, wrong = [], 0
    for workers in (1, 2):
        with anew(place, f"workers{workers}") as its:
            seconds, _, others = _read(its, workers, shards=32, seconds=0.02)
        took.append(seconds)
        wrong += others
    times = took[0] / took[1]
    figures = f"{rows:,} rows in pages of {PAGE}: {took[0]:.2f} s with one, {took[1]:.2f} s with two"
    return Shown(
        times >= LEAST and not wrong, f"{figures}, {times:.2f} times as fast; {wrong} rows not right"
    )


def show_slow(place: Place, *, rows: int) -> Shown:
    """Copy with two processes a source of which one shard takes five times as long."""
    anyio.run(make_table, place, rows)
    said, holds = [], True
    for shards in (2, 32):
        with anew(place, f"shards{shards}") as its:
            took, idle, wrong = _read(its, 2, shards=shards, seconds=0.02, slow=TIMES)
        holds = holds and not wrong and (shards == 2 or idle <= MOST_IDLE)
        said.append(f"{shards} shards in {took:.2f} s, idle {idle:.1%}, {wrong} rows not right")
    return Shown(holds, f"one of them {TIMES:g} times as slow: {'; '.join(said)}")
