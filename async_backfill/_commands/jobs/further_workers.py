"""Further workers of a job, each in a process of its own, for as long as that of this process works."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from anyio import CancelScope, current_time, open_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import Process

    from async_backfill._commands.jobs.options import Options

_GRACE: Final = 70.0
"""Seconds that a worker has for the page that it has begun: a read may take 60."""


@asynccontextmanager
async def further_workers(count: int, job: int, options: Options) -> AsyncIterator[None]:
    """Keep ``count`` further workers of a job inside ``async with``; at its end they end after their pages.

    Each waits until the job runs. What went wrong in one is a line on standard error, at the end.
    """
    words = ["work", str(job), "--wait", "--state", options.state, "--by", options.who]
    command = [sys.executable, "-m", "async_backfill", "jobs", *words]
    processes: list[Process] = []
    with tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace") as said:
        try:
            for _ in range(count):
                # In a session of its own: Ctrl-C reaches only this process, which ends them.
                process = await open_process(
                    command, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
                )
                processes.append(process)
            yield
        finally:
            await _end(processes)
            said.seek(0)
            for line in said:
                if line.startswith(("error:", "warning:")) and sys.stderr is not None:
                    print(line, end="", file=sys.stderr)


async def _end(processes: list[Process]) -> None:
    with CancelScope(deadline=current_time() + _GRACE, shield=True):
        for process in processes:
            with suppress(ProcessLookupError):
                process.terminate()
        for process in processes:
            await process.wait()
    for process in processes:
        if process.returncode is None:
            process.kill()
