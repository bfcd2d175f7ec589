"""The events of jobs: frozen values, so that fields can be added later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from async_backfill._jobs._records import JobCounts, JobStatus, Throttled


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """What every event of a job has: its number and its name."""

    job: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatusChanged(JobEvent):
    """A job was planned here, or brought to another status; changes by other processes are told there.

    ``before``
        ``None`` for a job that was planned.
    ``by``
        the person, or the worker, that did it.
    """

    before: JobStatus | None
    status: JobStatus
    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPageDone(JobEvent):
    """A page of a shard was written, and that was kept in the state.

    ``counts``
        what became of its rows.
    ``pages``
        1, or 0: keys that were leased were looked at again, and some ``counts`` may be below 0, because they
        were counted as leased before.
    ``repeated``
        how often a page had to be read again.
    ``seconds``
        how long it took to write it.
    """

    shard: int
    counts: JobCounts
    pages: int = 1
    repeated: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobThrottled(JobEvent):
    """A lane of a worker waits for another reason than before, or goes on.

    ``throttled``
        why it waits now; ``None``: it goes on.
    ``before``, ``seconds``
        why it had waited until now, and for how long; ``None`` and 0.0 when it had not.
    """

    lane: int
    throttled: Throttled | None
    before: Throttled | None
    seconds: float = 0.0


AnyJobEvent: TypeAlias = JobStatusChanged | JobPageDone | JobThrottled
"""Any event of a job."""

JobObserver: TypeAlias = Callable[[AnyJobEvent], None]
"""A function that is called with each event of a job, in the order in which they happen."""
