"""Verifications that are begun from a page: each in a process of its own, one at a time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope, Event, create_task_group, move_on_after, open_process
from anyio.streams.text import TextReceiveStream

from async_backfill._jobs._state.naming import STATE_VARIABLE
from async_backfill._runner.wording import one_line
from async_backfill.admin._refusals import RefusedError, logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import ByteReceiveStream, Process

    from async_backfill.admin._background import Background
    from async_backfill.jobs import Jobs

_PROGRESS: Final = re.compile(r"compared so far: ([0-9,]+) rows")
_MOST_LINES: Final = 30
_LONGEST_LINE: Final = 2_000
_GRACE: Final = 10.0
_TAKEN_BACK: Final = "its verification was ended"
_BUSY: Final = "Job {} is being verified: one at a time, so wait for it or end it."


@dataclass(slots=True, kw_only=True)
class Verification:
    """A verification that was begun here.

    ``compared``
        rows so far.
    ``code``
        the exit code of its process; ``None`` while it goes on.
    ``said``
        what it found, in the words of ``jobs verify``.
    ``asked_to_end``
        by whom, if by anybody.
    """

    job: int
    by: str
    since: float
    is_all: bool
    repairs: bool
    compared: int = 0
    code: int | None = None
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_LINES))
    asked_to_end: str | None = None
    over: Event = field(default_factory=Event)
    process: Process | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it in plain JSON types."""
        names = ("job", "by", "since", "is_all", "repairs", "compared", "code", "asked_to_end")
        return {name: getattr(self, name) for name in names} | {"said": list(self.said)}


class Verifications:
    """Begins verifications and ends them: in processes, as they read both ends for as long as that takes.

    So they take nothing of the loop that answers requests, and may run out of memory or hang by themselves.
    They survive that nobody looks, and end with the server.

    :param state: the file that keeps the jobs; without it nothing can be verified.
    """

    def __init__(self, jobs: Jobs, state: str | None, background: Background) -> None:
        self._jobs = jobs
        self._state = state
        self._background = background
        self._last: Verification | None = None

    @property
    def is_possible(self) -> bool:
        """Whether a verification can be begun from the page."""
        return self._state is not None and self._background.is_running

    def of(self, job_id: int) -> Verification | None:
        """Return the one of a job that goes on, or was the last of all that were begun here."""
        return self._last if self._last is not None and self._last.job == job_id else None

    async def begin(self, job_id: int, *, by: str, is_all: bool, repairs: bool) -> None:
        """Begin to verify a job.

        :raises RefusedError: when one goes on already, or none can be begun here.
        """
        if not self.is_possible:
            raise RefusedError(403, "This page cannot verify: `async-backfill jobs verify` does.")
        status = (await self._jobs.status(job_id)).status
        if self._last is not None and self._last.code is None:
            raise RefusedError(409, _BUSY.format(self._last.job))
        if status == "verifying":
            raise RefusedError(409, _BUSY.format(job_id))
        one = Verification(job=job_id, by=by, since=time.time(), is_all=is_all, repairs=repairs)
        self._background.start(partial(self._run, one))
        self._last = one

    async def end(self, job_id: int, *, by: str) -> None:
        """Let the verification of a job end: soon by itself, and after some seconds by force.

        A job that was complete is paused then, as nobody knows whether it is done.
        """
        one = self.of(job_id)
        if one is None or one.code is not None:
            raise RefusedError(409, "No verification that was begun here goes on.")
        if one.asked_to_end is None:
            one.asked_to_end = by
            self._background.start(partial(self._see_to_its_end, one, by))

    async def _see_to_its_end(self, one: Verification, by: str) -> None:
        try:
            if (await self._jobs.status(one.job)).status == "verifying":
                await self._jobs.pause(one.job, by=by, reason=_TAKEN_BACK)
                with move_on_after(_GRACE):
                    await one.over.wait()
        except Exception as error:  # noqa: BLE001 - it is ended all the same
            logger().warning("the state of job %d cannot be changed: %s", one.job, error)
        await _end(one)

    async def _run(self, one: Verification) -> None:
        try:
            one.process = process = await open_process(
                self._command(one),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, STATE_VARIABLE: str(self._state)},
            )
            if one.asked_to_end is not None:
                process.terminate()
            async with create_task_group() as group:
                for stream, line in (
                    (process.stdout, one.said.append),
                    (process.stderr, partial(_told, one)),
                ):
                    assert stream is not None  # noqa: S101 - both are pipes
                    group.start_soon(_read, stream, line)
            await process.wait()
        except OSError as error:
            one.said.append(f"it could not be begun: {error}")
        finally:
            with CancelScope(shield=True):
                await _end(one)
                one.code = 1 if one.process is None else one.process.returncode
                one.over.set()
                if one.process is not None:
                    await one.process.aclose()

    def _command(self, one: Verification) -> list[str]:
        words = [sys.executable, "-m", "async_backfill", "jobs", "verify", str(one.job), "--watch"]
        words.append(f"--by={one.by}")
        return [*words, *(["--all"] if one.is_all else []), *(["--repair"] if one.repairs else [])]


async def _read(stream: ByteReceiveStream, line: Callable[[str], object]) -> None:
    """Give each line of ``stream`` to ``line``, as far as it is not very long."""
    rest = ""
    async for text in TextReceiveStream(stream, errors="replace"):
        *lines, rest = (rest + text).split("\n")
        for each in lines:
            line(one_line(each[:_LONGEST_LINE]))
        rest = rest[:_LONGEST_LINE]
    if rest:
        line(one_line(rest))


def _told(one: Verification, line: str) -> None:
    """Take note of how far it is, or of a warning or an error."""
    if found := _PROGRESS.fullmatch(line):
        one.compared = int(found[1].replace(",", ""))
    else:
        one.said.append(line)


async def _end(one: Verification) -> None:
    """End a process in order, or by force if it does not."""
    process = one.process
    if process is None or process.returncode is not None:
        return
    process.terminate()
    with move_on_after(_GRACE):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
