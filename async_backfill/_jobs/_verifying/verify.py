"""The verification of a job as its state has it: its status, its findings, and a line in its log."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from async_backfill._jobs._calls import answer
from async_backfill._jobs._errors import JobError, JobRefusedError
from async_backfill._jobs._records import Finding, JobCounts, JobStatus, ShardStatus, Wanted
from async_backfill._jobs._rewriting import Rewriting
from async_backfill._jobs._state.dead import add_findings, clear_findings, dead_rows
from async_backfill._jobs._state.jobs import change_status, find_job
from async_backfill._jobs._state.log import append
from async_backfill._jobs._state.shards import shards
from async_backfill._jobs._verifying.extras import Extras
from async_backfill._jobs._verifying.verdict import verdict
from async_backfill._jobs._verifying.verifying import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._records import JobRecord, ShardRecord
    from async_backfill._jobs._state.transaction import JobState, Transaction
    from async_backfill._jobs._verifying.result import Verified
    from async_backfill._jobs._verifying.verifying import Request

_NOTHING_READ = frozenset({JobStatus.PLANNED, JobStatus.APPROVED, JobStatus.CANCELLED})
_READ = frozenset({JobStatus.RUNNING, JobStatus.DONE, JobStatus.DONE_WITH_GAPS})
_UNVERIFIED = frozenset({JobStatus.RUNNING, JobStatus.VERIFYING})
_LOST = "the store lost its memory: the job's mark is gone, and rows with it; go on from the start"


async def verify(
    state: JobState, job_id: int, ends: JobEnds[Any, Any], request: Request, *, by: str
) -> Verified:
    """Verify a job, and keep what was found; it is done then, or done with gaps.

    A job that is paused, failed or still running keeps its status: what it has read so far is compared.

    :raises JobRefusedError: when the job has read nothing, or the store cannot do what was asked.
    :raises JobError: when an end does not answer; a job that was being verified has failed then.
    """
    spec = (await state.transact(partial(find_job, job_id=job_id))).plan.spec
    if request.extra:  # both are refused before the status changes
        Extras(ends, apart=request.apart, seconds=request.seconds)
    if request.repair:
        Rewriting(ends, spec, seconds=request.seconds)
    job, parts, dead, now, was = await state.transact(partial(_begin, job_id=job_id, by=by))
    decides = job.status is JobStatus.VERIFYING
    end = partial(_end, job_id=job_id, by=by, parts=parts)
    try:
        if decides and was in _UNVERIFIED:
            await _require_memory(ends, job, request)
        verified, findings = await compare(
            ends,
            job,
            parts,
            request,
            dead=dead,
            now=now,
            stopped=partial(_stopped, state, job_id, decides=decides),
        )
        if decides and was in _UNVERIFIED:  # or it was emptied behind the comparison
            await _require_memory(ends, job, request)
    except JobError as error:
        if decides:
            await state.transact(partial(_fail, job_id=job_id, by=by, reason=str(error)))
        raise
    await state.transact(partial(end, verified=verified, findings=findings))
    return verified


def _begin(
    tx: Transaction, job_id: int, by: str
) -> tuple[JobRecord, Sequence[ShardRecord], frozenset[bytes], float, JobStatus]:
    job, parts = find_job(tx, job_id), shards(tx, job_id)
    was = job.status
    if was in _NOTHING_READ:
        raise JobRefusedError(f"job {job_id} is {was}: there is nothing to verify")
    if was in _READ and all(shard.status is ShardStatus.DONE for shard in parts):
        job = change_status(tx, job_id, JobStatus.VERIFYING, by=by, reason=None)
    dead = frozenset(row.key for row in dead_rows(tx, job_id))
    return job, parts, dead, tx.now(), was


async def _require_memory(ends: JobEnds[Any, Any], job: JobRecord, request: Request) -> None:
    """Check that the store still has the mark that the job's workers left.

    :raises JobError: when it has not: it was emptied, or another took its place.
    """
    if ends.store_facts is None:
        return
    call = partial(ends.store_facts.marked, f"job:{job.id}")
    if await answer(call, request.seconds, "the store could not be read", attempts=3) is None:
        raise JobError(_LOST)


async def _stopped(state: JobState, job_id: int, *, decides: bool) -> str | None:
    """Return what an operator asks of the job meanwhile; of another status it ends by itself."""
    if not decides:
        return None
    wanted = (await state.transact(partial(find_job, job_id=job_id))).wanted
    return {Wanted.PAUSE: "paused", Wanted.CANCEL: "cancelled"}.get(wanted)


def _end(
    tx: Transaction,
    job_id: int,
    by: str,
    parts: Sequence[ShardRecord],
    verified: Verified,
    findings: Sequence[tuple[bytes, str]],
) -> None:
    clear_findings(tx, job_id)
    now = tx.now()
    add_findings(tx, job_id, [Finding(job=job_id, key=key, kind=kind, at=now) for key, kind in findings])
    append(tx, job_id, by=by, what="verified", facts=asdict(verified))
    if find_job(tx, job_id).status is not JobStatus.VERIFYING:
        return
    if verified.stopped is not None:
        status, reason = JobStatus(verified.stopped), None
    else:
        status, reason = verdict(verified, sum((shard.counts for shard in parts), JobCounts()))
    change_status(tx, job_id, status, by=by, reason=reason)


def _fail(tx: Transaction, job_id: int, by: str, reason: str) -> None:
    if find_job(tx, job_id).status is JobStatus.VERIFYING:
        change_status(tx, job_id, JobStatus.FAILED, by=by, reason=reason)
