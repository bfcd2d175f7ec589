"""A worker copies the rows of a job, and obeys."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from anyio import Event, create_task_group, sleep

from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._records import JobStatus, ShardStatus, Wanted
from async_backfill._jobs._spec import JobSettings
from async_backfill._jobs._state.approvals import revoke
from tests.jobs.working import Job, slow

pytestmark = pytest.mark.anyio


async def test_a_job_is_done_when_all_rows_are_written_and_compared(state):
    job = Job(state)
    record = await job.work()

    assert (record.status, record.reason) == (JobStatus.DONE, None)
    assert await job.wrong() == []
    assert (job.count("read"), job.count("kept"), len(job.shards)) == (5_000, 5_000, 4)
    assert {shard.status for shard in job.shards} == {ShardStatus.DONE}
    assert job.facts.marks == {}


async def test_an_empty_source_is_done_at_once(state):
    job = Job(state, 0, cuts=0)

    assert (await job.work()).status is JobStatus.DONE


async def test_two_workers_share_the_shards_of_a_job(state):
    job = Job(state, table=slow(), cuts=7, settings=JobSettings(batch=100))
    ended = []

    async def worker(owner):
        ended.append((await job.work(owner)).status)

    async with create_task_group() as tasks:
        tasks.start_soon(worker, "w1")
        tasks.start_soon(worker, "w2")

    assert JobStatus.DONE in ended
    assert await job.wrong() == []
    assert job.count("read") == 2_000
    assert sum(shard.repeated for shard in job.shards) == 0


async def test_a_pause_is_obeyed_after_the_page_and_nothing_is_repeated(state):
    job = Job(state, table=slow(), settings=JobSettings(batch=100))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(2.2)
        job.want(Wanted.PAUSE, "lunch")
        await sleep(1.6)
        assert (job.record.status, job.record.reason) == (JobStatus.PAUSED, "lunch")

    read = job.count("read")
    assert 0 < read < 2_000
    job.start()
    assert (await job.work()).status is JobStatus.DONE
    assert job.count("read") == 2_000
    assert await job.wrong() == []


async def test_a_cancelled_job_ends_for_good_and_leaves_no_mark(state):
    job = Job(state, table=slow(), settings=JobSettings(batch=100))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(1.2)
        job.want(Wanted.CANCEL)

    assert job.record.status is JobStatus.CANCELLED
    assert job.facts.marks == {}


async def test_a_worker_that_is_stopped_pauses_the_job_at_its_next_page(state):
    job, stop = Job(state, table=slow(), settings=JobSettings(batch=100)), Event()

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work(stop=stop))
        await sleep(1.2)
        stop.set()

    assert job.record.status is JobStatus.PAUSED
    assert job.record.reason == "stopped: its last worker was ended"
    assert {shard.status for shard in job.shards} == {ShardStatus.READY}


async def test_a_worker_that_does_not_pause_leaves_the_job_to_whoever_comes_later(state):
    job, stop = Job(state, table=slow(), settings=JobSettings(batch=100)), Event()

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work(stop=stop, pauses=False))
        await sleep(1.2)
        stop.set()

    assert (job.record.status, job.record.reason) == (JobStatus.RUNNING, None)
    assert {shard.status for shard in job.shards} == {ShardStatus.READY}
    assert (await job.work("w2")).status is JobStatus.DONE
    assert await job.wrong() == []
    assert job.count("read") == 2_000


async def test_a_worker_that_is_stopped_leaves_the_job_to_the_others(state):
    job, stop = Job(state, table=slow(), cuts=7, settings=JobSettings(batch=100)), Event()

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work("w1", stop=stop))
        tasks.start_soon(lambda: job.work("w2"))
        await sleep(1.2)
        stop.set()

    assert job.record.status is JobStatus.DONE
    assert await job.wrong() == []


async def test_a_worker_that_is_cancelled_gives_its_shards_back_at_once(state):
    job = Job(state, table=slow(), settings=JobSettings(batch=100))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(1.2)
        tasks.cancel_scope.cancel()

    assert {shard.status for shard in job.shards} == {ShardStatus.READY}
    assert (await job.work("w2")).status is JobStatus.DONE
    assert await job.wrong() == []
    assert job.count("read") == 2_000


async def test_new_settings_hold_from_the_next_page_on(state):
    job = Job(state, table=slow(), cuts=0, settings=JobSettings(batch=100, lanes=1))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(1.2)
        job.set(JobSettings(batch=900, lanes=1))

    assert job.record.status is JobStatus.DONE
    assert job.shards[0].pages <= 6  # of 20


async def test_more_lanes_begin_while_the_job_runs(state):
    job = Job(state, table=slow(), cuts=3, settings=JobSettings(batch=100, lanes=1))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(1.2)
        job.set(JobSettings(batch=100, lanes=4))
        await sleep(1.2)
        assert len([shard for shard in job.shards if shard.status is ShardStatus.RUNNING]) == 4
        job.set(JobSettings(batch=100, lanes=1))
        await sleep(1.2)
        assert len([shard for shard in job.shards if shard.status is ShardStatus.RUNNING]) == 1


async def test_an_approval_that_is_taken_back_ends_the_pages_and_pauses_the_job(state):
    job = Job(state, table=slow(), settings=JobSettings(batch=100))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(1.2)
        state.now(revoke, job.id, by="bob", reason="wrong prices")

    assert job.record.status is JobStatus.PAUSED
    assert "needs approval" in job.record.reason
    assert job.count("read") < 2_000


@pytest.mark.parametrize("lanes", [1, 4])
async def test_no_more_rows_are_read_than_were_approved(state, lanes):
    job = Job(state, table=slow(), max_rows=250, settings=JobSettings(batch=100, lanes=lanes))
    record = await job.work()

    assert record.status is JobStatus.PAUSED
    assert "needs approval" in record.reason
    assert job.count("read") == 250


async def test_a_job_that_does_not_run_is_refused(state):
    job = Job(state)
    await job.work()

    with pytest.raises(JobRefusedError, match="is done, it does not run"):
        await job.work()


@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_the_rate_is_kept_whatever_the_number_of_workers(state, workers):
    job = Job(state, 12_000, cuts=15, settings=JobSettings(rate=1_000.0))
    read = []

    async with create_task_group() as tasks:
        for number in range(workers):
            tasks.start_soon(job.work, f"w{number}")
        await sleep(1.0)
        for _ in range(81):
            read.append(job.count("read"))
            await sleep(0.1)
        job.want(Wanted.PAUSE)

    assert abs((read[80] - read[0]) / 8_000 - 1) <= 0.03
    assert max(later - one for one, later in zip(read, read[10:], strict=False)) <= 1_050


async def test_live_loads_come_first(state):
    job, busy = Job(state, 1_000), [True]

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work(is_busy=lambda: busy[0]))
        await sleep(5.0)
        assert job.count("read") == 0
        assert {shard.throttled.reason for shard in job.shards if shard.throttled} == {"live loads"}
        busy[0] = False

    assert job.record.status is JobStatus.DONE


@pytest.mark.parametrize(("policy", "kept"), [("missing", 900), ("stale", 1_000), ("all", 1_000)])
async def test_a_policy_says_what_becomes_of_keys_that_the_store_has(state, policy, kept):
    job = Job(state, 1_000, policy=policy)
    there = dict(list(job.table.data.items())[:100])
    await job.store.set_many(there)
    await sleep(1.0)
    await job.work()

    assert (job.count("kept"), job.count("newer")) == (kept, 1_000 - kept)


@pytest.mark.parametrize(("policy", "kept"), [("stale", 999), ("all", 1_000)])
async def test_all_writes_also_what_is_as_new_as_its_row(state, policy, kept):
    job = Job(state, 1_000, cuts=0, policy=policy, settings=JobSettings(lanes=1))
    key = "k00500"

    async def before(_):
        await sleep(0.1)
        await job.store.set_many({key: job.table.data[key]})

    class Changing(type(job.table)):
        async def rows(self, **bounds):
            async with aclosing(super().rows(**bounds)) as pages:
                async for page in pages:
                    await before(page)
                    yield page

    job.table.__class__ = Changing
    await job.work()

    assert job.count("kept") == kept
    assert await job.wrong() == []
