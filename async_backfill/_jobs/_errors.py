"""The errors of jobs."""

from __future__ import annotations

from async_backfill.errors import AsyncBackfillError


class JobError(AsyncBackfillError):
    """A job cannot go on as it was asked; the text is one line that says why, and what to do."""


class JobStateError(JobError):
    """The state of jobs cannot be used: it is of another version, locked, read-only, full or damaged."""


class JobRefusedError(JobError):
    """What was asked of a job is refused: there is no such job, the change is illegal or was not approved."""
