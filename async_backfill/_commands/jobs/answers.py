"""What a verb answers: lines for people, an object for programs, and the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill._commands.jobs.words import job_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.jobs import JobRecord, JobReport

OK: Final = 0
GAPS: Final = 1
REFUSED: Final = 2
FAILED: Final = 3
PAUSED: Final = 4

_CODES: Final = MappingProxyType(
    {"done": OK, "done_with_gaps": GAPS, "failed": FAILED, "cancelled": FAILED, "cancelling": FAILED}
)

OVER: Final = frozenset({"done", "done_with_gaps", "failed", "cancelled"})
"""The statuses with which a job ends, as far as nobody asks for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a verb answers; ``data`` are plain JSON values."""

    lines: Sequence[str]
    data: Mapping[str, Any]
    code: int = OK


def answer_of(report: JobReport, *more: str, code: int = OK) -> Answer:
    """Return all that there is to say of a job, and ``more`` lines."""
    return Answer(lines=[*job_lines(report), *more], data=data_of(report), code=code)


def code_of(report: JobReport) -> int:
    """Return the exit code of who worked on a job, or watched it, until it was as ``report`` says."""
    return _CODES.get(report.status, PAUSED)


def data_of(job: JobReport | JobRecord) -> dict[str, Any]:
    """Return a job as plain JSON values, with the estimate of its plan, and the number of its cuts."""
    from async_backfill.jobs import estimate  # noqa: PLC0415 - who has a job has imported it

    data: dict[str, Any] = msgspec.to_builtins(job)
    data["plan"]["cuts"] = len(job.plan.cuts)
    data["estimate"] = msgspec.to_builtins(estimate(job.plan))
    return data
