"""One offer of a backfill that was taken up, and how the answers to its load are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import CancelScope, Event

from async_backfill._common.bulk_course import BulkCourse
from async_backfill._common.error_text import error_line
from async_backfill.outcomes import ELSEWHERE, Failed
from async_backfill.records import BackfillCause, Status

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from async_backfill.contracts import K, OpenSpan
    from async_backfill.records import AuditRecord


class Episode:
    """One offer of a backfill that was taken up; ``done`` is set when it has ended, however it ended.

    ``asked`` counts the keys that were asked for so far; ``caller`` is whose miss has started it, and
    ``span`` that of its backfill, where spans are made.
    """

    __slots__ = ("asked", "by", "caller", "cause", "course", "done", "reason", "record", "scope", "span")

    def __init__(self, cause: BackfillCause, by: str | None, reason: str | None) -> None:
        self.asked = 0
        self.caller: Hashable | None = None
        self.span: OpenSpan | None = None
        self.cause = cause
        self.by = by
        self.reason = reason
        self.done = Event()
        self.scope = CancelScope()
        self.course = BulkCourse()
        self.record: AuditRecord | None = None

    def cancel(self, by: str, reason: str) -> None:
        """End it for ``by``: nothing more is selected or loaded, and its next record names who and why."""
        self.by, self.reason = by, reason
        self.course.end()

    @property
    def why_ended(self) -> str | None:
        """Who cancelled it, and why; ``None`` when nobody has."""
        return f"cancelled by {self.by}: {self.reason}" if self.course.is_ended else None

    @property
    def has_failed(self) -> bool:
        """Whether its latest load failed, or was cancelled."""
        return self.record is not None and self.record.status is not Status.COMPLETED

    @property
    def may_be_followed(self) -> bool:
        """Whether keys came, and another may follow: who forces one, or warms a cache, asks for each."""
        record = self.record
        has_loaded = record is not None and record.status is Status.COMPLETED and record.loaded > 0
        return has_loaded and self.cause not in {BackfillCause.MANUAL, BackfillCause.READY}

    @property
    def needs_no_permit(self) -> bool:
        """Whether a person asked for it."""
        return self.cause is BackfillCause.MANUAL


def judged(answers: Mapping[K, object]) -> tuple[Status, int, str | None]:
    """Return the status of a load, how many keys it delivered, and what was wrong with the others."""
    own = [answer for answer in answers.values() if answer is not ELSEWHERE]
    failures = [answer for answer in own if isinstance(answer, Failed)]
    if not failures:
        return Status.COMPLETED, len(own), None
    status = Status.FAILED if len(failures) == len(own) else Status.COMPLETED
    error = f"{len(failures)} of {len(own)} keys failed: {cause_line(failures[0].error)}"
    return status, len(own) - len(failures), error


def is_value(answer: object) -> bool:
    """Return whether ``answer`` is a value that this load delivered."""
    return answer is not ELSEWHERE and not isinstance(answer, Failed)


def cause_line(error: BaseException) -> str:
    """Return the cause of ``error``, or itself, as one line."""
    return error_line(error.__cause__ or error)
