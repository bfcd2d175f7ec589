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

    from async_backfill.contracts import Spawn
    from async_backfill.loading.first_step import FirstSteps, Rest
    from async_backfill.loading.signals import Signal

Job = TypeVar("Job")


class Worker:
    """A task that runs jobs: what is needed to start one of them in its name while it sleeps."""

    __slots__ = ("context", "must_end", "rest", "scope", "task", "woken")

    def __init__(self, scope: CancelScope, task: Task[Any] | None, woken: Signal) -> None:
        self.scope = scope
        self.task = task
        self.context = copy_context()
        self.woken = woken
        self.rest: Rest[bool] | None = None
        self.must_end = False


class Workers(Generic[Job]):
    """Runs jobs from a queue in at most ``limit`` tasks that are not themselves waiting.

    :param take: returns the next job and removes it from the queue, or ``None``.
    :param run: runs a job in the cancel scope of its task, which it may cancel and give a deadline while
        it runs; ``False`` says that the task should end rather than go on.
    :param limit: jobs at once; a job whose place is lent does not count.
    :param spawn: starts a task.
    :param signal: makes a signal.
    :param first_steps: takes the first step of a job that is run at once; ``None`` where that is not
        possible.
    """

    def __init__(
        self,
        *,
        take: Callable[[], Job | None],
        run: Callable[[Job, CancelScope], Coroutine[Any, Any, bool]],
        limit: int,
        spawn: Spawn,
        signal: Callable[[], Signal],
        first_steps: FirstSteps | None = None,
    ) -> None:
        self._take = take
        self._run = run
        self._limit = limit
        self._spawn = spawn
        self._signal = signal
        self._awake = 0
        self._lent = 0
        self._asleep: list[Worker] = []
        self._first_steps = first_steps
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

    def run_at_once(self, job: Job) -> bool:
        """Start ``job`` in the name of a sleeping task, if there is one and nobody else runs in this turn.

        Returns whether it was: it has ended then, or goes on in that task.
        """
        steps = self._first_steps
        if steps is None or not self._asleep or self._awake - self._lent >= self._limit:
            return False
        worker = self._asleep[-1]
        if worker.task is None or not steps.may_take_one():
            return False
        self._asleep.pop()
        self._awake += 1
        self._was_refused = False
        goes_on, worker.rest = steps.take(self._run(job, worker.scope), worker.task, worker.context.copy())
        if goes_on and not worker.scope.cancel_called:
            self._awake -= 1
            self._asleep.append(worker)
            if self._was_refused:
                self.wake()
            self._tell()
        else:
            worker.must_end = worker.rest is None
            worker.woken.set()
        return True

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
                task = None if self._first_steps is None else self._first_steps.running_task()
                worker = Worker(scope, task, self._signal())
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
                        goes_on = await self._go_on(worker)
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

    async def _sleep(self, worker: Worker) -> None:
        """Wait until `wake` or `run_at_once` counts this task in again."""
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
            if worker.rest is None:
                raise
            worker.rest.interrupted = error

    @staticmethod
    async def _go_on(worker: Worker) -> bool:
        """Do what is left of a job that was started at once; return whether the task may go on."""
        rest, worker.rest = worker.rest, None
        if rest is None:
            return not worker.must_end
        return await rest and not worker.scope.cancel_called

    def _tell(self) -> None:
        if not self._awake and self._all_asleep is not None:
            self._all_asleep.set()
            self._all_asleep = None
