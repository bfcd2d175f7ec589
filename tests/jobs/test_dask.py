"""Who hands the shards of a job to Dask, in virtual time: a scheduler that forgets, workers that are lost."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from anyio import Event, create_task_group, current_time, fail_after, sleep

from async_backfill._jobs._errors import JobError, JobRefusedError, JobStateError
from async_backfill._jobs._packing import pack
from async_backfill._jobs._records import JobStatus, Wanted
from async_backfill._jobs._spec import JobSettings
from async_backfill._jobs._state.jobs import add_shard
from async_backfill._jobs._state.shards import claim
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.jobs import Jobs
from async_backfill.jobs import _shard_task as tasks
from async_backfill.jobs._dask_driver import Driver
from tests.jobs.table import Table, rows_of
from tests.jobs.working import Job, slow

pytestmark = pytest.mark.anyio

AWAY = tasks.NoAnswerError("no connection to the server")
ONE_LANE = JobSettings(batch=100, lanes=1)


class Future:
    def __init__(self, exception=None):
        self.status = "pending" if exception is None else "error"
        self.exception = exception

    @property
    def _state(self):
        return self


class Scheduler:
    """What the driver knows of Dask: each task runs at once, unless it is ``lost`` or ``fails``.

    ``lost``
        the shards whose first task claims them and is never heard of again.
    ``fails``
        what the tasks of shards raise.
    """

    def __init__(self, job, tasks, *, lost=(), fails=None):
        self.job, self.tasks = job, tasks
        self.lost, self.fails = set(lost), fails or {}
        self.status = "running"
        self.handed = []

    def submit(self, function, *told, key, pure):  # noqa: ARG002 - as Dask is called
        *_, number = told
        self.handed.append(number)
        if number in self.fails:
            return Future(self.fails[number])
        future = Future()
        if number in self.lost:
            self.lost.remove(number)
            self.tasks.start_soon(self._die, number)
        else:
            self.tasks.start_soon(self._read, future, number)
        return future

    async def _read(self, future, number):
        await self.job.work(f"w{len(self.handed)}", shard=number)
        future.status = "finished"

    async def _die(self, number):
        await sleep(0.2)
        self.job.state.now(claim, self.job.id, owner=f"lost{number}/0", lease=30.0, number=number)


@asynccontextmanager
async def handing_out(job, **kinds):
    """Yield a driver and its scheduler, whose tasks end with the block."""
    async with create_task_group() as tasks:
        scheduler = Scheduler(job, tasks, **kinds)
        told = ("jobs.sqlite", job.id, "hash")
        yield Driver(Jobs(job.state), scheduler, told, by="bob", patience=100.0), scheduler
        tasks.cancel_scope.cancel()


async def test_each_shard_is_one_task_and_the_last_word_is_that_of_the_state(state):
    job = Job(state, table=slow(), settings=ONE_LANE)
    async with handing_out(job) as (driver, scheduler):
        await driver.drive(Event())
    assert scheduler.handed == [0, 1, 2, 3]
    assert job.record.status is JobStatus.RUNNING
    assert (await job.work()).status is JobStatus.DONE
    assert await job.wrong() == []
    assert job.count("read") == 2_000


async def test_a_shard_that_comes_up_when_another_is_split_is_handed_out_too(state):
    job = Job(state, table=slow(), cuts=1, settings=ONE_LANE)
    middle = pack("k00500")

    def split(tx):
        ((high,),) = tx.rows("SELECT high FROM shard WHERE number = 0")
        tx.rows("UPDATE shard SET high = ? WHERE number = 0", middle)
        add_shard(tx, job.id, 2, middle, high, 100)

    async with handing_out(job) as (driver, scheduler):
        read = scheduler._read

        async def split_first(future, number):
            if number == 0:
                await sleep(1.2)
                state.now(split)
            await read(future, number)

        scheduler._read = split_first
        await driver.drive(Event())
    assert scheduler.handed == [0, 1, 2]
    assert (await job.work()).status is JobStatus.DONE
    assert [shard.counts.read for shard in job.shards] == [501, 999, 500]
    assert await job.wrong() == []


async def test_a_worker_that_dies_untold_costs_one_lease(state, caplog):
    job = Job(state, 500, settings=ONE_LANE)
    async with handing_out(job, lost={1}) as (driver, scheduler):
        with fail_after(40.0):
            await driver.drive(Event())
    assert scheduler.handed == [0, 1, 2, 3, 1]
    assert current_time() >= 30.0
    assert "worker lost1 was lost: others take what it had" in caplog.text
    assert await job.wrong() == []


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (
            {2: RuntimeError("the worker has no such module")},
            "shard 2 .* 6 times: the worker has no such module",
        ),
        (dict.fromkeys(range(4), AWAY), "shard 0 could not be read 6 times: no connection to the server"),
    ],
)
async def test_a_shard_whose_tasks_always_fail_is_given_up_with_the_error(state, fails, said):
    job = Job(state, 500, settings=ONE_LANE)
    async with handing_out(job, fails=fails) as (driver, scheduler):
        with pytest.raises(JobError, match=said):
            await driver.drive(Event())
    assert scheduler.handed.count(min(fails)) == 6


async def test_a_server_that_is_away_when_a_task_begins_is_waited_for(state):
    job = Job(state, table=slow(), settings=ONE_LANE)

    async def come_back(scheduler):
        await sleep(80.0)
        scheduler.fails.clear()

    async with handing_out(job, fails={2: AWAY, 3: AWAY}) as (driver, scheduler):
        scheduler.tasks.start_soon(come_back, scheduler)
        await driver.drive(Event())
    assert scheduler.handed.count(3) > 10
    assert await job.wrong() == []


async def test_a_server_that_stays_away_is_waited_for_as_long_as_the_patience(state):
    job = Job(state, table=slow(), settings=ONE_LANE)
    async with handing_out(job, fails={3: AWAY}) as (driver, _):
        with pytest.raises(JobError, match="has read anything for 100 s: no connection to the server"):
            await driver.drive(Event())
    assert 100.0 < current_time() < 110.0
    assert job.count("read") > 1_000


async def test_a_scheduler_that_is_gone_ends_the_run_and_a_worker_goes_on(state):
    job = Job(state, table=slow(), settings=ONE_LANE)

    async def lose(scheduler):
        await sleep(2.2)
        scheduler.status = "closed"

    async with handing_out(job) as (driver, scheduler):
        scheduler.tasks.start_soon(lose, scheduler)
        with pytest.raises(JobError, match="the scheduler of Dask is gone: run the job again"):
            await driver.drive(Event())
    assert 0 < job.count("read") < 2_000
    assert (await job.work("other")).status is JobStatus.DONE
    assert await job.wrong() == []


async def test_workers_that_do_nothing_are_waited_for_as_long_as_the_patience(state):
    job = Job(state, 500, settings=ONE_LANE)
    async with handing_out(job) as (driver, scheduler):
        scheduler.submit = lambda *_, **__: Future()
        with pytest.raises(JobError, match="no worker of Dask has read anything for 100 s"):
            await driver.drive(Event())


async def test_a_job_whose_shards_nobody_holds_for_a_moment_is_not_interrupted(state):
    job, shown = Job(state, 500, settings=ONE_LANE), []

    async def look():
        for _ in range(9):
            await sleep(10.0)
            shown.append((await Jobs(state).status(job.id)).status)

    async with handing_out(job) as (driver, scheduler):
        scheduler.submit = lambda *_, **__: Future()
        scheduler.tasks.start_soon(look)
        with pytest.raises(JobError, match="no worker of Dask"):
            await driver.drive(Event())
    assert shown[:2] == ["running", "running"]
    assert shown[-5:] == ["interrupted"] * 5


async def test_a_job_whose_last_worker_died_before_it_obeyed_is_paused(state):
    job = Job(state, 500, settings=ONE_LANE)
    async with handing_out(job, lost=range(4)) as (driver, scheduler):

        async def ask():
            await sleep(20.0)
            job.want(Wanted.PAUSE)
            assert (await Jobs(state).status(job.id)).status == "pausing"

        scheduler.tasks.start_soon(ask)
        await driver.drive(Event())
    assert (job.record.status, job.record.reason) == (JobStatus.PAUSED, "asked")
    assert current_time() < 40.0


async def test_who_hands_out_pauses_the_job_when_it_is_stopped(state):
    job, stop = Job(state, table=slow(), settings=ONE_LANE), Event()

    async def ask():
        await sleep(2.2)
        stop.set()

    async with handing_out(job) as (driver, scheduler):
        scheduler.tasks.start_soon(ask)
        await driver.drive(stop)
    assert job.record.status is JobStatus.PAUSED
    assert job.record.reason == "stopped: who handed out its shards was ended"
    assert current_time() < 10.0


async def test_a_state_that_is_away_is_waited_for(state):
    job = Job(state, table=slow(), settings=ONE_LANE)

    async def be_away():
        await sleep(1.2)
        state.broken = "the server has gone"
        await sleep(50.0)
        state.broken = None

    async with handing_out(job) as (driver, scheduler):
        scheduler.tasks.start_soon(be_away)
        await driver.drive(Event())
    assert await job.wrong() == []


async def test_who_is_stopped_while_the_state_is_away_looks_at_it_now_and_then(state):
    job, stop = Job(state, table=slow(), settings=ONE_LANE), Event()
    state.broken = "it was removed"
    stop.set()

    async with handing_out(job) as (driver, _):
        with fail_after(200.0), pytest.raises(JobStateError, match="removed"):
            await driver.drive(stop)
    assert current_time() >= 100.0
    assert state.calls <= 210


async def test_a_task_of_one_shard_reads_that_alone_and_verifies_nothing(state):
    job = Job(state, 500, cuts=1, settings=ONE_LANE)
    assert (await job.work("w1", shard=1)).status is JobStatus.RUNNING
    assert [shard.counts.read for shard in job.shards] == [0, 249]
    assert (await job.work("w2", shard=0)).status is JobStatus.RUNNING
    assert (await job.work("w3", shard=0)).status is JobStatus.RUNNING
    assert job.count("read") == 500


async def test_a_task_whose_shard_another_reads_returns_at_once(state):
    job = Job(state, 500, cuts=1, settings=ONE_LANE)
    state.now(claim, job.id, owner="other/0", lease=30.0, number=0)
    await job.work("w1", shard=0)
    assert current_time() < 1.0
    assert job.count("read") == 0


async def test_a_task_waits_with_its_shard_after_an_error_of_the_source(state):
    class Failing(Table):
        failures = 3

        async def rows(self, **bounds):
            if self.failures:
                self.failures -= 1
                raise OSError("the connection is gone")
            async for page in super().rows(**bounds):
                yield page

    job = Job(state, table=Failing(rows_of(500)), cuts=1, settings=ONE_LANE)
    await job.work("w1", shard=0)
    assert [shard.counts.read for shard in job.shards] == [251, 0]


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "is_unanswered"),
    [
        (JobError("the store does not answer"), True),
        (caused(JobError("its columns"), OSError("connection refused")), True),
        (caused(JobError("its columns"), ConfigurationError("key", "there is no such column")), False),
        (JobRefusedError("the plan does not hold any more"), False),
        (ScenarioError("$.source.url: a variable is not set"), False),
        (ModuleNotFoundError("shop"), False),
        (caused(JobStateError("its server"), OSError("connection refused")), True),
        (JobStateError("there is no such state of jobs"), False),
    ],
)
def test_what_may_be_done_later_is_told_from_what_is_set_up_wrongly(error, is_unanswered):
    assert tasks._is_unanswered(error, "postgresql://db/shop") is is_unanswered


def test_a_file_of_a_state_that_is_not_there_is_not_waited_for():
    error = caused(JobStateError("no such folder"), OSError("no such folder"))
    assert not tasks._is_unanswered(error, "jobs.sqlite")
