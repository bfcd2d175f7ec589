"""What a job is and what became of it: its statuses, counts, shards, approvals, log and findings."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill._jobs._plan import Plan
    from async_backfill._jobs._spec import JobSettings


class JobStatus(enum.StrEnum):
    """How far a job has got. Whether its workers live is told by their leases, never by its status."""

    PLANNED = "planned"
    APPROVED = "approved"
    RUNNING = "running"
    PAUSED = "paused"
    VERIFYING = "verifying"
    DONE = "done"
    DONE_WITH_GAPS = "done_with_gaps"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Wanted(enum.StrEnum):
    """What a person asked of a job; workers read it in each checkpoint."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class ShardStatus(enum.StrEnum):
    """How far a shard has got; a running one whose lease is over is taken by the next worker."""

    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


LEFT: Final = frozenset({ShardStatus.READY, ShardStatus.RUNNING})
"""The shards that are not read to their end, and may be."""

LEGAL_JOB_CHANGES: Final[Mapping[JobStatus | None, frozenset[JobStatus]]] = MappingProxyType(
    {
        None: frozenset({JobStatus.PLANNED}),
        JobStatus.PLANNED: frozenset({JobStatus.APPROVED, JobStatus.CANCELLED}),
        # An approval that ran out, or was taken back, before the start makes it planned again.
        JobStatus.APPROVED: frozenset({JobStatus.RUNNING, JobStatus.PLANNED, JobStatus.CANCELLED}),
        JobStatus.RUNNING: frozenset(
            {JobStatus.PAUSED, JobStatus.VERIFYING, JobStatus.FAILED, JobStatus.CANCELLED}
        ),
        JobStatus.PAUSED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
        JobStatus.VERIFYING: frozenset(
            {
                JobStatus.DONE,
                JobStatus.DONE_WITH_GAPS,
                JobStatus.PAUSED,
                JobStatus.FAILED,
                JobStatus.CANCELLED,
            }
        ),
        # Both keep their cursors: a retry goes on where they stopped.
        JobStatus.FAILED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
        JobStatus.DONE_WITH_GAPS: frozenset({JobStatus.RUNNING, JobStatus.VERIFYING, JobStatus.CANCELLED}),
        # A later verification may find differences, or none any more.
        JobStatus.DONE: frozenset({JobStatus.VERIFYING}),
        JobStatus.CANCELLED: frozenset(),
    }
)
"""The statuses that may follow each status of a job; ``None`` means "no job yet"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCounts:
    """What became of the rows: ``read`` is the sum of the other five, at any moment.

    The fields are those of `async_backfill.warming.CopyProgress`.
    """

    read: int = 0
    kept: int = 0
    newer: int = 0
    leased: int = 0
    rejected: int = 0
    dead: int = 0

    def __add__(self, other: JobCounts) -> JobCounts:
        return JobCounts(
            read=self.read + other.read,
            kept=self.kept + other.kept,
            newer=self.newer + other.newer,
            leased=self.leased + other.leased,
            rejected=self.rejected + other.rejected,
            dead=self.dead + other.dead,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled:
    """Why no page is read now: the first reason that holds.

    ``reason``
        such as ``"operator"``, ``"rate"``, ``"pages"``, ``"budget"``, ``"hours"``, ``"source latency"``,
        ``"store memory"`` or ``"error rate"``.
    ``since``
        seconds since the epoch.
    ``value``, ``limit``
        what was measured, and what it must not exceed, in words with units.
    """

    reason: str
    since: float
    value: str
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job as its state has it. Times are seconds since the epoch, by the clock of the state.

    ``plan_hash``
        what an approval names, see `Plan`.
    ``reason``
        why it has its status, in one line; ``None`` when nothing is to be said.
    ``settings``
        what an operator may change while it runs.
    ``seconds_running``
        the seconds for which workers had its shards, those of waiting included.
    ``log_head``
        the hash of the last line of its log.
    ``live_until``
        until when who verifies it, or hands out its shards, is taken to live.
    """

    id: int
    name: str
    plan: Plan
    plan_hash: str
    status: JobStatus
    wanted: Wanted
    reason: str | None
    settings: JobSettings
    planned_by: str
    created: float
    started: float | None
    ended: float | None
    seconds_running: float
    log_head: str
    live_until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """One range of the rows of a job.

    ``low``, ``high``, ``cursor``
        packed cursors of the source: the range is behind ``low`` until ``high``
        (``None``: no bound), and all rows until ``cursor`` are dealt with.
    ``owner``, ``generation``, ``leased_until``
        who works on it, how often it was claimed, and until when nobody else may claim it.
    ``not_before``
        the time before which nobody claims it, after an error.
    ``repeated``
        pages that were read again after a worker was lost.
    ``batch``
        the size of the next page.
    """

    job: int
    number: int
    low: bytes | None
    high: bytes | None
    cursor: bytes | None
    status: ShardStatus
    owner: str | None
    generation: int
    leased_until: float
    attempts: int
    not_before: float
    counts: JobCounts
    pages: int
    repeated: int
    batch: int
    throttled: Throttled | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobApproval:
    """The word of a person that a plan may run: bound to its hash, limited in rows and time, used once.

    ``rows`` were read on it; the first start has ``used`` it.
    """

    id: int
    job: int
    plan_hash: str
    by: str
    reason: str
    max_rows: int
    rows: int
    expires: float
    used: float | None
    revoked: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a job's log, chained to the one before by its hash.

    ``facts``
        canonical JSON.
    ``hash``
        SHA-256 of ``before`` and of all other fields in canonical form, in hexadecimal.
    """

    job: int
    number: int
    at: float
    by: str
    what: str
    facts: str
    before: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRow:
    """A row that could not be copied although others of its page could; ``key`` is packed."""

    job: int
    key: bytes
    shard: int
    error: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A difference that a verification found; ``kind`` is ``"wrong"``, ``"missing"`` or ``"extra"``."""

    job: int
    key: bytes
    kind: str
    at: float
