"""A job as plain JSON values: what programs are told of it, on the command line and by the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from async_backfill._jobs._planning.estimate import estimate

if TYPE_CHECKING:
    from async_backfill._jobs._records import JobRecord
    from async_backfill._jobs._report import JobReport


def data_of(job: JobReport | JobRecord) -> dict[str, Any]:
    """Return a job as plain JSON values, with the estimate of its plan, and the number of its cuts."""
    data: dict[str, Any] = msgspec.to_builtins(job)
    data["plan"]["cuts"] = len(job.plan.cuts)
    data["estimate"] = msgspec.to_builtins(estimate(job.plan))
    return data
