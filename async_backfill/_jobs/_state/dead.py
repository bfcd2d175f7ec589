"""What a job could not copy, and what a verification found."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, TypeAlias

from async_backfill._jobs._records import DeadRow, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from async_backfill.contracts import Transaction

Became: TypeAlias = Literal["kept", "newer", "leased"]
"""What a row that is dead no more counts as."""


def add_dead(tx: Transaction, job_id: int, shard: int, dead: Iterable[tuple[bytes, str]]) -> None:
    """Keep rows that could not be copied; `checkpoint` counts them in the same transaction."""
    for key, error in dead:
        tx.rows(
            "INSERT INTO dead (job, digest, key, shard, error, at, rows) VALUES (?, ?, ?, ?, ?, ?, 1)"
            " ON CONFLICT (job, digest, shard) DO UPDATE"
            " SET error = excluded.error, at = excluded.at, rows = dead.rows + 1",
            *(job_id, _digest(key), key, shard, error, tx.now()),
        )


def dead_rows(tx: Transaction, job_id: int) -> Sequence[DeadRow]:
    """Return the rows that could not be copied."""
    found = tx.rows("SELECT job, key, shard, error, at FROM dead WHERE job = ? ORDER BY shard, key", job_id)
    return [
        DeadRow(job=job, key=key, shard=shard, error=error, at=at) for job, key, shard, error, at in found
    ]


def take_dead(
    tx: Transaction,
    job_id: int,
    keys: Iterable[bytes],
    *,
    counts: Became = "kept",
) -> int:
    """Take note that rows are dead no more: they count as what they are now. Return how many rows."""
    taken = 0
    for key in keys:
        for shard, rows in tx.rows(
            "DELETE FROM dead WHERE job = ? AND digest = ? RETURNING shard, rows", job_id, _digest(key)
        ):
            tx.rows(
                f"UPDATE shard SET dead = dead - ?, {counts} = {counts} + ? WHERE job = ? AND number = ?",  # noqa: S608
                *(rows, rows, job_id, shard),
            )
            taken += rows
    return taken


def add_findings(tx: Transaction, job_id: int, findings: Iterable[Finding]) -> None:
    """Keep differences that a verification found; a later one of the same key takes its place."""
    for finding in findings:
        tx.rows(
            "INSERT INTO finding (job, digest, key, kind, at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (job, digest) DO UPDATE SET kind = excluded.kind, at = excluded.at",
            *(job_id, _digest(finding.key), finding.key, finding.kind, finding.at),
        )


def findings(tx: Transaction, job_id: int) -> Sequence[Finding]:
    """Return the differences that the last verification found."""
    found = tx.rows("SELECT job, key, kind, at FROM finding WHERE job = ? ORDER BY kind, key", job_id)
    return [Finding(job=job, key=key, kind=kind, at=at) for job, key, kind, at in found]


def count_findings(tx: Transaction, job_id: int) -> Mapping[str, int]:
    """Return how many differences the last verification found, by their kind."""
    found = tx.rows("SELECT kind, count(*) FROM finding WHERE job = ? GROUP BY kind ORDER BY kind", job_id)
    return dict(found)


def clear_findings(tx: Transaction, job_id: int) -> None:
    """Forget what the last verification found."""
    tx.rows("DELETE FROM finding WHERE job = ?", job_id)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
