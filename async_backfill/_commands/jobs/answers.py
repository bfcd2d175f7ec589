"""What a verb answers: lines for people, an object for programs, and the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from async_backfill._commands.jobs.words import job_lines
from async_backfill.errors import AsyncBackfillError

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


class VerbError(AsyncBackfillError):
    """A verb is not done; ``code`` is its exit code."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


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
    """Return a job as plain JSON values."""
    from async_backfill._jobs._data import data_of  # noqa: PLC0415 - who has a job has imported it

    return data_of(job)
