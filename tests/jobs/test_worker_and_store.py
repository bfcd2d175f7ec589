"""What goes wrong with the store while a job runs; the numbers are those of the list of failures."""

from __future__ import annotations

import pytest
from anyio import create_task_group, sleep, sleep_forever

from async_backfill._jobs._records import JobStatus, Wanted
from async_backfill._jobs._spec import JobSettings, ThrottleLimits
from async_backfill._jobs._state.jobs import stop_all
from async_backfill._jobs._state.shards import restart
from async_backfill._jobs._verifying.verify import verify
from async_backfill._jobs._verifying.verifying import Request
from async_backfill.contracts import StoreState
from tests.jobs.table import Facts, Table
from tests.jobs.working import Job, Shelf, slow

pytestmark = pytest.mark.anyio

ONE_LANE = JobSettings(batch=100, lanes=1)
PAGE = 0.5


async def test_6_a_leased_key_is_left_alone_and_looked_at_again_at_the_end(state):
    job = Job(state, table=slow(500), cuts=0, settings=ONE_LANE)
    await job.store.leases.acquire_many(["k00050", "k00060"], bytes(24))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(1.7)
        assert job.count("leased") == 2

    assert job.record.status in {JobStatus.DONE, JobStatus.DONE_WITH_GAPS}
    assert job.count("read") == 500 == job.count("kept") + job.count("leased")


async def test_7_while_the_store_is_down_the_page_waits_and_then_goes_on(state):
    job = Job(state, 1_000, settings=JobSettings(batch=100))

    async with create_task_group() as tasks:
        job.store.link.fail()
        tasks.start_soon(job.work)
        await sleep(20.0)
        assert job.count("read") == 0
        assert {part.throttled.reason for part in job.shards if part.throttled} == {"store"}
        job.store.link.recover()

    assert job.record.status is JobStatus.DONE
    assert await job.wrong() == []


async def test_7_a_store_that_stays_down_pauses_the_job_after_its_patience(state):
    job = Job(state, 1_000, throttle=ThrottleLimits(patience=60.0))
    job.store.link.fail()
    record = await job.work()

    assert record.status is JobStatus.PAUSED
    assert record.reason.startswith("store: ")
    job.store.link.recover()
    job.start()
    assert (await job.work()).status is JobStatus.DONE


async def test_8_a_store_that_lost_its_memory_fails_the_job_which_keeps_its_cursors(state):
    job = Job(state, table=slow(), settings=JobSettings(batch=100))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(2.2)
        read = job.count("read")
        await job.store.clear()
        job.facts.marks.clear()

    assert job.record.status is JobStatus.FAILED
    assert job.record.reason.startswith("the store lost its memory")
    assert job.count("read") == read
    job.start()
    assert (await job.work()).status is JobStatus.FAILED


async def test_8_rows_lost_after_a_second_start_are_not_taken_for_expired(state):
    job = Job(state, table=slow(1_000), settings=JobSettings(batch=100), ttl=60.0, ttl_jitter=0.0)
    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(0.7)
        job.want(Wanted.PAUSE)
    await sleep(61.0)
    state.now(restart, job.id)
    job.start()
    job.table = Table(job.table.data)
    await job.work()
    await job.store.delete_many([f"k{number:05}" for number in range(100)])

    found = await verify(job.state, job.id, job.ends(), Request(sample=None, apart=0.1), by="ada")
    assert (found.missing, found.expired, job.record.status) == (100, 0, JobStatus.DONE_WITH_GAPS)


async def test_8_a_store_that_lost_its_memory_at_the_end_is_never_done(state):
    job = Job(state, 1_000)

    class Forgetful(Facts):
        async def state(self):
            if job.count("read") >= 750:
                self.marks.clear()
            return StoreState()

    job.facts = Forgetful()
    assert (await job.work()).status is JobStatus.FAILED


async def test_8_a_store_that_is_emptied_behind_the_comparison_is_never_done(state):
    class Emptied(Shelf):
        async def get_many(self, keys, /):
            job.facts.marks.clear()
            return await super().get_many(keys)

    job = Job(state, 1_000).on(Emptied())

    assert (await job.work()).status is JobStatus.FAILED
    assert job.record.reason.startswith("the store lost its memory")


