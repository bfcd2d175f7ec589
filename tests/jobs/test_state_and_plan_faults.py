"""What goes wrong with state, plan and machines; the numbers are those of the list of failures."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, closing

import pytest
from anyio import create_task_group, sleep, sleep_forever

from async_backfill._jobs._errors import JobRefusedError, JobStateError
from async_backfill._jobs._records import JobStatus
from async_backfill._jobs._spec import JobSettings
from async_backfill.jobs import Jobs
from async_backfill.testing import MemoryFarStore
from tests.jobs.table import Facts, Table, ends_of, rows_of, spec_of
from tests.jobs.working import Job, slow, state_in

pytestmark = pytest.mark.anyio

PAGES = JobSettings(batch=100, lanes=2)


class Mortal:
    """The state as one machine sees it, until that dies."""

    def __init__(self, state):
        self._state = state
        self.is_dead = False

    async def transact(self, work):
        return await (sleep_forever() if self.is_dead else self._state.transact(work))


async def test_2_after_a_power_cut_the_last_checkpoints_are_repeated_and_no_row_is_lost(state, tmp_path):
    job = Job(state, table=slow(), settings=PAGES)
    machine = Mortal(state)
    (tmp_path / "kept").mkdir()

    async with create_task_group() as tasks:
        job.state = machine
        tasks.start_soon(job.work)
        await sleep(2.2)
        with (
            closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as now,
            closing(sqlite3.connect(tmp_path / "kept" / "jobs.sqlite")) as kept,
        ):
            now.backup(kept)  # what was on the disk by then
        job.state = state
        before = job.count("read")
        await sleep(1.5)
        assert job.count("read") > before
        machine.is_dead = True
        tasks.cancel_scope.cancel()

    with state_in(tmp_path / "kept") as old:
        job.state = old
        assert job.count("read") == before
        assert (await job.work("w2")).status is JobStatus.DONE
        assert (job.count("read"), await job.wrong()) == (2_000, [])


async def test_18_a_state_in_the_place_of_one_that_was_removed_is_refused(state, tmp_path):
    job = Job(state, table=slow(), settings=PAGES)
    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(1.2)
        tasks.cancel_scope.cancel()
    (tmp_path / "new").mkdir()

    with state_in(tmp_path / "new") as new:
        other = Job(new, table=job.table, settings=PAGES).on(job.store)
        other.facts = job.facts
        assert other.id == job.id
        with pytest.raises(JobRefusedError, match="the store has the mark job:1 of another state of jobs"):
            await other.work()
        assert other.count("read") == 0


async def test_19_when_the_machine_of_a_worker_dies_another_takes_its_shards(state):
    job = Job(state, table=slow(), settings=PAGES)
    machine = Mortal(state)

    async with create_task_group() as tasks, create_task_group() as dying:
        job.state = machine
        dying.start_soon(job.work, "w1")
        await sleep(0.1)
        job.state = state
        tasks.start_soon(job.work, "w2")
        await sleep(1.0)
        machine.is_dead = True
        dying.cancel_scope.cancel()

    assert job.record.status is JobStatus.DONE
    assert (job.count("read"), await job.wrong()) == (2_000, [])
    assert 0 < sum(part.repeated for part in job.shards) <= 2


async def test_19_when_all_machines_die_a_later_run_goes_on_from_the_state(state):
    job = Job(state, table=slow(), settings=PAGES)
    machine = Mortal(state)

    async with create_task_group() as tasks:
        job.state = machine
        for number in range(3):
            tasks.start_soon(job.work, f"w{number}")
        await sleep(1.7)
        machine.is_dead = True
        tasks.cancel_scope.cancel()
    job.state = state
    read = job.count("read")
    await sleep(3_600.0)
    assert (job.record.status, job.count("read")) == (JobStatus.RUNNING, read)

    assert (await job.work("later")).status is JobStatus.DONE
    assert (job.count("read"), await job.wrong()) == (2_000, [])


@pytest.fixture
async def jobs(state):
    """Jobs whose ends are in memory, one of them planned and approved."""
    table, store, facts = Table(rows_of(100)), MemoryFarStore(), Facts()

    @asynccontextmanager
    async def opened(_):
        yield ends_of(table, store, facts)

    jobs = Jobs(state, open_ends=opened)
    jobs.table = table
    job = await jobs.plan(spec_of(), by="ada")
    await jobs.approve(job.id, plan_hash=job.plan_hash, by="bob", reason="new prices")
    return jobs


@pytest.mark.parametrize("rows", [79, 121])
async def test_21_another_number_of_rows_needs_a_new_plan_and_approval(jobs, rows):
    jobs.table.data = rows_of(rows)

    with pytest.raises(JobRefusedError, match=f"the source has {rows} rows, and had 100: plan the job again"):
        await jobs.run(1, by="bob")
    assert (await jobs.status(1)).status is JobStatus.APPROVED


async def test_21_other_columns_need_a_new_plan_and_approval(jobs):
    jobs.table.columns = "id text, value integer"

    with pytest.raises(JobRefusedError, match="the source has other columns"):
        await jobs.run(1, by="bob")
    assert (await jobs.status(1)).counts.read == 0


async def test_21_a_plan_of_which_any_byte_was_changed_does_not_run(jobs, tmp_path):
    whole = (await jobs.status(1)).plan
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)) as file:
        ((data,),) = file.execute("SELECT plan FROM job").fetchall()
        for at in range(len(data)):
            changed = bytearray(data)
            changed[at] ^= 1
            file.execute("UPDATE job SET plan = ?", (bytes(changed),))
            try:
                plan = (await jobs.status(1)).plan
            except JobStateError as error:
                assert "the plan of job 1 was changed or damaged" in str(error)  # noqa: PT017
            else:  # what was measured of the store is shown, and nothing that anybody approves
                assert plan.hash == whole.hash


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("UPDATE log SET by = 'eve' WHERE number = 3", 3),
        ("UPDATE log SET at = at + 1 WHERE number = 2", 2),
        ("DELETE FROM log WHERE number = 1", 1),
        ("DELETE FROM log WHERE number >= 3", 3),
        ("UPDATE job SET log_head = 'x'", 4),
    ],
)
async def test_23_a_log_that_was_changed_or_cut_is_found_with_its_first_bad_line(
    jobs, tmp_path, change, line
):
    assert await jobs.check_log(1) is None
    assert len(await jobs.log(1)) == 3

    with closing(sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)) as file:
        file.execute(change)

    assert await jobs.check_log(1) == line
