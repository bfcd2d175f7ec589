"""The jobs of a state: added, found, and brought from status to status."""

from __future__ import annotations

import logging
from contextlib import suppress
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill._jobs._errors import JobRefusedError, JobStateError
from async_backfill._jobs._plan import Plan
from async_backfill._jobs._records import LEGAL_JOB_CHANGES, JobRecord, JobStatus, ShardStatus, Wanted
from async_backfill._jobs._spec import JobSettings
from async_backfill._jobs._state.log import NO_JOB, append

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.contracts import Transaction

FIRST_BATCH: Final = 1_000
_LOGGER: Final = logging.getLogger("async_backfill.jobs")
_FIELDS: Final = (
    "id, name, plan_hash, status, wanted, reason, settings, planned_by, created, started, ended,"
    " seconds_running, log_head, live_until, plan"
)
_ACTIVE: Final = frozenset({JobStatus.APPROVED, JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.VERIFYING})
_ENDED: Final = frozenset({JobStatus.DONE, JobStatus.DONE_WITH_GAPS, JobStatus.FAILED, JobStatus.CANCELLED})
_WORKED_ON: Final = frozenset({JobStatus.RUNNING, JobStatus.VERIFYING})
_OVER: Final = frozenset({JobStatus.DONE, JobStatus.CANCELLED})
_BY_OTHERS: Final = MappingProxyType({JobStatus.APPROVED: "approve", JobStatus.RUNNING: "start"})


def add_job(tx: Transaction, plan: Plan, *, by: str) -> JobRecord:
    """Keep a plan as a new job with its shards; nobody works on it before it is approved."""
    require_name(by, "who plans")
    ((job_id,),) = tx.rows("SELECT coalesce(max(id), 0) + 1 FROM job")
    tx.rows(
        f"INSERT INTO job ({_FIELDS}) VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, NULL, NULL, 0.0, '', 0.0, ?)",  # noqa: S608
        *(job_id, plan.spec.name, plan.hash, JobStatus.PLANNED.value, Wanted.RUN.value),
        *(settings_text(plan.spec.settings), by, tx.now(), plan.to_bytes()),
    )
    batch = plan.spec.settings.batch
    bounds = [None, *plan.cuts, None]
    for number, (low, high) in enumerate(pairwise(bounds)):
        add_shard(tx, job_id, number, low, high, FIRST_BATCH if batch == "auto" else batch)
    facts = {"plan": plan.hash, "name": plan.spec.name, "rows": plan.rows, "shards": len(bounds) - 1}
    append(tx, job_id, by=by, what="planned", facts=facts)
    return find_job(tx, job_id)


def add_shard(
    tx: Transaction, job_id: int, number: int, low: bytes | None, high: bytes | None, batch: int
) -> None:
    """Add a shard on which nobody has worked."""
    tx.rows(
        "INSERT INTO shard (job, number, low, high, status, batch, generation, leased_until, attempts,"
        " not_before, read, kept, newer, leased, rejected, dead, pages, repeated)"
        " VALUES (?, ?, ?, ?, ?, ?, 0, 0.0, 0, 0.0, 0, 0, 0, 0, 0, 0, 0, 0)",
        *(job_id, number, low, high, ShardStatus.READY.value, batch),
    )


def find_job(tx: Transaction, job_id: int) -> JobRecord:
    """Return a job.

    :raises JobRefusedError: when there is none of that number.
    """
    found = tx.rows(f"SELECT {_FIELDS} FROM job WHERE id = ?", job_id)  # noqa: S608
    if not found:
        raise JobRefusedError(NO_JOB.format(job_id))
    return _record(*found[0])


def list_jobs(tx: Transaction) -> Sequence[JobRecord]:
    """Return all jobs, the first one planned first; of one whose plan is damaged the log says so."""
    found: list[JobRecord] = []
    for row in tx.rows(f"SELECT {_FIELDS} FROM job ORDER BY id"):  # noqa: S608
        try:
            found.append(_record(*row))
        except JobStateError as error:  # it hides no other
            _LOGGER.warning("%s", error)
    return found


