"""What goes wrong with single rows while a job runs; the numbers are those of the list of failures."""

from __future__ import annotations

import math

import pytest
from anyio import sleep

from async_backfill._jobs._packing import unpack
from async_backfill._jobs._records import JobStatus
from async_backfill._jobs._spec import JobSettings
from async_backfill._jobs._state.dead import dead_rows
from async_backfill.contracts import Kept
from async_backfill.outcomes import Failed
from tests.jobs.table import Table, rows_of
from tests.jobs.working import Job, Shelf

pytestmark = pytest.mark.anyio

ONE_LANE = JobSettings(batch=100, lanes=1)


class Poisoned(Shelf):
    """A store in which some rows cannot be written."""

    def __init__(self, bad):
        async def before(items):
            if not bad.isdisjoint(items):
                raise ValueError("a poisoned row")

        super().__init__(before)


async def test_5_a_row_that_changes_between_read_and_write_keeps_its_newer_value(state):
    job = Job(state, 300, cuts=0, settings=ONE_LANE)

    async def before(items):
        if "k00150" in items:
            job.table.data["k00150"] = "new"
            del job.table.data["k00160"]
            await sleep(0.1)
            await shelf.inner.set_many({"k00150": "new"})
            await shelf.inner.delete_many(["k00160"])

    shelf = job.on(Shelf(before)).store
    assert (await job.work()).status is JobStatus.DONE

    assert job.count("newer") == 2
    assert await job.wrong() == []
    assert await shelf.get_many(["k00160"]) == {}


async def test_12_a_bad_row_is_dead_in_few_calls_and_all_others_are_written(state):
    job = Job(state, 4_096, cuts=0, settings=JobSettings(batch=1_024, lanes=1))
    shelf = job.on(Poisoned({"k02000"})).store
    record = await job.work()

    assert record.status is JobStatus.DONE_WITH_GAPS
    assert (job.count("dead"), job.count("kept")) == (1, 4_095)
    assert len(shelf.writes) <= 4 + math.log2(1_024) + 1
    ((row,)) = state.now(dead_rows, job.id)
    assert (unpack(row.key), row.error) == ("k02000", "ValueError: a poisoned row")
    assert await job.wrong() == ["k02000"]


async def test_12_rows_that_cannot_be_made_or_kept_are_dead_with_their_error(state):
    table = Table(rows_of(300) | {"k00100": Failed(ValueError("no number"))})

    class Small(Shelf):
        async def set_page(self, items, /, *, read_at, ttl=None):
            large = {key: "too large" for key in items if key == "k00200"}
            kept = await self.inner.set_page(
                {key: value for key, value in items.items() if key not in large}, read_at=read_at, ttl=ttl
            )
            return Kept(kept=kept.kept, newer=kept.newer, leased=kept.leased, rejected=large)

    job = Job(state, table=table, cuts=0, settings=ONE_LANE).on(Small())
    await job.work()

    assert (job.count("dead"), job.count("rejected"), job.count("kept")) == (2, 0, 298)
    assert [row.error for row in state.now(dead_rows, job.id)] == ["ValueError: no number", "too large"]


async def test_12_more_dead_rows_than_allowed_fail_the_job(state):
    bad = {f"k{number:05}" for number in range(0, 2_000, 100)}
    job = Job(state, 2_000, cuts=0, max_dead=5, settings=ONE_LANE).on(Poisoned(bad))
    record = await job.work()

    assert record.status is JobStatus.FAILED
    assert "max_dead" in record.reason
    assert job.count("dead") == 6


async def test_a_page_too_large_to_be_written_in_time_is_read_again_in_smaller_ones(state):
    async def before(items):
        await sleep(len(items) * 0.01)

    job = Job(state, 2_000, cuts=0, settings=JobSettings(batch=1_000, lanes=1)).on(Shelf(before))

    assert (await job.work()).status is JobStatus.DONE
    assert await job.wrong() == []
    assert job.count("read") == 2_000
