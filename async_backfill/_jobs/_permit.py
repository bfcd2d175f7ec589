"""The one permit that a job takes before it runs, where it shares the backfill permits of caches."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from async_backfill._jobs._calls import answer
from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._state.log import append

if TYPE_CHECKING:
    from async_backfill._jobs._ends import JobEnds
    from async_backfill.contracts import JobState, Transaction

_SECONDS: Final = 5.0
_SPENT: Final = "permit spent"
_NONE_LEFT: Final = (
    "waits for approval: no permit is left in the budget that it shares: approve one more there"
)


async def take_permit(state: JobState, job_id: int, ends: JobEnds[Any, Any], *, by: str) -> None:
    """Take the permit of a job that has none yet, if its ends have permits.

    :raises JobRefusedError: when none is left; the job says so as its reason.
    :raises JobError: when the permits cannot be asked for.
    """
    if ends.permits is None or await state.transact(partial(_has_permit, job_id=job_id)):
        return
    is_spent, left = await answer(ends.permits.acquire, _SECONDS, "the permits could not be asked for")

    def note(tx: Transaction) -> None:
        if is_spent:
            append(tx, job_id, by=by, what=_SPENT, facts={"left": left})
        else:
            tx.rows("UPDATE job SET reason = ? WHERE id = ?", _NONE_LEFT, job_id)
            append(tx, job_id, by=by, what="permit refused", facts={"left": left})

    await state.transact(note)
    if not is_spent:
        raise JobRefusedError(f"job {job_id} {_NONE_LEFT}")


async def require_permit(state: JobState, job_id: int, ends: JobEnds[Any, Any]) -> None:
    """Check that who started a job has taken its permit, if its ends have permits.

    :raises JobRefusedError: when nobody has.
    """
    if ends.permits is not None and not await state.transact(partial(_has_permit, job_id=job_id)):
        raise JobRefusedError(f"job {job_id} has taken no permit: run it")


def _has_permit(tx: Transaction, job_id: int) -> bool:
    return bool(tx.rows("SELECT 1 FROM log WHERE job = ? AND what = ? LIMIT 1", job_id, _SPENT))
