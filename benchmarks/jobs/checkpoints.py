"""What one checkpoint costs: the real one, page after page of a job, with nothing else beside it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from async_backfill._jobs._packing import pack
from async_backfill._jobs._records import JobCounts
from async_backfill._jobs._running.desk import Desk
from async_backfill._jobs._state import shards
from async_backfill._jobs._state.approvals import start
from async_backfill._jobs._state.shards import PageDone
from async_backfill.jobs import SQLiteJobState
from benchmarks.jobs.copies import planned

if TYPE_CHECKING:
    from async_backfill.contracts import JobState
    from benchmarks.jobs.places import Place

_PAGE = 2_000


async def checkpoint_seconds(place: Place, times: int) -> tuple[float, float]:
    """Return the seconds of processor time that a checkpoint takes, and by the clock."""
    async with (
        SQLiteJobState(Path(place.folder) / "jobs.sqlite") as state,
        planned(state, place) as (_, number),
    ):
        await state.transact(partial(start, job_id=number, by="benchmark"))
        used, began = time.process_time(), time.perf_counter()
        await checkpoints(state, number, times)
        return (time.process_time() - used) / times, (time.perf_counter() - began) / times


async def checkpoints(state: JobState, job: int, times: int) -> None:
    """Take a shard of a job that runs, and note so many pages of it."""
    shard = await state.transact(partial(shards.claim, job_id=job, owner="w/0", lease=3600.0))
    assert shard is not None  # noqa: S101 - a job that runs has some
    desk = Desk(state, job, owner="w", lease=3600.0, patience=1.0, has_stopped=lambda: False)
    counts = JobCounts(read=_PAGE, kept=_PAGE)
    for page in range(times):
        await desk.checkpoint(shard, PageDone(cursor=pack(f"k{page:015}"), counts=counts, batch=_PAGE))
