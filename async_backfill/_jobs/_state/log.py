"""The log of a job: each line has the hash of the one before, and the head stands in the job, too."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._records import LogLine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.contracts import Transaction

ADD_LINE: Final = (
    "INSERT INTO log (job, number, at, by, what, facts, before, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
NO_JOB: Final = "there is no job {}: `jobs ls` shows all"


def append(tx: Transaction, job_id: int, *, by: str, what: str, facts: Mapping[str, Any]) -> LogLine:
    """Write a line at the end of the job's log, and return it."""
    found = tx.rows("SELECT log_head FROM job WHERE id = ?", job_id)
    if not found:
        raise JobRefusedError(NO_JOB.format(job_id))
    ((before,),) = found
    ((last,),) = tx.rows("SELECT coalesce(max(number), 0) FROM log WHERE job = ?", job_id)
    text = msgspec.json.encode(facts, order="deterministic").decode()
    number, at, by = last + 1, tx.now(), by.replace("\0", "\ufffd")  # PostgreSQL would not keep a zero
    digest = _hash(job_id, number, at, by, what, text, before)
    tx.rows(ADD_LINE, job_id, number, at, by, what, text, before, digest)
    tx.rows("UPDATE job SET log_head = ? WHERE id = ?", digest, job_id)
    return LogLine(job=job_id, number=number, at=at, by=by, what=what, facts=text, before=before, hash=digest)


def lines(tx: Transaction, job_id: int) -> Sequence[LogLine]:
    """Return the log of a job, from its first line."""
    found = tx.rows(
        "SELECT job, number, at, by, what, facts, before, hash FROM log WHERE job = ? ORDER BY number", job_id
    )
    return [
        LogLine(job=job, number=number, at=at, by=by, what=what, facts=facts, before=before, hash=digest)
        for job, number, at, by, what, facts, before, digest in found
    ]


def first_bad_line(lines: Sequence[LogLine], head: str) -> int | None:
    """Return the number of the first line that was changed, removed or cut off; ``None`` if all are whole.

    It does not find that somebody wrote all lines and the head anew: for that, keep a head elsewhere.

    :param head: the ``log_head`` of the job.
    """
    before = ""
    for number, line in enumerate(lines, 1):
        digest = _hash(line.job, number, line.at, line.by, line.what, line.facts, before)
        if (line.number, line.before, line.hash, line.job) != (number, before, digest, lines[0].job):
            return number
        before = digest
    return None if before == head else len(lines) + 1


def _hash(*fields: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()
