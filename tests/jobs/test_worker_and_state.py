"""What goes wrong with workers, state and approval; the numbers are those of the list of failures."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from anyio import create_task_group, fail_after, sleep

from async_backfill._jobs._errors import JobRefusedError, JobStateError
from async_backfill._jobs._mark import Mark
from async_backfill._jobs._records import JobStatus, ShardStatus
from async_backfill._jobs._reports import JobReports
from async_backfill._jobs._running.course import Course
from async_backfill._jobs._running.desk import Desk
from async_backfill._jobs._running.held_shard import HeldShard
from async_backfill._jobs._running.meter import Meter
from async_backfill._jobs._running.waiting import Lane
from async_backfill._jobs._spec import JobSettings, ThrottleLimits
from async_backfill._jobs._state.log import lines
from async_backfill._jobs._state.shards import claim
from async_backfill.contracts import StoreState
from tests.jobs.table import Facts, Table, rows_of
from tests.jobs.working import BEGIN, Job, Shelf, slow, wall

pytestmark = pytest.mark.anyio

ONE_LANE = JobSettings(batch=100, lanes=1)


async def test_1_after_a_worker_is_lost_at_most_a_page_a_lane_is_repeated(state):
    job = Job(state, table=slow(), settings=JobSettings(batch=100, lanes=2))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(2.2)
        state.broken = "gone"  # nothing more is heard of it, not even that it gives its shards back
        tasks.cancel_scope.cancel()
    state.broken = None
    for shard in job.shards:  # as it was: leased
        assert shard.status in {ShardStatus.RUNNING, ShardStatus.READY}
    assert (await job.work("w2")).status is JobStatus.DONE

    assert await job.wrong() == []
    assert job.count("read") == 2_000
    assert sum(shard.repeated for shard in job.shards) <= 2


async def test_a_state_that_goes_away_during_the_verification_is_waited_for(state, caplog):
    class Slow(Shelf):
        async def get_many(self, keys, /):
            await sleep(1.0)
            return await super().get_many(keys)

    job = Job(state, 500)
    job.on(Slow())

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        with fail_after(60.0):
            while job.record.status is not JobStatus.VERIFYING:  # noqa: ASYNC110 - of a state
                await sleep(0.1)
        state.broken = "the server has gone"
        await sleep(100.0)
        assert job.record.status is JobStatus.VERIFYING
        state.broken = None

    assert job.record.status is JobStatus.DONE
    assert "is waited for: the server has gone" in caplog.text


async def test_3_a_sleeper_writes_no_page_and_no_checkpoint_once_another_has_its_shard(state):
    held = {}

    class Sleeping(Table):
        async def rows(self, **bounds):
            async with aclosing(super().rows(**bounds)) as pages:
                async for page in pages:
                    if held.get("sleeps"):
                        held["sleeps"] = False
                        state.broken = "asleep"
                        await sleep(40.0)
                        state.broken = None
                        # Meanwhile another worker has taken the shard.
                        state.now(claim, job.id, owner="other/0", lease=300.0)
                    yield page

    job = Job(state, table=Sleeping(rows_of(1_000)), cuts=0, settings=ONE_LANE)
    shelf = job.on(Shelf()).store

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(0.0)
        held["sleeps"] = True
        await sleep(45.0)
        told, pages = len(shelf.writes), job.shards[0].pages
        assert job.shards[0].owner == "other/0"
        await sleep(20.0)
        assert (len(shelf.writes), job.shards[0].pages) == (told, pages)
        tasks.cancel_scope.cancel()


async def test_3_who_slept_beyond_his_lease_asks_before_he_writes(state):
    job = Job(state, 1_000, cuts=0, settings=ONE_LANE)
    desk = Desk(state, job.id, owner="w1", lease=30.0, patience=1.0, has_stopped=lambda: False)
    ends, facts = job.ends(), job.facts
    meter = Meter(ends, ThrottleLimits(), is_busy=bool, minute=int, read_url=None)
    course = Course(job.record, ends, desk, meter, Mark(facts, job.record), 0, JobReports())
    held = HeldShard(course, Lane(0, course, wall), await desk.claim(0))

    await sleep(29.0)
    assert await held.is_mine()
    await sleep(2.0)
    assert await held.is_mine()  # it is over, and nobody else was there
    await sleep(31.0)
    state.now(claim, job.id, owner="other/0", lease=300.0)
    assert not await held.is_mine()


async def test_4_two_workers_begin_at_once_and_no_shard_is_copied_twice(state):
    job = Job(state, 2_000, cuts=7, settings=ONE_LANE)

    async with create_task_group() as tasks:
        tasks.start_soon(job.work, "w1")
        tasks.start_soon(job.work, "w2")

    assert job.record.status is JobStatus.DONE
    assert (job.count("read"), sum(shard.pages for shard in job.shards)) == (2_000, 24)


async def test_15_a_store_whose_clock_is_another_one_is_refused_at_the_start(state):
    job = Job(state, 1_000)

    class Early(Facts):
        async def state(self):
            return StoreState(clock=BEGIN - 3.0)

    job.facts = Early()
    with pytest.raises(JobRefusedError, match=r"the clock of the store is -3\.0 s from that of this machine"):
        await job.work()
    assert job.count("read") == 0


async def test_17_a_state_that_cannot_be_written_is_waited_for_and_the_log_says_so(state):
    job = Job(state, table=slow(1_000), settings=JobSettings(batch=100))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(1.7)
        state.broken = "the disk is full"
        await sleep(10.0)
        state.broken = None

    assert job.record.status is JobStatus.DONE
    assert job.count("read") == 1_000
    assert await job.wrong() == []
    said = [line.facts for line in state.now(lines, job.id) if line.what == "state unusable"]
    assert said
    assert "the disk is full" in said[0]


async def test_17_a_state_that_goes_away_again_at_once_is_waited_for_as_well(state):
    job = Job(state, 100, cuts=0)
    answers = iter([JobStateError("the disk is full"), None, JobStateError("it was moved"), None, None])

    class ComesAndGoes:
        async def transact(self, work, /):
            if (error := next(answers)) is not None:
                raise error
            return await state.transact(work)

    desk = Desk(ComesAndGoes(), job.id, owner="w1", lease=30.0, patience=60.0, has_stopped=lambda: False)

    shard = await desk.claim(0)
    assert shard is not None
    assert await desk.renew(shard, None) is not None
    said = [line.facts for line in state.now(lines, job.id) if line.what == "state unusable"]
    assert ["disk" in facts for facts in said] == [True, False]


async def test_22_an_approval_that_expires_ends_the_pages_and_pauses_the_job(state):
    job = Job(state, table=slow(), seconds=2.2, settings=JobSettings(batch=100))
    record = await job.work()

    assert record.status is JobStatus.PAUSED
    assert "needs approval" in record.reason
    assert 0 < job.count("read") < 2_000
