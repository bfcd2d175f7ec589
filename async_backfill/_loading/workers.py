"""The tasks that loads run in: as many as are needed, reused rather than started for each load."""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio import CancelScope
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Callable, Coroutine

    from async_backfill._loading.signals import Signal
    from async_backfill.contracts import Spawn

Job = TypeVar("Job")


class Worker(Generic[Job]):
    """A task that runs jobs, as far as others must know it.

    ``job`` is one that was begun in its name while it slept; ``interrupt`` is called with what is raised
    into the task before it can go on with that.
    """

    __slots__ = ("context", "interrupt", "job", "scope", "task", "woken")

    def __init__(self, scope: CancelScope, task: Task[Any] | None, woken: Signal) -> None:
        self.scope = scope
        self.task = task
        self.context = copy_context()
        self.woken = woken
        self.job: Job | None = None
        self.interrupt: Callable[[BaseException], None] | None = None


class Workers(Generic[Job]):
    """Runs jobs from a queue in at most ``limit`` tasks that are not themselves waiting.

    :param take: returns the next job and removes it from the queue, or ``None``.
    :param run: runs a job in the cancel scope of its task, which it may cancel and give a deadline while
        it runs; ``False`` says that the task should end rather than go on.
    :param limit: jobs at once; a job whose place is lent does not count.
    :param spawn: starts a task.
    :param signal: makes a signal.
    :param running_task: returns the task of asyncio that calls it, for those who `borrow` one.
    """

    def __init__(
        self,
        *,
        take: Callable[[], Job | None],
        run: Callable[[Job, CancelScope], Coroutine[Any, Any, bool]],
        limit: int,
        spawn: Spawn,
        signal: Callable[[], Signal],
        running_task: Callable[[], Task[Any] | None] = lambda: None,
    ) -> None:
        self._take = take
        self._run = run
        self._limit = limit
        self._spawn = spawn
        self._signal = signal
        self._awake = 0
        self._lent = 0
        self._asleep: list[Worker[Job]] = []
        self._running_task = running_task
        self._all_asleep: Signal | None = None
        self._was_refused = False

    def wake(self) -> None:
        """Put one more task to work, if the limit allows it; call it once for each new job."""
        if self._awake - self._lent >= self._limit:
            self._was_refused = True
            return
        self._awake += 1
        if self._asleep:
            self._asleep.pop().woken.set()
        else:
            self._spawn(self._work)

    def borrow(self) -> Worker[Job] | None:
        """Return a task that sleeps, counted in, if the limit allows it; `give_back` or `assign` it."""
        if not self._asleep or self._awake - self._lent >= self._limit:
            return None
        self._awake += 1
        self._was_refused = False
        return self._asleep.pop()

    def give_back(self, worker: Worker[Job]) -> None:
        """Let a borrowed task sleep on."""
        self._awake -= 1
        self._asleep.append(worker)
        if self._was_refused:
            self.wake()
        self._tell()

    def assign(
        self, worker: Worker[Job], job: Job, interrupt: Callable[[BaseException], None] | None
    ) -> None:
        """Have a borrowed task go on with ``job``; see `Worker`."""
        worker.job, worker.interrupt = job, interrupt
        worker.woken.set()

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
                worker: Worker[Job] = Worker(scope, self._running_task(), self._signal())
                while goes_on:
                    if job is None and self._awake - self._lent <= self._limit:
                        job = self._take()
                    if job is not None:
                        goes_on = await self._run(job, scope) and not scope.cancel_called
                        job = None
                    elif len(self._asleep) >= self._limit:
                        return
                    else:
                        await self._sleep(worker)
                        job, worker.job = worker.job, None
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

    async def _sleep(self, worker: Worker[Job]) -> None:
        """Wait until `wake` or `borrow` counts this task in again."""
        worker.woken = self._signal()
        self._asleep.append(worker)
        self._awake -= 1
        self._tell()
        try:
            await worker.woken.wait()
        except BaseException as error:
            if worker in self._asleep:
                self._asleep.remove(worker)
                self._awake += 1  # `_work` counts it out
            if worker.job is None or worker.interrupt is None:
                raise
            worker.interrupt(error)

    def _tell(self) -> None:
        if not self._awake and self._all_asleep is not None:
            self._all_asleep.set()
            self._all_asleep = None
