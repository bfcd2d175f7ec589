"""A verification lives by a lease, and obeys: after its page, or soon when an end does not answer."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from anyio import Event, create_task_group, current_time, sleep, sleep_forever

from async_backfill._jobs._errors import JobStateError
from async_backfill._jobs._records import JobStatus, Wanted
from async_backfill._jobs._report import report
from async_backfill._jobs._state.log import lines
from async_backfill._jobs._verifying.verify import verify
from async_backfill._jobs._verifying.verifying import Request
from async_backfill.jobs import Jobs
from tests.jobs.table import Table, rows_of
from tests.jobs.working import Job, Shelf

pytestmark = pytest.mark.anyio

ALL = Request(sample=None, apart=0.1)


class Slow(Table):
    """A table whose pages take two seconds once its rows are copied."""

    is_slow = False

    async def rows(self, **bounds):
        async with aclosing(super().rows(**bounds)) as pages:
            async for page in pages:
                await sleep(2.0 * self.is_slow)
                yield page


class Silent(Shelf):
    """A store that says nothing once rows are compared."""

    is_silent = False

    async def get_many(self, _, /):
        self.is_silent = True
        return await sleep_forever()


def compared_slowly(state, **spec):
    """A job whose rows are copied in a moment, and compared in 16 seconds."""

    class Compared(Shelf):
        async def get_many(self, keys, /):
            job.table.is_slow = True
            return await super().get_many(keys)

    job = Job(state, table=Slow(rows_of(8_000)), cuts=7, **spec)
    return job.on(Compared())


@pytest.fixture
async def job(state):
    return compared_slowly(state)


async def verifying(job, seconds, *, owner="w1", **settings):
    """Let ``job`` be copied and verified, and end after so many seconds of its verification."""
    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work(owner, request=ALL, **settings))
        while job.record.status is not JobStatus.VERIFYING:  # noqa: ASYNC110 - in virtual time
            await sleep(0.01)
        await sleep(seconds)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("wanted", "status"), [(Wanted.PAUSE, JobStatus.PAUSED), (Wanted.CANCEL, JobStatus.CANCELLED)]
)
async def test_an_operator_ends_a_verification_after_its_page(job, wanted, status):
    async with create_task_group() as tasks:
        tasks.start_soon(verifying, job, 10.0)
        await sleep(5.1)
        job.want(wanted, "asked")
        assert job.record.status is JobStatus.VERIFYING
        await sleep(1.1)
        assert (job.record.status, job.record.reason) == (status, "asked")
        tasks.cancel_scope.cancel()


async def test_a_verification_that_was_paused_goes_on_and_decides(job):
    async with create_task_group() as tasks:
        tasks.start_soon(verifying, job, 10.0)
        await sleep(5.1)
        job.want(Wanted.PAUSE)
        await sleep(2.0)
        tasks.cancel_scope.cancel()
    assert job.record.status is JobStatus.PAUSED

    job.start()
    assert (await job.work("w2", request=ALL)).status is JobStatus.DONE
    assert '"compared":8000' in next(
        line.facts for line in reversed(job.state.now(lines, job.id)) if line.what == "verified"
    )


async def test_a_pause_is_obeyed_although_the_store_answers_no_comparison(state):
    job = Job(state, 1_000).on(Silent())

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        while not job.store.is_silent:  # noqa: ASYNC110 - in virtual time
            await sleep(0.01)
        job.want(Wanted.PAUSE, "the store hangs")
        await sleep(1.1)
        assert (job.record.status, job.record.reason) == (JobStatus.PAUSED, "the store hangs")


async def test_a_worker_that_is_ended_pauses_the_verification(job):
    stop = Event()

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work(request=ALL, stop=stop))
        await sleep(5.1)
        assert job.record.status is JobStatus.VERIFYING
        stop.set()

    assert job.record.status is JobStatus.PAUSED


async def test_a_worker_that_does_not_pause_leaves_the_verification_to_the_next(job):
    stop = Event()

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work(request=ALL, stop=stop, pauses=False))
        await sleep(5.1)
        begin = current_time()
        stop.set()

    assert current_time() == begin
    assert (job.record.status, job.record.reason) == (JobStatus.VERIFYING, None)
    assert (await job.work("w2", request=ALL)).status is JobStatus.DONE


async def test_a_worker_that_is_ended_after_somebody_asked_to_cancel_cancels(job):
    stop = Event()

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work(request=ALL, stop=stop))
        await sleep(5.1)
        job.want(Wanted.CANCEL)
        stop.set()

    assert job.record.status is JobStatus.CANCELLED


async def test_a_verification_that_was_lost_is_interrupted_and_begins_again(job):
    await verifying(job, 5.0)
    assert job.record.status is JobStatus.VERIFYING
    assert (
        report(job.record, job.shards, (), {}, now=job.state.now(lambda tx: tx.now())).status == "verifying"
    )
    job.want(Wanted.PAUSE, "lunch")
    assert report(job.record, job.shards, (), {}, now=job.state.now(lambda tx: tx.now())).status == "pausing"
    job.start()

    await sleep(31.0)
    assert (
        report(job.record, job.shards, (), {}, now=job.state.now(lambda tx: tx.now())).status == "interrupted"
    )
    begin = current_time()
    assert (await job.work("w2", request=ALL)).status is JobStatus.DONE
    assert current_time() - begin >= 14.0


@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_job_that_was_done_is_done_again_after_a_verification_that_ended_early(job, is_paused):
    assert (await job.work(request=ALL)).status is JobStatus.DONE

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: verify(job.state, job.id, job.ends(), ALL, by="ada"))
        await sleep(5.0)
        if is_paused:
            job.want(Wanted.PAUSE)
            await sleep(2.0)
        tasks.cancel_scope.cancel()
    assert job.record.status is (JobStatus.PAUSED if is_paused else JobStatus.VERIFYING)

    job.start()
    record = await job.work("w2", request=ALL)
    assert (record.status, record.reason) == (JobStatus.DONE, None)
    assert job.facts.marks == {}


async def test_a_lost_verification_is_cancelled_at_once(job):
    await verifying(job, 5.0)
    await sleep(31.0)

    record = job.want(Wanted.CANCEL, "not needed")

    assert (record.status, record.reason) == (JobStatus.CANCELLED, "not needed")


@pytest.mark.parametrize("wanted", [Wanted.PAUSE, Wanted.CANCEL])
async def test_what_is_asked_when_all_is_compared_stops_no_later_verification(state, wanted):
    job = Job(state, 1_000)
    assert (await job.work()).status is JobStatus.DONE

    await verify(state, job.id, job.ends(), ALL, by="ada", progress=lambda _: job.want(wanted))
    assert (job.record.status, job.record.wanted) == (JobStatus.DONE, Wanted.RUN)
    assert job.facts.marks == {}

    job.table.data["k00005"] = "another value"  # the second look at it is 2 s later
    found = await verify(state, job.id, job.ends(), Request(sample=None, apart=2.0), by="ada")
    assert (found.stopped, found.compared, found.wrong) == (None, 1_000, 1)
    assert job.record.status is JobStatus.DONE_WITH_GAPS


@pytest.mark.parametrize(
    ("wanted", "status"), [(Wanted.PAUSE, JobStatus.DONE_WITH_GAPS), (Wanted.CANCEL, JobStatus.CANCELLED)]
)
async def test_a_job_with_gaps_is_cancelled_also_when_all_is_compared(state, wanted, status):
    job = Job(state, 1_000)
    await job.work()
    job.table.data["k00005"] = "another value"

    found = await verify(state, job.id, job.ends(), ALL, by="ada", progress=lambda _: job.want(wanted))

    assert (found.stopped, found.wrong, job.record.status) == (None, 1, status)
    assert not job.facts.marks or status is JobStatus.DONE_WITH_GAPS


async def test_rows_that_expire_while_they_are_compared_are_no_gaps(state):
    job = compared_slowly(state, ttl=10.0, ttl_jitter=0.0)

    assert (await job.work(request=ALL)).status is JobStatus.DONE
    assert '"missing":0' in state.now(lines, job.id)[-2].facts
    assert '"expired":0' not in state.now(lines, job.id)[-2].facts


async def test_a_state_that_goes_away_when_all_is_compared_costs_no_verification(state):
    job = Job(state, 1_000)
    await job.work()

    def go_away(_):
        state.broken = "the server has gone"

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: verify(state, job.id, job.ends(), ALL, by="ada", progress=go_away))
        await sleep(200.0)
        state.broken = None
    assert job.record.status is JobStatus.DONE
    assert state.now(lines, job.id)[-2].what == "verified"


async def test_a_state_that_is_away_before_a_verification_fails_it_at_once(state):
    job, begin = Job(state, 1_000), current_time()
    state.broken = "there is no such state"

    with pytest.raises(JobStateError, match="no such state"):
        await Jobs(state).verify(job.id, by="ada")
    assert current_time() == begin


async def test_a_worker_that_is_ended_while_the_state_is_away_compares_no_further(job):
    stop = Event()

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work(request=ALL, stop=stop))
        await sleep(5.1)
        job.state.broken = "the disk is full"
        await sleep(1.1)
        stop.set()
        await sleep(0.6)
        reads = job.table.reads
        await sleep(30.0)
        assert job.table.reads == reads
        job.state.broken = None

    assert job.record.status is JobStatus.PAUSED


async def test_a_state_that_cannot_be_written_for_a_while_delays_no_verification(job):
    async with create_task_group() as tasks:
        tasks.start_soon(lambda: job.work(request=ALL))
        await sleep(5.1)
        job.state.broken = "the disk is full"
        await sleep(3.0)
        job.state.broken = None

    assert job.record.status is JobStatus.DONE


async def test_any_verification_of_a_paused_job_leaves_its_status(job):
    async with create_task_group() as tasks:
        tasks.start_soon(verifying, job, 10.0)
        await sleep(5.1)
        job.want(Wanted.PAUSE)
        await sleep(2.0)
        tasks.cancel_scope.cancel()

    found = await verify(job.state, job.id, job.ends(), ALL, by="ada")

    assert (found.compared, job.record.status) == (8_000, JobStatus.PAUSED)
