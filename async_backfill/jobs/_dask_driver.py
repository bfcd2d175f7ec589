"""Who hands out the shards of a job, one a task: looks at the state, and never relies on what Dask says.

A task is a number, so one too many costs nothing: it finds its shard done, or held, and returns. So a shard
that is left and of which no task is under way is handed out again, whatever became of the task before.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

from anyio import current_time, move_on_after, sleep, sleep_forever

from async_backfill._common.error_text import one_line
from async_backfill._common.line_a_second import LineASecond
from async_backfill._jobs._errors import JobError, JobRefusedError, JobStateError
from async_backfill._jobs._records import LEFT, Wanted
from async_backfill._jobs._report import worker_of
from async_backfill._jobs._state.jobs import keep_live
from async_backfill.jobs._shard_task import NoAnswerError, read_shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio import Event

    from async_backfill._jobs._report import JobReport, ShardReport
    from async_backfill.jobs._jobs import Jobs

UNDER_WAY: Final = frozenset({"running", "interrupted", "pausing", "cancelling"})
"""The statuses of a job whose shards may be handed out, as they are shown."""

_LOGGER: Final = logging.getLogger("async_backfill.jobs")
_LOOK: Final = 0.5
_ANEW: Final = 5.0
_MOST_FAILURES: Final = 5
_LEASE: Final = 30.0
_KEEP: Final = 10.0
_STOPPED: Final = "stopped: who handed out its shards was ended"


async def keep_shown(jobs: Jobs, job_id: int) -> None:
    """Let a job whose shards nobody holds at the moment not be shown as one for which nobody cares."""
    await jobs._state.transact(partial(keep_live, job_id=job_id, lease=_LEASE))  # noqa: SLF001 - no verb


@dataclass(frozen=True, slots=True, kw_only=True)
class _Handed:
    """The last task of a shard, and how the shard was then.

    ``owner``
        who had it before.
    ``failures``
        of its tasks, one after the other, without a row that was read.
    """

    future: Any
    at: float
    owner: str | None
    read: int
    failures: int


class Driver:
    """Hands out the shards of a job.

    :param told: what each task is given before the number of its shard.
    :param patience: seconds for which a state that cannot be used is waited for, and workers that do nothing.
    """

    def __init__(
        self, jobs: Jobs, client: Any, told: tuple[str | None, int, str], *, by: str, patience: float
    ) -> None:
        self._jobs = jobs
        self._client = client
        self._told = told
        self._job_id = told[1]
        self._by = by
        self._patience = patience
        self._handed: dict[int, _Handed] = {}
        self._lost = set[str]()
        self._first_pages: int | None = None
        self._said = ""
        self._is_asked = False
        self._live_at = current_time()
        self._kept_at = -inf
        self._log = LineASecond(_LOGGER, current_time)

    async def drive(self, stop: Event) -> None:
        """Hand out the shards that are left, until there are none, or the job is not to run any more."""
        seen_at = current_time()
        while True:
            try:
                if await self._step(stop):
                    return
                seen_at = current_time()
            except JobStateError:
                if current_time() - seen_at >= self._patience:
                    raise
                await sleep(_LOOK)  # also when it was told to stop
                continue
            with move_on_after(_LOOK):
                await (sleep_forever() if self._is_asked else stop.wait())

    async def _step(self, stop: Event) -> bool:
        """Look at the state, and do what is to be done; return whether that was all."""
        report = await self._jobs.status(self._job_id)
        left = [shard for shard in report.shards if shard.status in LEFT]
        if report.status not in UNDER_WAY:
            return True
        is_live = any(worker.lease_seconds > 0.0 for worker in report.workers)
        await self._note_life(is_live=is_live or not left)
        if stop.is_set():
            if not self._is_asked or not is_live:
                with suppress(JobRefusedError):  # it has ended meanwhile
                    await self._jobs.pause(self._job_id, by=self._by, reason=_STOPPED)
                self._is_asked = True
            return False
        if (report.wanted is Wanted.RUN or not is_live) and self._client.status != "connecting":
            self._hand_out(report, left)
        return not left

    async def _note_life(self, *, is_live: bool) -> None:
        """Keep the job from being shown as interrupted between two tasks; that no worker comes is shown."""
        now = current_time()
        if is_live:
            self._live_at = now
        if now - self._live_at < _KEEP <= now - self._kept_at:
            await keep_shown(self._jobs, self._job_id)
            self._kept_at = now

    def _hand_out(self, report: JobReport, left: Sequence[ShardReport]) -> None:
        now = current_time()
        if self._client.status == "closed":
            raise JobError("the scheduler of Dask is gone: run the job again, it goes on where it stopped")
        if now - self._live_at >= self._patience:
            raise JobError(f"no worker of Dask has read anything for {self._patience:g} s{self._said}")
        lost = {worker.owner for worker in report.workers if worker.lease_seconds <= 0.0}
        for worker in lost - self._lost:
            self._log.warning("worker %s was lost: others take what it had", worker, job=self._job_id)
        self._lost |= lost
        if self._first_pages is None:
            self._first_pages = report.pages
        # Before a first page has been read it may be the workers that are set up wrongly.
        may_wait = report.pages != self._first_pages
        for shard in left:
            before = self._handed.get(shard.number)
            if before is not None and not self._is_due(shard, before, lost):
                continue
            failures = 0 if before is None or shard.read != before.read else before.failures
            if before is not None and before.future.status == "error":
                failures = self._failed(shard, failures + 1, before.future, may_wait=may_wait)
            key = f"async_backfill-{self._job_id}-{shard.number}-{secrets.token_hex(4)}"
            future = self._client.submit(read_shard, *self._told, shard.number, key=key, pure=False)
            self._handed[shard.number] = _Handed(
                future=future, at=now, owner=shard.owner, read=shard.read, failures=failures
            )

    def _is_due(self, shard: ShardReport, before: _Handed, lost: set[str]) -> bool:
        """Return whether a shard is handed out again: its task has ended, or who claimed it has died.

        Dask may never tell that a worker was lost; then the lease does.
        """
        if before.future.status == "pending":
            return worker_of(shard.owner or "") in lost and shard.owner != before.owner
        return current_time() - before.at >= _ANEW

    def _failed(self, shard: ShardReport, failures: int, future: Any, *, may_wait: bool) -> int:
        """Return how many ``failures`` of a shard count: not that of a server which is away for a while."""
        error = future._state.exception  # noqa: SLF001 - `exception()` may ask and wait
        said = one_line(str(error))
        self._said = f": {said}"
        if may_wait and isinstance(error, NoAnswerError):
            failures -= 1
        if failures > _MOST_FAILURES:
            raise JobError(f"shard {shard.number} could not be read {failures} times: {said}")
        self._log.warning("shard %d is handed out again: %s", shard.number, said, job=self._job_id)
        return failures