def change_status(
    tx: Transaction, job_id: int, status: JobStatus, *, by: str, reason: str | None
) -> JobRecord:
    """Bring a job to another status; only `approve` makes one approved, and only `start` lets it run.

    :raises JobRefusedError: when that status may not follow the one it has.
    """
    if status in _BY_OTHERS:
        raise JobRefusedError(f"job {job_id} does not become {status}: {_BY_OTHERS[status]} it")
    return move(tx, find_job(tx, job_id), status, by=by, reason=reason)


def move(tx: Transaction, job: JobRecord, status: JobStatus, *, by: str, reason: str | None) -> JobRecord:
    """Change the status of a job as `LEGAL_JOB_CHANGES` allow, and log it."""
    if status not in LEGAL_JOB_CHANGES[job.status]:
        then = ", ".join(sorted(LEGAL_JOB_CHANGES[job.status])) or "nothing"
        raise JobRefusedError(f"job {job.id} is {job.status}: it does not become {status}, only {then}")
    if status in _ACTIVE and job.status not in _ACTIVE:
        _check_alone(tx, job)
    tx.rows(
        "UPDATE job SET status = ?, reason = ?, ended = ?, live_until = 0.0 WHERE id = ?",
        *(status.value, reason, tx.now() if status in _ENDED else None, job.id),
    )
    if status in _ENDED:  # what was asked too late is not for a later verification, but for a cancel
        kept = Wanted.RUN if status is JobStatus.DONE else Wanted.CANCEL
        tx.rows("UPDATE job SET wanted = 'run' WHERE id = ? AND wanted <> ?", job.id, kept.value)
    facts = {"from": job.status, "to": status, "reason": reason}
    append(tx, job.id, by=by, what="status", facts=facts)
    return find_job(tx, job.id)


def want(tx: Transaction, job_id: int, wanted: Wanted, *, by: str, reason: str | None) -> JobRecord:
    """Take note of what a person asks; workers obey at their next checkpoint.

    A job on which nobody works is paused or cancelled at once.

    :raises JobRefusedError: when it is over, was told to cancel, or does not run and is to pause or go on.
    """
    require_name(by, "who asks")
    job = find_job(tx, job_id)
    if job.status in _OVER:
        raise JobRefusedError(f"job {job_id} is {job.status}: plan a new one")
    if job.wanted is Wanted.CANCEL and wanted is not Wanted.CANCEL:
        raise JobRefusedError(f"job {job_id} was told to cancel: plan a new one")
    paused = wanted is Wanted.PAUSE and job.status is JobStatus.PAUSED
    if wanted is not Wanted.CANCEL and job.status not in _WORKED_ON and not paused:
        verb = "pause" if wanted is Wanted.PAUSE else "go on: start it"
        raise JobRefusedError(f"job {job_id} is {job.status}: only one that runs can {verb}")
    tx.rows("UPDATE job SET wanted = ?, reason = ? WHERE id = ?", wanted.value, reason, job_id)
    append(tx, job_id, by=by, what="wanted", facts={"wanted": wanted, "reason": reason})
    job = find_job(tx, job_id)
    if wanted is Wanted.RUN or paused or _is_worked_on(tx, job):
        return job
    status = JobStatus.PAUSED if wanted is Wanted.PAUSE else JobStatus.CANCELLED
    return move(tx, job, status, by=by, reason=reason)


def keep_live(tx: Transaction, job_id: int, *, lease: float) -> Wanted:
    """Take note that who verifies a job, or hands out its shards, lives; return what a person wants of it.

    :param lease: seconds for which that is believed.
    """
    ((wanted,),) = tx.rows(
        "UPDATE job SET live_until = ? WHERE id = ? RETURNING wanted", tx.now() + lease, job_id
    )
    return Wanted(wanted)


