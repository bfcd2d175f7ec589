"""Run trials in worker processes, which receive the workload once and always end with their parent."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait as wait_for_end
from threading import Thread
from typing import TYPE_CHECKING

from anyio import CancelScope, to_thread

from async_backfill._runner.tuning.trial import Result, Workload, run_taken, take
from async_backfill.errors import AsyncBackfillError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from async_backfill._runner.scenario.model import Settings


class WorkerError(AsyncBackfillError):
    """A worker process ended before its work was done, or could not be started."""


class Workers:
    """A pool of processes that run trials; made by `open_workers`."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    async def run(self, settings: Sequence[Settings], progress: Callable[[int], None]) -> list[Result]:
        """Return the result of each of ``settings``, in their order.

        :param progress: a function that is called now and then with the number of finished trials.
        :raises WorkerError: when a worker process dies or cannot be started.
        """
        try:
            trials = self._submit(settings)
            waiting = set(trials)
            while waiting:
                # A thread abandoned after Ctrl-C ends with the workers it waits for.
                done, waiting = await to_thread.run_sync(
                    partial(wait, waiting, return_when=FIRST_COMPLETED), abandon_on_cancel=True
                )
                for trial in done:
                    trial.result()
                progress(len(trials) - len(waiting))
            return [trial.result() for trial in trials]
        except BrokenProcessPool as error:
            raise WorkerError(
                "a worker process ended unexpectedly, perhaps out of memory: try fewer --jobs"
            ) from error

    def _submit(self, settings: Sequence[Settings]) -> list[Future[Result]]:
        try:
            with _ctrl_c_held_back():
                return [self._executor.submit(run_taken, each) for each in settings]
        except OSError as error:
            raise WorkerError(f"a worker process cannot be started: {error.strerror or error}") from error


@asynccontextmanager
async def open_workers(workload: Workload, *, jobs: int) -> AsyncIterator[Workers]:
    """Start ``jobs`` processes with ``workload`` for ``with``; they have ended when the block has ended."""
    others = set(active_children())
    executor = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(workload,)
    )
    try:
        yield Workers(executor)
    except BaseException:
        for process in set(active_children()) - others:
            process.kill()
        raise
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(partial(executor.shutdown, cancel_futures=True))


def _begin(workload: Workload) -> None:
    """Initialise this worker process."""
    take(workload)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent ends: a killed parent cannot stop its workers."""
    if (parent := parent_process()) is not None:
        wait_for_end([parent.sentinel])
        os._exit(1)


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which a terminal sends to them too; the parent ends them.

    A process inherits blocked signals, so it ignores Ctrl-C from its first instruction on.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
