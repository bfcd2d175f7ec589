"""`Jobs` over a source and a store of one's own, in virtual time."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from functools import partial

import pytest
from anyio import Event, create_task_group, sleep

from async_backfill.errors import ConfigurationError
from async_backfill.jobs import JobEnds, JobError, JobRefusedError, Jobs, JobSettings, JobSpec
from async_backfill.outcomes import Failed
from async_backfill.testing import MemoryFarStore
from tests.jobs.table import Facts, Table, rows_of
from tests.jobs.working import slow

pytestmark = pytest.mark.anyio


class Shop:
    """Tables and a store, opened by the name of a table; one in ``closed`` cannot be."""

    def __init__(self):
        self.tables = {name: Table(rows_of(400)) for name in ("a", "b", "c")}
        self.stores = {name: MemoryFarStore() for name in self.tables}
        self.facts = Facts()
        self.closed = set()
        self.opened = []

    @asynccontextmanager
    async def open(self, spec):
        name = spec.source["table"]
        self.opened.append(name)
        if name in self.closed:
            raise OSError(f"no route to {name}")
        table = self.tables[name]
        yield JobEnds(
            rows=table,
            source=table,
            store=self.stores[name],
            source_facts=table,
            store_facts=self.facts,
        )


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
async def jobs(state, shop):
    async with Jobs(state, open_ends=shop.open) as opened:
        yield opened


async def approved(jobs, name="a", **changes):
    spec = JobSpec(name=name, source={"table": name}, store={}, shards=2, **changes)
    job = await jobs.plan(spec, by="ada")
    await jobs.approve(job.id, plan_hash=job.plan_hash, by="bob", reason="new prices")
    return job.id


async def started(jobs, *names):
    """Let jobs of these tables run without a worker, and return their numbers."""
    ids = [await approved(jobs, name) for name in names]
    for job_id in ids:
        await jobs.resume(job_id, by="bob")
    return ids


async def test_differences_are_found_told_by_their_keys_and_repaired(jobs, shop):
    job_id = await approved(jobs)
    await jobs.run(job_id, by="bob")
    store = shop.stores["a"]
    await store.set_many({"k00001": "old", "of nobody": "a value"})
    await store.delete_many(["k00002"])

    found = await jobs.verify(job_id, by="eve", sample=None, extra=True)
    assert (found.wrong, found.missing, found.extra) == (1, 1, 1)
    assert await jobs.findings(job_id) == {"k00001": "wrong", "k00002": "missing", "of nobody": "extra"}
    assert (await jobs.status(job_id)).status == "done_with_gaps"

    repaired = await jobs.verify(job_id, by="eve", sample=None, extra=True, repair=True)
    assert (repaired.repaired, repaired.left) == (3, 0)
    assert await jobs.findings(job_id) == {}
    assert (await jobs.status(job_id)).status == "done"


async def test_a_job_that_is_done_is_not_run_again(jobs):
    job_id = await approved(jobs)
    await jobs.run(job_id, by="bob")

    with pytest.raises(JobRefusedError, match="is done: plan a new one"):
        await jobs.run(job_id, by="bob")


@pytest.mark.parametrize("sample", [0, 0.0, -1, 1.5, "all", True])
async def test_a_sample_that_is_none_is_refused(jobs, sample):
    job_id = await approved(jobs)

    with pytest.raises(ConfigurationError, match="sample"):
        await jobs.verify(job_id, by="eve", sample=sample)


async def test_dead_rows_are_told_by_their_keys_and_retried(jobs, shop):
    shop.tables["a"].data["k00007"] = Failed(ValueError("no price"))
    job_id = await approved(jobs)

    assert (await jobs.run(job_id, by="bob")).status == "done_with_gaps"
    assert await jobs.dead(job_id) == {"k00007": "ValueError: no price"}

    shop.tables["a"].data["k00007"] = "value 7"
    assert (await jobs.retry_dead(job_id, by="bob")).written == 1
    assert await jobs.dead(job_id) == {}
    assert (await jobs.run(job_id, by="bob")).status == "done"


async def test_a_worker_takes_each_job_that_runs(jobs):
    ids = await started(jobs, "a", "b")
    await approved(jobs, "c")

    assert await jobs.work() == 2
    assert [report.status for report in await jobs.list()] == ["done", "done", "approved"]
    assert ids == [1, 2]


async def test_a_job_that_cannot_be_worked_on_keeps_no_other_from_it(jobs, shop, caplog):
    await started(jobs, "a", "b")
    shop.closed.add("a")
    shop.opened.clear()

    with caplog.at_level(logging.WARNING), pytest.raises(OSError, match="no route to a"):
        await jobs.work()

    assert [report.status for report in await jobs.list()] == ["interrupted", "done"]
    assert shop.opened == ["a", "b"]
    assert caplog.messages == ["job 1 cannot be worked on: OSError: no route to a"]


async def test_a_job_whose_plan_is_damaged_keeps_no_other_from_a_worker(jobs, state):
    await started(jobs, "a", "b")
    state.now(lambda tx: tx.rows("UPDATE job SET plan = ? WHERE id = 1", b"{}"))

    with pytest.raises(JobError, match="the plan of job 1 was changed or damaged"):
        await jobs.work()
    assert (await jobs.status(2)).status == "done"


async def test_a_worker_that_waits_takes_what_is_started_later_and_tries_again(jobs, shop):
    stop = Event()
    await started(jobs, "a")
    shop.closed.add("a")

    async with create_task_group() as tasks:
        tasks.start_soon(partial(jobs.work, wait=True, stop=stop))
        await sleep(12.0)
        tries = len(shop.opened)
        shop.closed.clear()
        await started(jobs, "b")
        await sleep(60.0)
        stop.set()

    assert 3 <= tries <= 5
    assert [report.status for report in await jobs.list()] == ["done", "done"]


async def test_a_worker_of_one_job_says_that_it_does_not_run(jobs):
    job_id = await approved(jobs)

    with pytest.raises(JobRefusedError, match="is approved, it does not run"):
        await jobs.work(job_id)


async def test_a_worker_joins_no_job_whose_source_has_changed(jobs, shop):
    (job_id,) = await started(jobs, "a")
    shop.tables["a"].columns = "id text, value bytea"

    with pytest.raises(JobRefusedError, match="other columns"):
        await jobs.work(job_id)


async def test_loads_of_the_same_process_come_first(jobs):
    job_id = await approved(jobs)
    busy, stop = [True], Event()

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: jobs.run(job_id, by="bob", stop=stop, is_busy=lambda: busy[0]))
        await sleep(5.0)
        report = await jobs.status(job_id)
        busy[0] = False

    assert (report.counts.read, report.throttled.reason) == (0, "live loads")
    assert (await jobs.status(job_id)).status == "done"


async def test_the_speed_that_is_shown_counts_reading_and_waiting(jobs, shop):
    shop.tables["a"] = slow(1_000)
    job_id = await approved(jobs, settings=JobSettings(batch=100, lanes=1))
    stop = Event()

    async with create_task_group() as tasks:
        tasks.start_soon(partial(jobs.run, job_id, by="bob", stop=stop))
        await sleep(2.2)
        unhindered = await jobs.status(job_id)
        await jobs.set(job_id, by="bob", rate=20.0)
        await sleep(0.1)
        slowed = await jobs.status(job_id)
        stop.set()

    assert 150.0 <= unhindered.rows_per_second <= 250.0  # pages of 100 rows that take half a second
    assert unhindered.eta_seconds == pytest.approx(
        (1_000 - unhindered.counts.read) / unhindered.rows_per_second
    )
    assert slowed.rows_per_second == 20.0
