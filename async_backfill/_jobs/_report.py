"""What a job shows of itself: everything of its state in one record, at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from async_backfill._jobs._records import JobCounts, JobStatus, ShardStatus, Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill._jobs._plan import Plan
    from async_backfill._jobs._records import JobApproval, JobRecord, ShardRecord, Throttled
    from async_backfill._jobs._spec import JobSettings

ShownStatus: TypeAlias = JobStatus | Literal["interrupted", "pausing", "cancelling"]
"""A status, or what is only shown: no worker lives, or one lives and has not yet obeyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """A worker that has claimed shards: ``lease_seconds`` are left to it, below 0 it was lost so long ago."""

    owner: str
    shards: int
    lease_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """How far one shard has got."""

    number: int
    status: ShardStatus
    owner: str | None
    read: int
    pages: int
    repeated: int
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """A job at one moment.

    ``status``
        its status; ``"interrupted"`` when it runs or is verified and nobody lives who works on it or hands
        out its shards, ``"pausing"`` or ``"cancelling"`` when one lives that has not obeyed yet.
    ``rows_total``
        as planned.
    ``repeated_pages``
        pages that were read again after a worker was lost.
    ``rows_per_second``
        of the workers that live; 0.0 when none does, or nothing was read yet.
    ``eta_seconds``
        until the planned rows are read at that speed; ``None`` when nobody works, or none is left.
    ``throttled``
        why the workers wait, the reason that has held longest; ``None`` when they do not.
    ``findings``
        how many differences the last verification found and left, by their kind, of 10,000 at the most.
    ``approval``
        the last one, the only one that counts; ``None`` when nobody has approved anything yet.
    ``created``, ``started``, ``ended``
        seconds since the epoch.
    ``log_head``
        the hash of the last line of its log.
    """

    id: int
    name: str
    status: ShownStatus
    wanted: Wanted
    reason: str | None
    plan: Plan
    plan_hash: str
    settings: JobSettings
    counts: JobCounts
    rows_total: int
    pages: int
    repeated_pages: int
    rows_per_second: float
    eta_seconds: float | None
    throttled: Throttled | None
    shards: Sequence[ShardReport]
    workers: Sequence[WorkerReport]
    approval: JobApproval | None
    planned_by: str
    created: float
    started: float | None
    ended: float | None
    log_head: str
    findings: Mapping[str, int] = field(default_factory=dict)


def worker_of(owner: str) -> str:
    """Return whose lane ``owner`` is: behind the last slash is its number."""
    return owner.rpartition("/")[0] or owner


def report(
    job: JobRecord,
    shards: Sequence[ShardRecord],
    approvals: Sequence[JobApproval],
    findings: Mapping[str, int],
    *,
    now: float,
) -> JobReport:
    """Return what is to be shown of ``job`` at ``now``, by the clock of the state."""
    claimed = [shard for shard in shards if shard.status is ShardStatus.RUNNING and shard.owner is not None]
    live = [shard for shard in claimed if shard.leased_until > now]
    counts = sum((shard.counts for shard in shards), JobCounts())
    rate = counts.read / job.seconds_running * len(live) if job.seconds_running > 0.0 else 0.0
    if job.settings.rate is not None:
        rate = min(rate, job.settings.rate)
    left = job.plan.rows - counts.read
    leases: dict[str, list[float]] = {}
    for shard in claimed:
        leases.setdefault(worker_of(shard.owner or ""), []).append(shard.leased_until - now)
    waits = [shard.throttled for shard in live if shard.throttled is not None]
    return JobReport(
        id=job.id,
        name=job.name,
        status=_shown(job, shards, now, is_live=bool(live)),
        wanted=job.wanted,
        reason=job.reason,
        plan=job.plan,
        plan_hash=job.plan_hash,
        settings=job.settings,
        counts=counts,
        rows_total=job.plan.rows,
        pages=sum(shard.pages for shard in shards),
        repeated_pages=sum(shard.repeated for shard in shards),
        rows_per_second=rate,
        eta_seconds=left / rate if rate > 0.0 and left > 0 else None,
        throttled=min(waits, key=lambda wait: wait.since, default=None),
        shards=[_shard(shard) for shard in shards],
        workers=[
            WorkerReport(owner=owner, shards=len(seconds), lease_seconds=max(seconds))
            for owner, seconds in sorted(leases.items())
        ],
        approval=approvals[-1] if approvals else None,
        planned_by=job.planned_by,
        created=job.created,
        started=job.started,
        ended=job.ended,
        log_head=job.log_head,
        findings=findings,
    )


def _shown(job: JobRecord, shards: Sequence[ShardRecord], now: float, *, is_live: bool) -> ShownStatus:
    if job.status not in {JobStatus.RUNNING, JobStatus.VERIFYING}:
        return job.status
    if is_live or job.live_until > now:
        if job.wanted is Wanted.PAUSE:
            return "pausing"
        return "cancelling" if job.wanted is Wanted.CANCEL else job.status
    # A worker whose shards all wait after an error holds none of them.
    waits = any(shard.status is ShardStatus.READY and shard.not_before > now for shard in shards)
    return job.status if waits else "interrupted"


def _shard(shard: ShardRecord) -> ShardReport:
    return ShardReport(
        number=shard.number,
        status=shard.status,
        owner=shard.owner,
        read=shard.counts.read,
        pages=shard.pages,
        repeated=shard.repeated,
        attempts=shard.attempts,
        error=shard.error,
    )
