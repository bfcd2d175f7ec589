"""Approvals: nothing runs that nobody approved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._plan import ROWS_BEYOND
from async_backfill._jobs._records import JobApproval, JobRecord, JobStatus, Wanted
from async_backfill._jobs._state.jobs import find_job, move, require_name
from async_backfill._jobs._state.log import append

if TYPE_CHECKING:
    from async_backfill.contracts import Transaction

_LEAST_OF_A_HASH: Final = 6  # it is compared with that of one job only, against mistakes
_USUAL_SECONDS: Final = 12 * 3600.0
_FIELDS: Final = "id, job, plan_hash, by, reason, max_rows, expires, used, revoked, rows"
_MAY_BE_APPROVED: Final = frozenset(
    {
        JobStatus.PLANNED,
        JobStatus.APPROVED,
        JobStatus.RUNNING,
        JobStatus.PAUSED,
        JobStatus.FAILED,
        JobStatus.DONE_WITH_GAPS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the approval of a job still allows: no page begins when either is 0."""

    rows_left: int
    seconds_left: float

    @property
    def holds(self) -> bool:
        """Whether a page may begin."""
        return self.rows_left > 0 and self.seconds_left > 0


def approve(
    tx: Transaction,
    job_id: int,
    *,
    plan_hash: str,
    by: str,
    reason: str,
    max_rows: int | None = None,
    seconds: float | None = None,
) -> JobApproval:
    """Allow that the plan of that hash runs; it takes the place of all approvals of the job before.

    :param plan_hash: or its first characters, 6 or more.
    :param max_rows: the most rows that are read; the plan's and a fifth if left out.
    :param seconds: how long it holds; 12 hours if left out.
    :raises JobRefusedError: when the plan has another hash, or who approves it may not.
    """
    require_name(by, "who approves")
    job = find_job(tx, job_id)
    if not reason.strip():
        raise JobRefusedError("say why the plan is approved: the reason is empty")
    if job.status not in _MAY_BE_APPROVED or job.wanted is Wanted.CANCEL:
        raise JobRefusedError(f"job {job_id} is {job.status}: it needs no approval; plan a new one")
    if len(plan_hash) < _LEAST_OF_A_HASH or not job.plan_hash.startswith(plan_hash):
        raise JobRefusedError(f"job {job_id} has the plan {job.plan_hash}, not {plan_hash}: look at it again")
    if job.plan.spec.four_eyes and _same(by, job.planned_by):
        raise JobRefusedError(f"{by} planned job {job_id} (four_eyes): somebody else must approve it")
    if max_rows is None:
        max_rows = max(1, math.ceil(job.plan.rows * (1 + ROWS_BEYOND)))
    seconds = _USUAL_SECONDS if seconds is None else seconds
    if max_rows < 1 or not 0 < seconds < math.inf:
        raise JobRefusedError(f"an approval of {max_rows} rows for {seconds} s allows nothing, or all")
    ((number,),) = tx.rows("SELECT coalesce(max(id), 0) + 1 FROM approval")
    tx.rows(
        f"INSERT INTO approval ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, 0)",  # noqa: S608
        *(number, job_id, job.plan_hash, by, reason, max_rows, tx.now() + seconds),
    )
    facts = {"plan": job.plan_hash, "reason": reason, "rows": max_rows, "seconds": seconds}
    append(tx, job_id, by=by, what="approved", facts=facts)
    if job.status is JobStatus.PLANNED:
        move(tx, job, JobStatus.APPROVED, by=by, reason=reason)
    elif job.status is JobStatus.RUNNING:  # it goes on: the new approval is spent by the run that is there
        _spend(tx, number)
    return _approval(*tx.rows(f"SELECT {_FIELDS} FROM approval WHERE id = ?", number)[0])  # noqa: S608


def approvals(tx: Transaction, job_id: int) -> list[JobApproval]:
    """Return all approvals of a job; only the last one counts."""
    found = tx.rows(f"SELECT {_FIELDS} FROM approval WHERE job = ? ORDER BY id", job_id)  # noqa: S608
    return [_approval(*row) for row in found]


def revoke(tx: Transaction, job_id: int, *, by: str, reason: str | None) -> None:
    """Take the approval of a job back: workers begin no further page."""
    require_name(by, "who revokes")
    job = find_job(tx, job_id)
    given = approvals(tx, job_id)
    if not given or given[-1].revoked is not None:
        raise JobRefusedError(f"job {job_id} has no approval that could be taken back")
    tx.rows("UPDATE approval SET revoked = ? WHERE id = ?", tx.now(), given[-1].id)
    append(tx, job_id, by=by, what="revoked", facts={"reason": reason})
    if job.status is JobStatus.APPROVED:
        move(tx, job, JobStatus.PLANNED, by=by, reason=reason)


