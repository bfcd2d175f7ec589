"""A7: a pause, and a panic, while a write hangs: obeyed within a page and a second."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace

import anyio
from anyio import create_task_group, sleep, to_thread

from async_backfill.jobs import Jobs, JobSettings, JobStatus
from tests.jobs.acceptance.place import Place, Shown, anew, approved, differing, make_table, worked
from tests.servers.tcp_proxy import TcpProxy

PAGE = 0.5


@asynccontextmanager
async def _hanging(place: Place, proxy: TcpProxy | None) -> AsyncIterator[None]:
    """Let no write of the store come back, inside the block."""
    if proxy is not None:
        proxy.drop()
        yield
        await proxy.heal()
        return
    with closing(
        sqlite3.connect(place.store["file"], check_same_thread=False, isolation_level=None)
    ) as other:
        await to_thread.run_sync(other.execute, "BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def _pages(jobs: Jobs) -> int:
    return (await jobs.status(1)).pages


async def _run(place: Place, how: str) -> tuple[float, int]:
    """Return the seconds until the job was paused, and how many rows are wrong once it is done."""
    async with AsyncExitStack() as stack:
        its, proxy = place, None
        if place.valkey is not None:
            proxy = await stack.enter_async_context(TcpProxy("127.0.0.1", place.valkey.port))
            url = place.store["url"].replace(f":{place.valkey.port}/", f":{proxy.port}/")
            its = replace(place, store=place.store | {"url": url})
        settings = JobSettings(batch=500, lanes=2, rate=5_000.0)
        await approved(its, its.spec(settings=settings, shards=8))
        jobs = await stack.enter_async_context(Jobs(its.state))
        async with create_task_group() as tasks:
            tasks.start_soon(lambda: worked(its, 1, owner="w1"))
            while await _pages(jobs) < 3:  # noqa: ASYNC110 - the state says it
                await sleep(0.02)
            async with _hanging(its, proxy):
                while (await _pages(jobs)) != (await sleep(0.5) or await _pages(jobs)):
                    pass  # a page of before is still kept
                begin = time.monotonic()
                if how == "panic":
                    await jobs.panic(by="bob", reason="acceptance")
                else:
                    await jobs.pause(1, by="bob", reason="acceptance")
                while (await jobs.status(1)).status is not JobStatus.PAUSED:  # noqa: ASYNC110 - as above
                    await sleep(0.01)
                seconds = time.monotonic() - begin
        await jobs.resume(1, by="bob")
        record = await worked(its, 1, owner="w2")
        assert record.status is JobStatus.DONE, record
        return seconds, sum(await differing(its, 1))


def show(place: Place, *, rows: int, trials: int) -> Shown:
    """Pause and panic so many times each."""
    anyio.run(make_table, place, rows)
    found: dict[str, list[float]] = {"pause": [], "panic": []}
    wrong = 0
    for how, seconds in found.items():
        for number in range(trials):
            with anew(place, f"{how}{number}") as its:
                took, more = anyio.run(_run, its, how)
                seconds.append(took)
                wrong += more
    longest = max(max(seconds) for seconds in found.values())
    said = ", ".join(f"{how} {' '.join(f'{one:.2f}' for one in seconds)} s" for how, seconds in found.items())
    return Shown(longest <= PAGE + 1.0 and not wrong, f"{said}, {wrong} rows wrong afterwards")
