"""The verbs of an operator that need the state only: see, approve, order, and read the log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from async_backfill._jobs._packing import unpack
from async_backfill._jobs._ranges import check_settings
from async_backfill._jobs._records import Wanted
from async_backfill._jobs._report import report
from async_backfill._jobs._state import approvals, dead, jobs, log, shards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill._jobs._records import JobApproval, JobRecord, LogLine
    from async_backfill._jobs._report import JobReport
    from async_backfill.contracts import JobState, Transaction


class Operator:
    """What a person asks of the jobs in ``state``, and is told of them; each call is one transaction.

    Each call raises `JobRefusedError` when there is no such job or what is asked may not be, and
    `JobStateError` when the state cannot be used; nothing has changed then.
    """

    def __init__(self, state: JobState) -> None:
        self._state = state

    async def status(self, job_id: int, /) -> JobReport:
        """Return what is known of a job now."""

        def read(tx: Transaction) -> JobReport:
            return _report(tx, jobs.find_job(tx, job_id))

        return await self._state.transact(read)

    async def list(self) -> Sequence[JobReport]:
        """Return what is known of all jobs now, the first one planned first.

        One whose plan was changed or damaged is left out, and the log says so.
        """

        def read(tx: Transaction) -> Sequence[JobReport]:
            return [_report(tx, job) for job in jobs.list_jobs(tx)]

        return await self._state.transact(read)

    async def approve(
        self,
        job_id: int,
        /,
        *,
        plan_hash: str,
        by: str,
        reason: str,
        max_rows: int | None = None,
        seconds: float | None = None,
    ) -> JobApproval:
        """Allow that the plan of that hash runs, once.

        :param max_rows: the most rows that are read; the plan's and a fifth if left out.
        :param seconds: how long it holds; 12 hours if left out.
        """
        return await self._state.transact(
            lambda tx: approvals.approve(
                tx, job_id, plan_hash=plan_hash, by=by, reason=reason, max_rows=max_rows, seconds=seconds
            )
        )

    async def approvals(self, job_id: int, /) -> Sequence[JobApproval]:
        """Return all approvals of a job, the first one first; only the last one counts."""

        def read(tx: Transaction) -> Sequence[JobApproval]:
            jobs.find_job(tx, job_id)
            return approvals.approvals(tx, job_id)

        return await self._state.transact(read)

    async def revoke(self, job_id: int, /, *, by: str, reason: str | None = None) -> None:
        """Take the approval of a job back: workers begin no further page."""
        await self._state.transact(lambda tx: approvals.revoke(tx, job_id, by=by, reason=reason))

    async def pause(self, job_id: int, /, *, by: str, reason: str | None = None) -> JobRecord:
        """Ask a job to pause: its workers obey after their page, and a job without workers is paused now."""
        return await self._want(job_id, Wanted.PAUSE, by, reason)

    async def cancel(self, job_id: int, /, *, by: str, reason: str | None = None) -> JobRecord:
        """Ask a job to end for good; what it has written stays."""
        return await self._want(job_id, Wanted.CANCEL, by, reason)

    async def resume(self, job_id: int, /, *, by: str, from_start: bool = False) -> JobRecord:
        """Let a job that was paused, has failed or has gaps run again, as far as its approval holds.

        It goes on where it stopped, with the workers that there are: this starts none.

        :param from_start: begin with its first rows again, as after the store has lost its memory.
        """

        def start(tx: Transaction) -> JobRecord:
            if from_start:
                shards.restart(tx, job_id, by=by)
            return approvals.start(tx, job_id, by=by)

        return await self._state.transact(start)

    async def set(
        self,
        job_id: int,
        /,
        *,
        by: str,
        rate: float | Literal["none"] | None = None,
        batch: int | Literal["auto"] | None = None,
        lanes: int | None = None,
        pages: int | Literal["none"] | None = None,
    ) -> JobRecord:
        """Change settings of a job, also while it runs; what is left out stays.

        :param rate: rows a second, or ``"none"`` for no limit.
        :param pages: pages at once of all workers, or ``"none"`` for no limit; it needs a budget.
        :raises ConfigurationError: for a value that is not allowed; names the setting.
        """
        given: dict[str, Any] = {}
        if rate is not None:
            given["rate"] = None if rate == "none" else rate
        if batch is not None:
            given["batch"] = batch
        if lanes is not None:
            given["lanes"] = lanes
        if pages is not None:
            given["pages"] = None if pages == "none" else pages

        def change(tx: Transaction) -> JobRecord:
            job = jobs.find_job(tx, job_id)
            settings = replace(job.settings, **given)
            check_settings(settings, has_budget=job.plan.spec.budget is not None)
            return jobs.set_settings(tx, job_id, settings, by=by)

        return await self._state.transact(change)

    async def panic(self, *, by: str, reason: str | None = None) -> Sequence[int]:
        """Ask all jobs that run to pause, and return their numbers."""
        return await self._state.transact(lambda tx: jobs.stop_all(tx, by=by, reason=reason))

    async def dead(self, job_id: int, /) -> Mapping[Any, str]:
        """Return why rows could not be copied although others of their page could, by their keys."""

        def read(tx: Transaction) -> Mapping[Any, str]:
            jobs.find_job(tx, job_id)
            return {unpack(row.key): row.error for row in dead.dead_rows(tx, job_id)}

        return await self._state.transact(read)

    async def findings(self, job_id: int, /) -> Mapping[Any, str]:
        """Return what the last verification found and left, by its keys: the first 10,000.

        Each is ``"wrong"`` or ``"missing"`` in the store, or ``"extra"``: a key of the store without a row.
        """

        def read(tx: Transaction) -> Mapping[Any, str]:
            jobs.find_job(tx, job_id)
            return {unpack(found.key): found.kind for found in dead.findings(tx, job_id)}

        return await self._state.transact(read)

    async def log(self, job_id: int, /) -> Sequence[LogLine]:
        """Return the log of a job, from its first line."""

        def read(tx: Transaction) -> Sequence[LogLine]:
            jobs.find_job(tx, job_id)
            return log.lines(tx, job_id)

        return await self._state.transact(read)

    async def check_log(self, job_id: int, /) -> int | None:
        """Return the number of the first line of a log that was changed, removed or cut off, if any."""

        def check(tx: Transaction) -> int | None:
            return log.first_bad_line(log.lines(tx, job_id), jobs.find_job(tx, job_id).log_head)

        return await self._state.transact(check)

    async def _want(self, job_id: int, wanted: Wanted, by: str, reason: str | None) -> JobRecord:
        return await self._state.transact(lambda tx: jobs.want(tx, job_id, wanted, by=by, reason=reason))


def _report(tx: Transaction, job: JobRecord) -> JobReport:
    facts = shards.shards(tx, job.id), approvals.approvals(tx, job.id), dead.count_findings(tx, job.id)
    return report(job, *facts, now=tx.now())
