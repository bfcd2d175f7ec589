"""A8: the rate of a job, with any number of workers, as the state counts it while it runs."""

from __future__ import annotations

import multiprocessing
import time
from itertools import pairwise

import anyio

from async_backfill.jobs import Jobs, JobSettings
from tests.jobs.acceptance.place import Place, Shown, anew, approved, make_table, worked

LEAST, MOST, OF_A_SECOND = 0.97, 1.03, 1.05


async def _read(place: Place) -> int:
    async with Jobs(place.state) as jobs:
        return (await jobs.status(1)).counts.read


async def _pause(place: Place) -> None:
    async with Jobs(place.state) as jobs:
        await jobs.pause(1, by="bob", reason="measured")


def _work(place: Place, owner: str) -> None:
    anyio.run(lambda: worked(place, 1, owner=owner))


def _rate(place: Place, workers: int, rate: float, seconds: float) -> tuple[float, float]:
    """Return the rate over so many seconds, and of the fastest of them, as shares of what is allowed."""
    anyio.run(approved, place, place.spec(settings=JobSettings(rate=rate, lanes=1), shards=32))
    forks = multiprocessing.get_context("fork")
    processes = [forks.Process(target=_work, args=(place, f"w{number}")) for number in range(workers)]
    for process in processes:
        process.start()
    time.sleep(3.0)  # until all have begun
    looks = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        looks.append((time.monotonic(), anyio.run(_read, place)))
        time.sleep(0.1)
    anyio.run(_pause, place)
    for process in processes:
        process.join(60.0)
    (first, before), (last, after) = looks[0], looks[-1]
    of_a_second = [
        (later[1] - one[1]) / (later[0] - one[0])
        for one, later in pairwise(looks[::10])
    ]  # fmt: skip
    return (after - before) / (last - first) / rate, max(of_a_second) / rate


def show(place: Place, *, rate: float, seconds: float, workers: tuple[int, ...] = (1, 2, 4)) -> Shown:
    """Copy at a rate for so many seconds, with each number of workers."""
    anyio.run(make_table, place, int(rate * (seconds + 20.0)))
    said, holds = [], True
    for count in workers:
        with anew(place, f"rate{count}") as its:
            whole, fastest = _rate(its, count, rate, seconds)
        holds = holds and LEAST <= whole <= MOST and fastest <= OF_A_SECOND
        said.append(f"{count} workers {whole:.3f}, fastest second {fastest:.3f}")
    return Shown(holds, f"{rate:,.0f} rows a second for {seconds:g} s: {'; '.join(said)}")