async def test_9_a_store_that_evicts_pauses_the_job_within_a_page(state):
    job = Job(state, table=slow(), cuts=0, settings=ONE_LANE)

    class Full(Facts):
        async def state(self):
            return StoreState(used=10, limit=100, evicted=7 if job.count("read") >= 500 else 3)

    job.facts = Full()
    record = await job.work()

    assert record.status is JobStatus.PAUSED
    assert "the store is full: it has evicted 4 entries" in record.reason
    assert job.count("read") <= 700


async def test_9_above_its_share_of_memory_no_page_begins(state):
    job = Job(state, 1_000, throttle=ThrottleLimits(patience=60.0))
    job.facts = Facts(used=95, limit=100)
    record = await job.work()

    assert (record.status, job.count("read")) == (JobStatus.PAUSED, 0)
    assert record.reason == "store memory: 95.0 % in use (limit: 90 %) for 60 s"


async def test_9_a_store_that_was_restarted_is_compared_in_all_rows(state):
    job = Job(state, table=slow(), cuts=0, settings=ONE_LANE)
    runs = ["first"]

    class Restarted(Facts):
        async def state(self):
            return StoreState(run=runs[-1])

    async def restart():
        await sleep(2.2)
        runs.append("second")
        await job.store.delete_many(["k00007"])  # it was written after the last snapshot

    job.facts = Restarted()
    async with create_task_group() as tasks:
        tasks.start_soon(restart)
        record = await job.work(request=Request(sample=10, apart=0.1))

    assert (record.status, record.reason) == (JobStatus.DONE_WITH_GAPS, "of 2,000 rows compared 1 missing")


async def test_9_what_was_evicted_at_any_time_is_looked_for_among_all_rows(state):
    job = Job(state, table=slow(), cuts=0, settings=ONE_LANE)
    evicted = [3]

    class Full(Facts):
        async def state(self):
            return StoreState(used=10, limit=100, evicted=evicted[0])

    job.facts = Full()
    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(2.2)
        evicted[0] += 1
        await job.store.delete_many(["k00007"])
    assert job.record.status is JobStatus.PAUSED

    job.start()
    record = await job.work("w2", request=Request(sample=10, apart=0.1))

    assert record.status is JobStatus.DONE_WITH_GAPS
    assert record.reason == "of 2,000 rows compared 1 missing"


async def test_20_a_pause_is_obeyed_as_soon_while_a_waiting_worker_meets_a_silent_store(state):
    job, silent = Job(state, table=slow(), cuts=0, settings=JobSettings(batch=100, lanes=1, rate=10.0)), []

    class Silent(Facts):
        async def state(self):
            return await (sleep_forever() if silent else super().state())

    job.facts = Silent()
    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(5.0)
        assert job.shards[0].throttled.reason == "rate"
        silent.append(True)
        await sleep(1.0)
        job.want(Wanted.PAUSE)
        await sleep(PAGE + 1.0)
        assert job.record.status is JobStatus.PAUSED


async def test_20_panic_while_writes_hang_stops_all_jobs_as_soon(state):
    async def before(_):
        await sleep_forever()

    jobs = [Job(state, table=slow(), name=name).on(Shelf(before)) for name in ("one", "two")]

    async with create_task_group() as tasks:
        for number, job in enumerate(jobs):
            tasks.start_soon(job.work, f"w{number}")
        await sleep(2.0)
        assert state.now(stop_all, by="bob", reason="panic") == [1, 2]
        await sleep(PAGE + 1.0)
        assert {job.record.status for job in jobs} == {JobStatus.PAUSED}


async def test_20_a_pause_while_a_write_hangs_is_obeyed_within_the_deadline(state):
    hangs = []

    async def before(_):
        if hangs:
            await sleep_forever()

    job = Job(state, table=slow(), settings=JobSettings(batch=100)).on(Shelf(before))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(1.7)
        hangs.append(True)
        await sleep(1.0)
        job.want(Wanted.PAUSE, "the store hangs")
        await sleep(PAGE + 1.0)
        assert job.record.status is JobStatus.PAUSED

    hangs.clear()
    job.start()
    assert (await job.work()).status is JobStatus.DONE
    assert await job.wrong() == []
