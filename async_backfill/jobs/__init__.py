"""Durable jobs: plan, approve, run and verify the copy of a whole source into the far tier (L2).

`Jobs` has all that an operator asks for. Jobs are kept in a `JobState`: a file, or PostgreSQL. A `JobSpec`
says what is copied, and an ``OpenEnds`` opens the source and the store. Every error here is a `JobError`.
"""

from async_backfill._jobs._ends import JobEnds, OpenEnds
from async_backfill._jobs._errors import JobError, JobRefusedError, JobStateError
from async_backfill._jobs._events import (
    AnyJobEvent,
    JobEvent,
    JobObserver,
    JobPageDone,
    JobStatusChanged,
    JobThrottled,
)
from async_backfill._jobs._plan import Plan
from async_backfill._jobs._planning.dry_run import DryRun
from async_backfill._jobs._planning.estimate import Estimate, estimate
from async_backfill._jobs._records import (
    LEGAL_JOB_CHANGES,
    JobApproval,
    JobCounts,
    JobRecord,
    JobStatus,
    LogLine,
    ShardStatus,
    Throttled,
    Wanted,
)
from async_backfill._jobs._report import JobReport, ShardReport, ShownStatus, WorkerReport
from async_backfill._jobs._spec import GuardName, JobSettings, JobSpec, PolicyName, ThrottleLimits
from async_backfill._jobs._state.postgres import PostgresJobState
from async_backfill._jobs._state.sqlite import SQLiteJobState
from async_backfill._jobs._verifying.dead import Retried
from async_backfill._jobs._verifying.result import Verified
from async_backfill._runner.job_files.opening import open_ends
from async_backfill._runner.job_files.reading import read_job
from async_backfill.jobs._jobs import Jobs

__all__ = [
    "LEGAL_JOB_CHANGES",
    "AnyJobEvent",
    "DryRun",
    "Estimate",
    "GuardName",
    "JobApproval",
    "JobCounts",
    "JobEnds",
    "JobError",
    "JobEvent",
    "JobObserver",
    "JobPageDone",
    "JobRecord",
    "JobRefusedError",
    "JobReport",
    "JobSettings",
    "JobSpec",
    "JobStateError",
    "JobStatus",
    "JobStatusChanged",
    "JobThrottled",
    "Jobs",
    "LogLine",
    "OpenEnds",
    "Plan",
    "PolicyName",
    "PostgresJobState",
    "Retried",
    "SQLiteJobState",
    "ShardReport",
    "ShardStatus",
    "ShownStatus",
    "ThrottleLimits",
    "Throttled",
    "Verified",
    "Wanted",
    "WorkerReport",
    "estimate",
    "open_ends",
    "read_job",
]
