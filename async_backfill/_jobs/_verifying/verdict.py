"""What a verification makes of a job: done, or done with gaps, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill._jobs._records import JobStatus

if TYPE_CHECKING:
    from async_backfill._jobs._records import JobCounts
    from async_backfill._jobs._verifying.result import Verified


def verdict(verified: Verified, counts: JobCounts) -> tuple[JobStatus, str | None]:
    """Return the status of a job that was verified to the end, and in one line why it is not simply done.

    :param counts: of all its shards.
    """
    found = [
        (verified.wrong, "wrong"),
        (verified.missing, "missing"),
        (verified.extra or 0, "without a row"),
        (verified.unread, "not readable"),
        (verified.repaired, "of these repaired"),
    ]
    said = [f"{number:,} {what}" for number, what in found if number]
    if said:
        said[0] = f"of {verified.compared:,} rows compared {said[0]}"
    gaps = [
        (counts.dead, "dead rows (see dead)"),
        (counts.rejected, "rows that the store cannot keep"),
    ]
    said += [f"{number:,} {what}" for number, what in gaps if number]
    has_gaps = verified.left > 0 or counts.dead > 0 or counts.rejected > 0
    return (JobStatus.DONE_WITH_GAPS if has_gaps else JobStatus.DONE), ", ".join(said) or None
