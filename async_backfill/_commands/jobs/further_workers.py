"""Further workers of a job, each in a process of its own, for as long as that of this process works."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from anyio import CancelScope, current_time, open_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import IO

    from anyio.abc import Process

    from async_backfill._commands.jobs.options import Options

_GRACE: Final = 70.0
"""Seconds that a worker has for the page that it has begun: a read may take 60."""


@asynccontextmanager
async def further_workers(count: int, job: int, options: Options) -> AsyncIterator[None]:
    """Keep ``count`` further workers of a job inside ``async with``; at its end they end after their pages.

    Each waits until the job runs. Its warnings, and the error of one that has ended by itself, are lines on
    standard error at the end.
    """
    words = ["work", str(job), "--wait", "--state", options.state, "--by", options.who]
    command = [sys.executable, "-m", "async_backfill", "jobs", *words]
    workers: list[tuple[Process, IO[str]]] = []
    with ExitStack() as files:
        try:
            for _ in range(count):
                said = files.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
                # In a session of its own: Ctrl-C reaches only this process, which ends them.
                process = await open_process(
                    command, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
                )
                workers.append((process, said))
            yield
        finally:
            failed = [process for process, _ in workers if process.returncode is not None]
            await _end([process for process, _ in workers])
            for process, lines in workers:
                _tell(lines, ("warning:", "error:") if process in failed else ("warning:",))


async def _end(processes: Sequence[Process]) -> None:
    with CancelScope(deadline=current_time() + _GRACE, shield=True):
        for process in processes:
            with suppress(ProcessLookupError):
                process.terminate()
        for process in processes:
            await process.wait()
    for process in processes:
        if process.returncode is None:
            process.kill()


def _tell(said: IO[str], kinds: tuple[str, ...]) -> None:
    said.seek(0)
    for line in said:
        if line.startswith(kinds) and sys.stderr is not None:
            print(line, end="", file=sys.stderr)
