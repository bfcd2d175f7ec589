"""The verification of a job as its state has it: its status, its findings, and a line in its log."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from anyio import current_time

from async_backfill._jobs._calls import answer
from async_backfill._jobs._errors import JobError, JobRefusedError
from async_backfill._jobs._mark import LOST, Mark, Since
from async_backfill._jobs._records import Finding, JobCounts, JobStatus, ShardStatus, Wanted
from async_backfill._jobs._rewriting import Rewriting
from async_backfill._jobs._state.dead import add_findings, clear_findings, dead_rows, findings
from async_backfill._jobs._state.jobs import change_status, find_job, keep_live
from async_backfill._jobs._state.log import append
from async_backfill._jobs._state.patience import PatientState
from async_backfill._jobs._state.shards import shards
from async_backfill._jobs._verifying.extras import Extras
from async_backfill._jobs._verifying.result import Verified
from async_backfill._jobs._verifying.verdict import verdict
from async_backfill._jobs._verifying.verifying import compare
from async_backfill._jobs._verifying.watched import until_stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from anyio import Event

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._records import JobRecord, ShardRecord
    from async_backfill._jobs._verifying.verifying import Request
    from async_backfill.contracts import JobState, Transaction

_NOTHING_READ: Final = frozenset({JobStatus.PLANNED, JobStatus.APPROVED, JobStatus.CANCELLED})
_READ: Final = frozenset({JobStatus.RUNNING, JobStatus.DONE, JobStatus.DONE_WITH_GAPS})
_OVER: Final = frozenset({JobStatus.DONE, JobStatus.CANCELLED})
_STOPS: Final = MappingProxyType({Wanted.PAUSE: JobStatus.PAUSED, Wanted.CANCEL: JobStatus.CANCELLED})
_RESTARTED: Final = "the store was restarted each time that it was compared: go on once it stays"
_EVICTS: Final = "the store evicted {:,} entries while it was compared: give it more memory, and go on"
_LEASE: Final = 30.0
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A job whose verification begins; ``kinds`` is what the last one found."""

    job: JobRecord
    parts: Sequence[ShardRecord]
    dead: frozenset[bytes]
    now: float
    kinds: frozenset[str]

    @property
    def decides(self) -> bool:
        """Whether the verification makes it done, or done with gaps."""
        return self.job.status is JobStatus.VERIFYING