def require_startable(tx: Transaction, job_id: int, *, by: str) -> JobRecord:
    """Return a job that may start, go on, or get one worker more; nothing is written.

    :raises JobRefusedError: when it may not, or no approval holds.
    """
    require_name(by, "who starts")
    job = find_job(tx, job_id)
    if job.wanted is Wanted.CANCEL:
        raise JobRefusedError(f"job {job_id} was told to cancel: plan a new one")
    if job.status is JobStatus.VERIFYING:
        return job
    if job.status not in _MAY_BE_APPROVED:
        raise JobRefusedError(f"job {job_id} is {job.status}: plan a new one")
    given = approvals(tx, job_id)
    why = _why_not(tx, job, given[-1] if given else None)
    if why is not None:
        raise JobRefusedError(f"job {job_id} needs approval: {why}")
    return job


def start(
    tx: Transaction, job_id: int, *, by: str, rows: int | None = None, schema: str | None = None
) -> JobRecord:
    """Let an approved job run, or one that stopped go on; the approval is spent by the first start.

    Shards that failed are tried again from their cursors. One that runs stays as it is.

    :param rows, schema: what the source has now, if it is known: a job whose rows are more than a fifth more
        or fewer than the plan says, or of another schema, does not start.
    :raises JobRefusedError: when no approval holds.
    """
    job = require_startable(tx, job_id, by=by)
    if job.status is JobStatus.VERIFYING:  # nothing more is read
        return _go_on(tx, job, by=by)
    _check_plan(job, rows, schema)
    given = approvals(tx, job_id)
    if given[-1].used is None:
        _spend(tx, given[-1].id)
    tx.rows("UPDATE job SET started = coalesce(started, ?) WHERE id = ?", tx.now(), job_id)
    _go_on(tx, job, by=by)
    if job.status is JobStatus.RUNNING:
        return find_job(tx, job_id)
    tx.rows(
        "UPDATE shard SET status = 'ready', attempts = 0, not_before = 0.0"
        " WHERE job = ? AND status = 'failed'",
        job_id,
    )
    tx.rows("UPDATE shard SET not_before = 0.0 WHERE job = ?", job_id)
    return move(tx, job, JobStatus.RUNNING, by=by, reason=None)


def allowance(tx: Transaction, job_id: int) -> Allowance | None:
    """Return what the approval of a job still allows; ``None`` without one that was spent and holds."""
    return spend_rows(tx, job_id, 0)


def spend_rows(tx: Transaction, job_id: int, rows: int) -> Allowance | None:
    """Count rows that were read on the approval of a job, and return what it still allows."""
    found = tx.rows(
        "UPDATE approval SET rows = rows + ? WHERE id = (SELECT max(id) FROM approval WHERE job = ?)"
        " RETURNING rows, max_rows, expires, revoked, used,"
        " plan_hash = (SELECT plan_hash FROM job WHERE id = approval.job)",
        *(rows, job_id),
    )
    if not found:
        return None
    read, most, expires, revoked, used, is_of_plan = found[0]
    if revoked is not None or used is None or not is_of_plan:
        return None
    return Allowance(rows_left=max(0, most - read), seconds_left=max(0.0, expires - tx.now()))


def _go_on(tx: Transaction, job: JobRecord, *, by: str) -> JobRecord:
    """Take a pause back that was asked for, and not obeyed yet; or that was obeyed."""
    tx.rows("UPDATE job SET wanted = ? WHERE id = ?", Wanted.RUN.value, job.id)
    if job.wanted is not Wanted.RUN and job.status in {JobStatus.RUNNING, JobStatus.VERIFYING}:
        tx.rows("UPDATE job SET reason = NULL WHERE id = ?", job.id)  # it was that of the pause
        append(tx, job.id, by=by, what="wanted", facts={"wanted": Wanted.RUN, "reason": None})
    return find_job(tx, job.id)


def _check_plan(job: JobRecord, rows: int | None, schema: str | None) -> None:
    if rows is not None and not job.plan.holds_for(rows):
        raise JobRefusedError(
            f"job {job.id} was planned for {job.plan.rows} rows, there are {rows}: plan a new one"
        )
    if schema is not None and job.plan.schema is not None and schema != job.plan.schema:
        raise JobRefusedError(f"the source of job {job.id} has other columns now: plan a new one")


def _why_not(tx: Transaction, job: JobRecord, given: JobApproval | None) -> str | None:
    if given is None:
        return "nobody approved its plan"
    if given.plan_hash != job.plan_hash:
        return f"another plan was approved, {given.plan_hash}"
    if given.revoked is not None:
        return f"the approval of {given.by} was taken back"
    if given.expires <= tx.now():
        return f"the approval of {given.by} has expired"
    if given.rows >= given.max_rows:
        return f"the {given.max_rows} rows that {given.by} allowed were read"
    return None


def _spend(tx: Transaction, number: int) -> None:
    tx.rows("UPDATE approval SET used = ? WHERE id = ?", tx.now(), number)


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _approval(*row: Any) -> JobApproval:
    number, job, digest, by, reason, most, expires, used, revoked, rows = row
    return JobApproval(
        id=number,
        job=job,
        plan_hash=digest,
        by=by,
        reason=reason,
        max_rows=most,
        rows=rows,
        expires=expires,
        used=used,
        revoked=revoked,
    )
