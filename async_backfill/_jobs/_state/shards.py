"""The shards of a job: claimed under a lease, and written by nobody who has lost them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._records import (
    JobCounts,
    JobStatus,
    ShardRecord,
    ShardStatus,
    Throttled,
    Wanted,
)
from async_backfill._jobs._state.approvals import allowance, spend_rows
from async_backfill._jobs._state.dead import add_dead
from async_backfill._jobs._state.jobs import find_job, settings_of
from async_backfill._jobs._state.log import append

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._jobs._spec import JobSettings
    from async_backfill._jobs._state.approvals import Allowance
    from async_backfill.contracts import Transaction

_FIELDS: Final = (
    "job, number, low, high, cursor, status, owner, generation, leased_until, attempts, not_before,"
    " read, kept, newer, leased, rejected, dead, pages, repeated, batch, throttled, error"
)
# Of two claims with one generation, because a failover lost the first one, the owner tells.
MINE: Final = "job = ? AND number = ? AND generation = ? AND owner = ? AND status = 'running'"
_RESTARTED: Final = frozenset(
    {JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.FAILED, JobStatus.DONE_WITH_GAPS}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDone:
    """What one page, or some quick ones, added: the store has acknowledged them.

    ``cursor``
        until where the rows are dealt with; ``None`` leaves it as it is.
    ``repeated``
        pages that the worker itself read again; `claim` counts the one of a worker that was lost.
    ``seconds``
        for which it was worked on.
    ``dead``
        packed key and error of each row that is dead, ``counts.dead`` of them.
    ``ended``
        whether the shard has no more rows.
    """

    cursor: bytes | None
    counts: JobCounts
    pages: int = 1
    repeated: int = 0
    seconds: float = 0.0
    batch: int
    throttled: Throttled | None = None
    dead: Sequence[tuple[bytes, str]] = ()
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a worker must know after each checkpoint.

    ``allowance``
        ``None`` when no approval holds any more.
    ``dead``
        all dead rows of the job.
    """

    wanted: Wanted
    status: JobStatus
    settings: JobSettings
    allowance: Allowance | None
    dead: int


def claim(
    tx: Transaction, job_id: int, *, owner: str, lease: float, number: int | None = None
) -> ShardRecord | None:
    """Take a shard on which nobody works, for ``lease`` seconds; ``None`` when there is none now.

    There is none either while the job does not run, is to stop, or has no approval that holds.

    :param number: that of the only one that is taken; ``None`` for any.
    """
    job = tx.rows("SELECT status, wanted FROM job WHERE id = ?", job_id)
    if not job or job[0] != (JobStatus.RUNNING.value, Wanted.RUN.value):
        return None
    allowed = allowance(tx, job_id)
    if allowed is None or not allowed.holds:
        return None
    now = tx.now()
    one, only = ("", ()) if number is None else (" AND number = ?", (number,))
    found = tx.rows(
        "UPDATE shard SET repeated = repeated + CASE WHEN status = 'running' THEN 1 ELSE 0 END,"  # noqa: S608
        " status = 'running', owner = ?, generation = generation + 1, leased_until = ?,"
        " attempts = attempts + 1, throttled = NULL WHERE job = ? AND number = ("
        "SELECT number FROM shard WHERE job = ? AND not_before <= ?"
        f" AND (status = 'ready' OR (status = 'running' AND leased_until <= ?)){one} ORDER BY number LIMIT 1)"
        f" RETURNING {_FIELDS}",
        *(owner, now + lease, job_id, job_id, now, now, *only),
    )
    return _record(*found[0]) if found else None


def shards(tx: Transaction, job_id: int) -> Sequence[ShardRecord]:
    """Return the shards of a job, by their numbers."""
    found = tx.rows(f"SELECT {_FIELDS} FROM shard WHERE job = ? ORDER BY number", job_id)  # noqa: S608
    return [_record(*row) for row in found]


def checkpoint(tx: Transaction, shard: ShardRecord, done: PageDone, *, lease: float) -> Orders | None:
    """Keep how far a shard has got, and return what the operator wants.

    ``None`` when another has taken the shard: then nothing is written, and its worker stops.
    """
    counts = done.counts
    status, owner, until = ShardStatus.RUNNING, shard.owner, tx.now() + lease
    if done.ended:
        status, owner, until = ShardStatus.DONE, None, 0.0
    mine = tx.rows(
        "UPDATE shard SET cursor = coalesce(?, cursor), read = read + ?, kept = kept + ?, newer = newer + ?,"  # noqa: S608
        " leased = leased + ?, rejected = rejected + ?, dead = dead + ?, pages = pages + ?,"
        " repeated = repeated + ?, batch = ?, throttled = ?, status = ?, owner = ?, leased_until = ?,"
        f" attempts = 0, error = NULL WHERE {MINE} RETURNING number",
        *(done.cursor, counts.read, counts.kept, counts.newer, counts.leased, counts.rejected, counts.dead),
        *(done.pages, done.repeated, done.batch, _text(done.throttled), status.value, owner, until),
        *own(shard),
    )
    if not mine:
        return None
    if len(done.dead) != counts.dead:
        raise JobRefusedError(f"{counts.dead} rows are dead, {len(done.dead)} keys of them were given")
    add_dead(tx, shard.job, shard.number, done.dead)
    return _orders(tx, shard.job, counts.read, done.seconds)