async def verify(
    state: JobState,
    job_id: int,
    ends: JobEnds[Any, Any],
    request: Request,
    *,
    by: str,
    stop: Event | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Verified:
    """Verify a job, and keep what was found; it is done then, or done with gaps.

    A state that cannot be used is waited for, see `PatientState`: else what took long would be lost.
    A job that is paused, failed or still running keeps its status: what it has read so far is compared.
    No sample makes a job done whose store has evicted entries since it began or was restarted, or in which
    the verification before found differences: then all rows are compared.

    :param stop: when it is set, a job that is being verified is paused.
    :param progress: is told after each page how many rows were compared so far.
    :raises JobRefusedError: when the job has read nothing, or the store cannot do what was asked.
    :raises JobError: when an end does not answer; a job that was being verified has failed then.
    """
    patient = PatientState(state)
    job = await patient.transact(partial(find_job, job_id=job_id))
    if request.extra:  # both are refused before the status changes
        Extras(ends, apart=request.apart, seconds=request.seconds)
    if request.repair:
        Rewriting(ends, job.plan.spec, seconds=request.seconds)
    mark = Mark(ends.store_facts, job)
    if job.status is JobStatus.DONE:  # its mark was removed then
        call = partial(mark.begin, has_pages=False)
        await answer(call, request.seconds, "the store could not be read", attempts=3)
    begun = await patient.transact(partial(_begin, job_id=job_id, by=by))
    if begun.decides and begun.kinds:
        request = replace(request, sample=None, extra=request.extra or "extra" in begun.kinds)
    comparing = partial(_compared, ends, begun, request, progress)
    try:
        if begun.decides:
            done = await until_stopped(comparing, partial(_asked, patient, job_id), stop)
            if isinstance(done, str):
                done = Verified(is_all=request.sample is None, stopped=done), ()
        else:
            done = await comparing(_never)
    except JobError as error:
        if begun.decides:
            await patient.transact(partial(_fail, job_id=job_id, by=by, reason=str(error)))
        raise
    verified, found = done
    end = partial(_end, job_id=job_id, by=by, parts=begun.parts, verified=verified, found=found)
    if await patient.transact(end) in _OVER:
        await mark.remove()
    return verified


def _begin(tx: Transaction, job_id: int, by: str) -> _Begun:
    job, parts = find_job(tx, job_id), shards(tx, job_id)
    was = job.status
    if was in _NOTHING_READ:
        raise JobRefusedError(f"job {job_id} is {was}: there is nothing to verify")
    if was in _READ and all(shard.status is ShardStatus.DONE for shard in parts):
        job = change_status(tx, job_id, JobStatus.VERIFYING, by=by, reason=None)
    if job.status is JobStatus.VERIFYING:
        keep_live(tx, job_id, lease=_LEASE)
    dead = frozenset(row.key for row in dead_rows(tx, job_id))
    kinds = frozenset(finding.kind for finding in findings(tx, job_id))
    return _Begun(job=job, parts=parts, dead=dead, now=tx.now(), kinds=kinds)


async def _compared(
    ends: JobEnds[Any, Any],
    begun: _Begun,
    request: Request,
    progress: Callable[[int], object],
    stopped: Callable[[], Awaitable[str | None]],
) -> tuple[Verified, Sequence[tuple[bytes, str]]]:
    """Compare, and see to it that the store has its memory before and afterwards.

    Anew when it was restarted meanwhile: it may have lost its last writes.

    :raises JobError: when it was emptied, another took its place, or it evicts, or is restarted each time.
    """
    begin = current_time()
    before = await _since(ends, begun, request) if begun.decides else Since()
    for _ in range(_ATTEMPTS):
        if before.evicted or before.is_another:
            request = replace(request, sample=None)
        done = await compare(
            ends,
            begun.job,
            begun.parts,
            request,
            dead=begun.dead,
            now=begun.now + current_time() - begin,
            stopped=stopped,
            progress=progress,
        )
        after = await _since(ends, begun, request) if begun.decides else before
        if after.run == before.run:
            if more := after.evicted - before.evicted:
                raise JobError(_EVICTS.format(abs(more)))
            return done
        before = after
    raise JobError(_RESTARTED)


async def _since(ends: JobEnds[Any, Any], begun: _Begun, request: Request) -> Since:
    mark = Mark(ends.store_facts, begun.job)
    since = await answer(mark.since, request.seconds, "the store could not be read", attempts=3)
    if since is None:
        raise JobError(LOST)
    return since


async def _never() -> None:
    """Return that a verification of another status ends by itself."""


async def _asked(state: PatientState, job_id: int) -> str | None:
    """Return what an operator asks of the job meanwhile, and keep it; it is asked again each half second."""
    wanted = await state.transact_once(partial(keep_live, job_id=job_id, lease=_LEASE))
    return None if wanted is None else _STOPS.get(wanted)


def _end(
    tx: Transaction,
    job_id: int,
    by: str,
    parts: Sequence[ShardRecord],
    verified: Verified,
    found: Sequence[tuple[bytes, str]],
) -> JobStatus:
    job, now = find_job(tx, job_id), tx.now()
    if verified.stopped is None:  # or what the last one found is still all that is known
        clear_findings(tx, job_id)
    add_findings(tx, job_id, [Finding(job=job_id, key=key, kind=kind, at=now) for key, kind in found])
    append(tx, job_id, by=by, what="verified", facts=asdict(verified))
    if job.status is not JobStatus.VERIFYING:
        return job.status
    if verified.stopped is not None:
        # The word of a person comes first, before that of who ended the worker.
        status, reason = _STOPS.get(job.wanted, JobStatus(verified.stopped)), job.reason
    else:
        status, reason = verdict(verified, sum((shard.counts for shard in parts), JobCounts()))
        if status is not JobStatus.DONE and job.wanted is Wanted.CANCEL:  # as if asked a moment later
            status, reason = JobStatus.CANCELLED, job.reason
    return change_status(tx, job_id, status, by=by, reason=reason).status


def _fail(tx: Transaction, job_id: int, by: str, reason: str) -> None:
    if find_job(tx, job_id).status is JobStatus.VERIFYING:
        change_status(tx, job_id, JobStatus.FAILED, by=by, reason=reason)
