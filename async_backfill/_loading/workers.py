"""A pool of worker tasks that loads run in: started when needed, and reused."""

from __future__ import annotations

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
    """A task that runs jobs, and what others must know of it.

    ``job``
        a job whose first step was taken for this task while it slept.
    ``interrupt``
        called with an exception that is raised into the task before it can go on with ``job``.
    """

    __slots__ = ("interrupt", "job", "scope", "task", "woken")

    def __init__(self, scope: CancelScope, task: Task[Any] | None, woken: Signal) -> None:
        self.scope = scope
        self.task = task
        self.woken = woken
        self.job: Job | None = None
        self.interrupt: Callable[[BaseException], None] | None = None


class Workers(Generic[Job]):
    """Runs the jobs of a queue, at most ``limit`` of them at once.

    :param take: removes the next job from the queue and returns it, or ``None`` when there is none.
    :param run: runs a job in the cancel scope of its task. While it runs it may cancel the scope and set
        its deadline. Returns ``False`` when the task must end after this job.
    :param limit: jobs at once; a job that waits for another one (see `lend`) does not count.
    :param spawn: starts a task.
    :param signal: returns a new signal.
    :param running_task: returns the current asyncio task, which `borrow` hands out; ``None`` elsewhere.
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
        self._abandoned = 0
        self._eager_limit = limit
        self._asleep: list[Worker[Job]] = []
        self._running_task = running_task
        self._all_asleep: Signal | None = None
        self._was_refused = False

    def wake(self) -> bool:
        """Start or wake one more task, if the limit allows it, and return whether it does.

        Call this once for each new job.
        """
        if self._awake - self._lent >= self._limit:
            self._was_refused = True
            return False
        self._awake += 1
        if self._asleep:
            self._asleep.pop().woken.set()
        else:
            self._spawn(self._work)
        return True

    def borrow(self) -> Worker[Job] | None:
        """Reserve a sleeping task and return it, or ``None``; `give_back` or `assign` must follow."""
        if not self._asleep or self._awake - self._lent >= self._eager_limit:
            return None
        self._awake += 1
        self._was_refused = False
        return self._asleep.pop()

    def give_back(self, worker: Worker[Job]) -> None:
        """Return a borrowed task, which goes on sleeping."""
        self._awake -= 1
        self._asleep.append(worker)
        if self._was_refused:
            self.wake()
        if self._all_asleep is not None:
            self._tell()

    def assign(
        self, worker: Worker[Job], job: Job, interrupt: Callable[[BaseException], None] | None
    ) -> None:
        """Wake a borrowed task to finish ``job``; see `Worker`."""
        worker.job, worker.interrupt = job, interrupt
        worker.woken.set()

    def lend(self, places: int) -> None:
        """Exclude a job that waits for another one from the limit (1), or include it again (-1)."""
        self._lent += places
        if places > 0:
            self.wake()

    def abandon(self, *, is_lent: bool) -> None:
        """Give the place of a job that nobody waits for to another one; it no longer counts as a job.

        While there are as many such jobs as places, `borrow` returns no task.

        :param is_lent: whether the place of the job is lent already; the end of that must not be told.
        """
        self._abandoned += 1
        self._eager_limit = self._limit if self._abandoned < self._limit else 0
        if not is_lent:
            self.lend(1)
        self._tell()

    def outlived(self) -> None:
        """Take note that a job that was abandoned has ended."""
        self._abandoned -= 1
        self._eager_limit = self._limit if self._abandoned < self._limit else 0
        self._lent -= 1

    async def idle(self) -> None:
        """Wait until no task has a job that somebody may wait for."""
        await checkpoint()
        if self._awake > self._abandoned:
            if self._all_asleep is None:
                self._all_asleep = self._signal()
            await self._all_asleep.wait()

    async def _work(self, job: Job | None = None) -> None:
        goes_on = True
        try:
            # One scope for all jobs: a scope for each would cost more than the rest of a load. A scope
            # that was used cannot be used again, so then the task ends: decision 31 in notes.md.
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
                        job, worker.job, worker.interrupt = worker.job, None, None
        finally:
            self._awake -= 1
            if not goes_on:
                self._hand_over()
            self._tell()

    def _hand_over(self) -> None:
        """Start a task for the next job, if there is one, in place of this one, which must end."""
        job = self._take() if self._awake - self._lent < self._limit else None
        if job is not None:
            self._awake += 1
            self._spawn(partial(self._work, job))

    async def _sleep(self, worker: Worker[Job]) -> None:
        """Wait until `wake` or `borrow` counts this task as awake."""
        worker.woken = self._signal()
        self._asleep.append(worker)
        self._awake -= 1
        self._tell()
        try:
            await worker.woken.wait()
        except BaseException as error:
            if worker in self._asleep:
                self._asleep.remove(worker)
                self._awake += 1  # `_work` subtracts it again
            if worker.job is None or worker.interrupt is None:
                raise
            worker.interrupt(error)

    def _tell(self) -> None:
        if self._awake <= self._abandoned and self._all_asleep is not None:
            self._all_asleep.set()
            self._all_asleep = None
