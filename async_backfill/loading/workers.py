"""The tasks that loads run in: as many as are needed, reused rather than started for each load."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from anyio import CancelScope
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill.contracts import Spawn
    from async_backfill.loading.signals import Signal

Job = TypeVar("Job")


class Workers(Generic[Job]):
    """Runs jobs from a queue in at most ``limit`` tasks that are not themselves waiting.

    :param take: returns the next job and removes it from the queue, or ``None``.
    :param run: runs a job in the cancel scope of its task, which it may cancel and give a deadline while
        it runs; ``False`` says that the task should end rather than go on.
    :param limit: jobs at once; a job whose place is lent does not count.
    :param spawn: starts a task.
    :param signal: makes a signal.
    """

    def __init__(
        self,
        *,
        take: Callable[[], Job | None],
        run: Callable[[Job, CancelScope], Awaitable[bool]],
        limit: int,
        spawn: Spawn,
        signal: Callable[[], Signal],
    ) -> None:
        self._take = take
        self._run = run
        self._limit = limit
        self._spawn = spawn
        self._signal = signal
        self._awake = 0
        self._lent = 0
        self._asleep: list[Signal] = []
        self._all_asleep: Signal | None = None

    def wake(self) -> None:
        """Put one more task to work, if the limit allows it; call it once for each new job."""
        if self._awake - self._lent >= self._limit:
            return
        self._awake += 1
        if self._asleep:
            self._asleep.pop().set()
        else:
            self._spawn(self._work)

    def lend(self, places: int) -> None:
        """Count a job that waits for another one out of the limit (1), or in again (-1)."""
        self._lent += places
        if places > 0:
            self.wake()

    async def idle(self) -> None:
        """Wait until every task has run out of jobs."""
        await checkpoint()
        if self._awake:
            if self._all_asleep is None:
                self._all_asleep = self._signal()
            await self._all_asleep.wait()

    async def _work(self, job: Job | None = None) -> None:
        goes_on = True
        try:
            # One scope for all jobs: entering one for each takes longer than all else about a load.
            with CancelScope() as scope:
                while goes_on:
                    if job is None and self._awake - self._lent <= self._limit:
                        job = self._take()
                    if job is not None:
                        goes_on = await self._run(job, scope) and not scope.cancel_called
                        job = None
                    elif len(self._asleep) >= self._limit:
                        return
                    else:
                        await self._sleep()
        finally:
            self._awake -= 1
            if not goes_on:
                self._hand_over()
            self._tell()

    def _hand_over(self) -> None:
        """Start another task for the next job, if there is one, in place of one that must end."""
        job = self._take() if self._awake - self._lent < self._limit else None
        if job is not None:
            self._awake += 1
            self._spawn(partial(self._work, job))

    async def _sleep(self) -> None:
        """Wait until `wake` counts this task in again."""
        woken = self._signal()
        self._asleep.append(woken)
        self._awake -= 1
        self._tell()
        try:
            await woken.wait()
        except BaseException:
            if woken in self._asleep:
                self._asleep.remove(woken)
                self._awake += 1  # `_work` counts it out
            raise

    def _tell(self) -> None:
        if not self._awake and self._all_asleep is not None:
            self._all_asleep.set()
            self._all_asleep = None
