"""Split a shard in two, in the state: it ends earlier, and a new one takes the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._jobs._state.jobs import add_shard, find_job
from async_backfill._jobs._state.log import append
from async_backfill._jobs._state.shards import MINE, own

if TYPE_CHECKING:
    from async_backfill._jobs._records import ShardRecord
    from async_backfill.contracts import Transaction

_MOST: Final = 256  # or a source that is too slow everywhere would be split without an end


def split(tx: Transaction, shard: ShardRecord, middle: bytes, *, error: str) -> int | None:
    """End a shard at ``middle``, and return the number of a new one for what is behind it.

    ``None`` when another has taken the shard, or the job was split 256 times.

    :param error: why.
    """
    mine = tx.rows(f"SELECT high FROM shard WHERE {MINE}", *own(shard))  # noqa: S608
    if not mine:
        return None
    if mine[0][0] == middle:  # it was committed, and only its answer was lost
        ((number,),) = tx.rows("SELECT number FROM shard WHERE job = ? AND low = ?", shard.job, middle)
        return int(number)
    ((number,),) = tx.rows("SELECT max(number) + 1 FROM shard WHERE job = ?", shard.job)
    if number > len(find_job(tx, shard.job).plan.cuts) + _MOST:
        return None
    tx.rows(f"UPDATE shard SET high = ? WHERE {MINE}", middle, *own(shard))  # noqa: S608
    add_shard(tx, shard.job, number, middle, shard.high, shard.batch)
    facts = {"shard": shard.number, "added": number, "error": error}
    append(tx, shard.job, by=shard.owner or "worker", what="shard split", facts=facts)
    return int(number)
