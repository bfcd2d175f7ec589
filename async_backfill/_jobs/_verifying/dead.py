"""Retry the dead rows of a job: those that could not be copied although others could."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from async_backfill._jobs._packing import unpack
from async_backfill._jobs._rewriting import Rewriting
from async_backfill._jobs._state.dead import dead_rows, take_dead
from async_backfill._jobs._state.jobs import find_job
from async_backfill._jobs._state.log import append

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._state.dead import Became
    from async_backfill.contracts import JobState, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What became of the dead rows of a job.

    ``written``
        rows that are dead no more: the store has them, or something later, or a process is loading them.
    ``gone``
        of these, the rows that the source does not have any more.
    ``dead``
        why the others are still dead, by their keys.
    """

    written: int
    gone: int
    dead: Mapping[Any, str] = field(default_factory=dict)


async def retry_dead(
    state: JobState, job_id: int, ends: JobEnds[Any, Any], *, by: str, seconds: float = 30.0
) -> Retried:
    """Read the dead rows of a job again by their keys, and write them under its guard.

    Each is taken off the list at once, so what was done remains done when an end does not answer.

    :raises JobError: when an end does not answer.
    """
    job = await state.transact(partial(find_job, job_id=job_id))
    rewriting: Rewriting[Any, Any] = Rewriting(ends, job.plan.spec, seconds=seconds)
    written, gone, dead = 0, 0, dict[Any, str]()
    packed_keys = dict.fromkeys(row.key for row in await state.transact(partial(dead_rows, job_id=job_id)))
    for packed in packed_keys:
        key = unpack(packed)
        done = await rewriting.rewrite([key])
        if done.bad:
            dead.update(done.bad)
            continue
        written += 1
        gone += len(done.gone)
        # What is gone counts as newer: the source has something later, which is nothing.
        counts: Became = "kept" if done.kept else "leased" if done.leased else "newer"
        await state.transact(partial(take_dead, job_id=job_id, keys=[packed], counts=counts))
    facts = {"written": written, "gone": gone, "dead": len(dead)}
    await state.transact(partial(_log, job_id=job_id, by=by, facts=facts))
    return Retried(written=written, gone=gone, dead=dead)


def _log(tx: Transaction, job_id: int, by: str, facts: Mapping[str, int]) -> None:
    append(tx, job_id, by=by, what="dead rows retried", facts=facts)