def renew(tx: Transaction, shard: ShardRecord, *, lease: float, throttled: Throttled | None) -> Orders | None:
    """Keep a shard while no page of it is done; ``None`` when another has taken it."""
    mine = tx.rows(
        f"UPDATE shard SET leased_until = ?, throttled = ? WHERE {MINE} RETURNING number",  # noqa: S608
        *(tx.now() + lease, _text(throttled), *own(shard)),
    )
    return _orders(tx, shard.job, 0, 0.0) if mine else None


def release(
    tx: Transaction,
    shard: ShardRecord,
    *,
    error: str | None = None,
    not_before: float = 0.0,
    failed: bool = False,
) -> bool:
    """Give a shard back; return whether it was still one's own.

    :param error: why, if it is for one.
    :param not_before: nobody claims it before that time, in seconds since the epoch.
    :param failed: whether nobody claims it until the job is started again.
    """
    status = ShardStatus.FAILED if failed else ShardStatus.READY
    mine = tx.rows(
        "UPDATE shard SET status = ?, owner = NULL, leased_until = 0.0, throttled = NULL, error = ?,"  # noqa: S608
        f" not_before = ? WHERE {MINE} RETURNING number",
        *(status.value, error, not_before, *own(shard)),
    )
    if mine and failed:
        facts = {"shard": shard.number, "error": error}
        append(tx, shard.job, by=shard.owner or "worker", what="shard failed", facts=facts)
    return bool(mine)


def restart(tx: Transaction, job_id: int, *, by: str = "worker") -> None:
    """Set all shards back to their start; who works on one loses it. What was counted begins at 0 again.

    The rows that the approval allows are not given back.
    """
    job = find_job(tx, job_id)
    if job.status not in _RESTARTED:
        raise JobRefusedError(f"job {job_id} is {job.status}: it cannot begin again")
    tx.rows(
        "UPDATE shard SET cursor = NULL, status = 'ready', owner = NULL, generation = generation + 1,"
        " leased_until = 0.0, attempts = 0, not_before = 0.0, read = 0, kept = 0, newer = 0, leased = 0,"
        " rejected = 0, dead = 0, pages = 0, repeated = 0, throttled = NULL, error = NULL WHERE job = ?",
        job_id,
    )
    # "missing" leaves alone what was written before, which may have expired that much earlier.
    started = job.started if job.plan.spec.policy == "missing" else tx.now()
    tx.rows("UPDATE job SET started = ?, seconds_running = 0.0 WHERE id = ?", started, job_id)
    tx.rows("DELETE FROM dead WHERE job = ?", job_id)
    append(tx, job_id, by=by, what="restarted", facts={})


def _orders(tx: Transaction, job_id: int, rows: int, seconds: float) -> Orders:
    ((wanted, status, settings, dead),) = tx.rows(
        "UPDATE job SET seconds_running = seconds_running + ? WHERE id = ?"
        " RETURNING wanted, status, settings,"
        " (SELECT CAST(coalesce(sum(dead), 0) AS INTEGER) FROM shard WHERE shard.job = job.id)",
        *(seconds, job_id),
    )
    return Orders(
        wanted=Wanted(wanted),
        status=JobStatus(status),
        settings=settings_of(settings),
        allowance=spend_rows(tx, job_id, rows),
        dead=dead,
    )


def own(shard: ShardRecord) -> tuple[int, int, int, str | None]:
    """Return the parameters of `MINE`."""
    return shard.job, shard.number, shard.generation, shard.owner


def _text(throttled: Throttled | None) -> str | None:
    return None if throttled is None else msgspec.json.encode(throttled).decode()


def _record(*row: Any) -> ShardRecord:
    job, number, low, high, cursor, status, owner, generation, until, attempts, not_before, *rest = row
    read, kept, newer, leased, rejected, dead, pages, repeated, batch, throttled, error = rest
    return ShardRecord(
        job=job,
        number=number,
        low=low,
        high=high,
        cursor=cursor,
        status=ShardStatus(status),
        owner=owner,
        generation=generation,
        leased_until=until,
        attempts=attempts,
        not_before=not_before,
        counts=JobCounts(read=read, kept=kept, newer=newer, leased=leased, rejected=rejected, dead=dead),
        pages=pages,
        repeated=repeated,
        batch=batch,
        throttled=None if throttled is None else msgspec.json.decode(throttled, type=Throttled),
        error=error,
    )
