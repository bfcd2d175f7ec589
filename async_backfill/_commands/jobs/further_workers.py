"""Further workers of a job, each in a process of its own, for as long as that of this process works."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import asynccontextmanager, suppress
from signal import SIGTERM, Signals
from typing import TYPE_CHECKING, Final

from anyio import CancelScope, current_time, open_process, sleep

from async_backfill._commands.jobs.answers import GAPS, OK, PAUSED
from async_backfill._commands.telling import say
from async_backfill._common.atomic_file import reason
from async_backfill._common.tasks_aside import tasks_aside
from async_backfill._jobs._state.naming import STATE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from typing import IO

    from anyio import Event
    from anyio.abc import Process

    from async_backfill._commands.jobs.options import Options

_GRACE: Final = 70.0
"""Seconds that a worker has for the page that it has begun: a read may take 60."""

_MOST_RESTARTS: Final = 5
_WITHIN: Final = 60.0
_PAUSE: Final = 1.0
_IN_ORDER: Final = frozenset({OK, GAPS, PAUSED})


class FurtherWorkers:
    """Starts workers, and those again that die; made by `further_workers`.

    ``gave_up``
        whether one died so often that it was not started again.

    :param command, environment: what each of them is started with.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._running: dict[int, Process] = {}
        self._asked: set[int] = set()
        self._is_ending = False
        self.gave_up = False

    async def keep(self, number: int) -> None:
        """Keep the worker of that number alive until the end, or until its job needs none any more."""
        deaths: list[float] = []
        while not self._is_ending:
            try:
                failure = await self._live(number)
            except OSError as error:  # such as no more processes or open files, or no room for its lines
                failure = f"could not be started: {reason(error)}"
            if failure is None or self._is_ending:
                return
            deaths = [*(each for each in deaths if each > current_time() - _WITHIN), current_time()]
            how = f"worker {number} {failure}"
            if len(deaths) > _MOST_RESTARTS:
                self.gave_up = True
                most = f"it was started {_MOST_RESTARTS} times within {_WITHIN:g} s, and is not again"
                say(f"error: {how}; {most}")
                return
            say(f"warning: {how}; it is started again")
            await sleep(_PAUSE)

    async def pass_on(self, stop: Event) -> None:
        """Have all end after their pages when ``stop`` is set."""
        await stop.wait()
        self._terminate()

    async def end(self, *, at_once: bool) -> None:
        """End all after their pages, or those at once that were asked before, and wait for it."""
        if at_once:
            self._asked.clear()
        self._terminate()
        with CancelScope(deadline=current_time() + _GRACE, shield=True):
            for process in list(self._running.values()):
                await process.wait()
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.kill()

    def _terminate(self) -> None:
        self._is_ending = True
        for number, process in self._running.items():
            if number not in self._asked:  # a second signal would end it in the midst of its page
                self._asked.add(number)
                with suppress(ProcessLookupError):
                    process.terminate()

    async def _live(self, number: int) -> str | None:
        """Start a worker, and return how it has failed, or ``None`` when it has ended in order."""
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            code = await self._one(number, said)
            failed = code not in _IN_ORDER and not self._is_ending
            _tell(said, ("warning:", "error:") if failed else ("warning:",))
        return f"has ended: {_how(code)}" if failed else None

    async def _one(self, number: int, said: IO[str]) -> int:
        """Start a process, and return how it ended."""
        with CancelScope(shield=True):  # one that has begun is known
            # In a session of its own: Ctrl-C reaches only this process, which ends them. Its input ends with
            # this process, whatever ends that.
            process = self._running[number] = await open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=self._environment,
                start_new_session=True,
            )
        if self._is_ending:
            self._terminate()
        with CancelScope(shield=True):
            await process.wait()
            del self._running[number]
            await process.aclose()
        return process.returncode or 0


@asynccontextmanager
async def further_workers(
    count: int, job: int, options: Options, stop: Event
) -> AsyncIterator[FurtherWorkers]:
    """Keep ``count`` further workers of a job inside ``async with``; at its end they end after their pages.

    Each waits until the job runs. One that dies is said and started again, up to 5 times within a minute. Its
    warnings, and the error of one that has ended by itself, are lines on standard error when it has ended.

    :param stop: when it is set they end after their pages, too.
    """
    at_once = True
    words = ["work", str(job), "--wait", "--until-input-ends", "--by", options.who]
    command = [sys.executable, "-m", "async_backfill", "jobs", *words]
    # Not among the words, which other users of the machine see: it may hold a password.
    workers = FurtherWorkers(command, {**os.environ, STATE_VARIABLE: options.state})
    async with tasks_aside() as slots:
        slots.start_soon(workers.pass_on, stop)
        for number in range(1, count + 1):
            slots.start_soon(workers.keep, number)
        try:
            yield workers
            at_once = False
        except Exception:
            at_once = False
            raise
        finally:
            await workers.end(at_once=at_once)


def end_with_input() -> None:
    """End this process in order when its standard input ends, as it does with the process that started it."""
    threading.Thread(target=_wait_for_the_end, name="the end of input", daemon=True).start()


def _wait_for_the_end() -> None:
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {Signals(-code).name}"
    return f"killed by signal {-code}"


def _tell(said: IO[str], kinds: tuple[str, ...]) -> None:
    said.seek(0)
    for line in said:
        if line.startswith(kinds):
            say(line.rstrip("\n"))
