"""A16: one row that the store cannot take: log2(page) + 1 calls find it, one more writes the others."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from async_backfill.contracts import GuardedStore
from async_backfill.jobs import JobEnds, Jobs, JobSettings, JobStatus
from tests.jobs.acceptance.place import Place, Shown, approved, differing, make_table, worked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.contracts import Kept

BATCH = 1_024


class _Poisoned(GuardedStore[int, str]):
    """The guard of ``store``, which counts calls and cannot write one row."""

    def __init__(self, store: Any, bad: int) -> None:
        self._store = store
        self._bad = bad
        self.calls = 0

    @property
    def deadline(self) -> float:
        return float(self._store.deadline)

    def now(self) -> float:
        return float(self._store.now())

    async def set_page(
        self, items: Mapping[int, str], /, *, read_at: float, ttl: float | None = None
    ) -> Kept[int]:
        self.calls += 1
        if self._bad in items:
            raise ValueError("a poisoned row")
        kept: Kept[int] = await self._store.set_page(items, read_at=read_at, ttl=ttl)
        return kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def _run(place: Place, rows: int) -> Shown:
    await make_table(place, rows)
    await approved(place, place.spec(settings=JobSettings(batch=BATCH, lanes=1), shards=1))
    shelves = []

    def poisoned(ends: JobEnds[Any, Any]) -> JobEnds[Any, Any]:
        shelves.append(_Poisoned(ends.store, rows // 3))
        return replace(ends, store=shelves[0])

    record = await worked(place, 1, wrap=poisoned)
    async with Jobs(place.state) as jobs:
        dead, counts = await jobs.dead(1), (await jobs.status(1)).counts
    more = shelves[0].calls - -(-rows // BATCH)
    wrong, missing = await differing(place, 1)
    holds = record.status is JobStatus.DONE_WITH_GAPS and more <= math.log2(BATCH) + 2
    return Shown(
        holds and (counts.dead, len(dead), wrong, missing) == (1, 1, 0, 1) and counts.kept == rows - 1,
        f"{record.status}: {record.reason}; {more} calls more for a page of {BATCH:,} of {rows:,} rows; "
        f"{counts.kept:,} kept, {missing} missing",
    )


def show(place: Place, *, rows: int) -> Shown:
    """Copy, with one bad row."""
    return anyio.run(partial(_run, place, rows))
