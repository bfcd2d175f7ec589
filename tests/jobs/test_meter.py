"""What a worker measures of its pages, and what makes it try another one."""

from __future__ import annotations

import pytest
from anyio import fail_after, sleep
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._jobs._mark import Mark
from async_backfill._jobs._reports import JobReports
from async_backfill._jobs._running.course import Course
from async_backfill._jobs._running.desk import Desk
from async_backfill._jobs._running.meter import Meter, percentile_95
from async_backfill._jobs._running.waiting import Lane
from async_backfill._jobs._spec import JobSettings, ThrottleLimits
from async_backfill.testing import MemoryFarStore, MemoryReadBudget
from tests.jobs.table import Table, ends_of
from tests.jobs.working import Job, wall


def meter_of(ends):
    limits = ThrottleLimits(source_latency=3.0)
    return Meter(ends, limits, is_busy=bool, minute=int, read_url=None)


@pytest.mark.anyio
async def test_the_first_minute_of_a_source_begins_with_its_first_page():
    meter = meter_of(ends_of(Table(), MemoryFarStore()))
    await sleep(3_600.0)  # until the hours of the job begin
    for seconds in (0.2, 2.0):
        meter.read(seconds)
        await sleep(61.0)

    assert meter.readings().source_first == 0.2


@given(st.lists(st.integers(0, 10**6), min_size=1))
def test_a_percentile_of_few_pages_is_none_that_no_page_took(seconds):
    assert min(seconds) <= percentile_95(seconds) <= max(seconds)


@pytest.mark.anyio
async def test_who_waits_for_a_place_of_a_budget_tries_a_page_once_some_have_failed(state):
    job = Job(state, 100, cuts=0, settings=JobSettings(pages=1))
    desk = Desk(state, job.id, owner="w1", lease=30.0, patience=1.0, has_stopped=lambda: False)
    ends = ends_of(job.table, job.store, job.facts, budget=MemoryReadBudget())
    meter = meter_of(ends)
    lane = Lane(0, Course(job.record, ends, desk, meter, Mark(job.facts, job.record), 0, JobReports()), wall)
    for _ in range(20):
        meter.failed()

    async with lane.pace.open():
        with fail_after(60.0):
            async with lane.pace.place():
                assert lane.throttled is None