def set_settings(tx: Transaction, job_id: int, settings: JobSettings, *, by: str) -> JobRecord:
    """Change the settings of a job; workers use them after their next checkpoint."""
    require_name(by, "who sets")
    job = find_job(tx, job_id)
    if job.status in _OVER:
        raise JobRefusedError(f"job {job_id} is {job.status}: its settings do not matter any more")
    tx.rows("UPDATE job SET settings = ? WHERE id = ?", settings_text(settings), job_id)
    facts = {"from": job.settings, "to": settings}
    append(tx, job_id, by=by, what="settings", facts=facts)
    return find_job(tx, job_id)


def ids_worked_on(tx: Transaction) -> Sequence[int]:
    """Return the numbers of all jobs that run or are being verified."""
    statuses = [status.value for status in sorted(_WORKED_ON)]
    found = tx.rows("SELECT id FROM job WHERE status IN (?, ?) ORDER BY id", *statuses)
    return [job_id for (job_id,) in found]


def stop_all(tx: Transaction, *, by: str, reason: str | None) -> Sequence[int]:
    """Ask all jobs that run to pause, also one whose plan is damaged, and return their numbers."""
    require_name(by, "who asks")
    asked = []
    for job_id in ids_worked_on(tx):
        if tx.rows(
            "UPDATE job SET wanted = ?, reason = ? WHERE id = ? AND wanted <> ? RETURNING id",
            *(Wanted.PAUSE.value, reason, job_id, Wanted.CANCEL.value),
        ):
            asked.append(job_id)
            try:
                want(tx, job_id, Wanted.PAUSE, by=by, reason=reason)
            except JobStateError:
                append(tx, job_id, by=by, what="wanted", facts={"wanted": Wanted.PAUSE, "reason": reason})
    return asked


def settings_of(text: str) -> JobSettings:
    """Return the settings that `settings_text` made into text."""
    return msgspec.json.decode(text, type=JobSettings)


def settings_text(settings: JobSettings) -> str:
    """Return settings as text."""
    return msgspec.json.encode(settings, order="deterministic").decode()


def require_name(by: str, who: str) -> None:
    """Refuse the empty name of a person."""
    if not by.strip():
        raise JobRefusedError(f"say {who}: the name is empty")


def _is_worked_on(tx: Transaction, job: JobRecord) -> bool:
    if job.status is not JobStatus.RUNNING:
        return job.status is JobStatus.VERIFYING and job.live_until > tx.now()
    return bool(
        tx.rows(
            "SELECT 1 FROM shard WHERE job = ? AND status = 'running' AND leased_until > ? LIMIT 1",
            *(job.id, tx.now()),
        )
    )


def _check_alone(tx: Transaction, job: JobRecord) -> None:
    for other, status in tx.rows(
        "SELECT id, status FROM job WHERE name = ? AND id <> ? ORDER BY id", job.name, job.id
    ):
        if status in _ACTIVE:
            raise JobRefusedError(
                f"job {other} of the same name, {job.name!r}, is {status}: let it end, or cancel it, first"
            )


def _record(*row: Any) -> JobRecord:
    job_id, title, digest, status, wanted, reason, settings, *times, head, live_until, data = row
    plan = None
    with suppress(msgspec.MsgspecError, ValueError, TypeError):
        plan = Plan.from_bytes(data)
    if plan is None or plan.hash != digest:
        raise JobStateError(f"the plan of job {job_id} was changed or damaged: plan a new job")
    by, created, started, ended, seconds = times
    return JobRecord(
        id=job_id,
        name=title,
        plan=plan,
        plan_hash=digest,
        status=JobStatus(status),
        wanted=Wanted(wanted),
        reason=reason,
        settings=settings_of(settings),
        planned_by=by,
        created=created,
        started=started,
        ended=ended,
        seconds_running=seconds,
        log_head=head,
        live_until=live_until,
    )
