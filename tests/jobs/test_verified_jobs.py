"""A verification decides what becomes of a job, keeps what it found, and obeys its operator."""

from __future__ import annotations

from functools import partial

import pytest

from async_backfill._jobs._errors import JobError, JobRefusedError
from async_backfill._jobs._mark import Mark
from async_backfill._jobs._packing import pack
from async_backfill._jobs._planning.measuring import measure
from async_backfill._jobs._records import JobCounts, JobStatus
from async_backfill._jobs._state.approvals import approve, start
from async_backfill._jobs._state.dead import dead_rows, findings
from async_backfill._jobs._state.jobs import add_job, find_job
from async_backfill._jobs._state.log import first_bad_line, lines
from async_backfill._jobs._state.shards import PageDone, checkpoint, claim, shards
from async_backfill._jobs._state.sqlite import SQLiteJobState
from async_backfill._jobs._verifying.dead import retry_dead
from async_backfill._jobs._verifying.verify import verify
from async_backfill._jobs._verifying.verifying import Request
from async_backfill.contracts import StoreState
from async_backfill.outcomes import Failed
from async_backfill.testing import MemoryFarStore
from tests.jobs.table import Facts, Table, ends_of, rows_of, spec_of

pytestmark = pytest.mark.anyio

ALL = Request(sample=None)


class Job:
    """A job over forty rows in two shards, all of which were copied."""

    def __init__(self, state):
        self.state = state
        self.table, self.store, self.facts = Table(rows_of(40)), MemoryFarStore(), Facts()
        self.ends = ends_of(self.table, self.store, self.facts)

    async def run(self, *, dead=(), shards=2):
        plan = await measure(spec_of(shards=2), self.ends)
        await self.state.transact(partial(add_job, plan=plan, by="ada"))
        settings = {"plan_hash": plan.hash, "by": "ada", "reason": "a test", "max_rows": 99, "seconds": 1e6}
        await self.state.transact(partial(approve, job_id=1, **settings))
        await self.state.transact(partial(start, job_id=1, by="ada"))
        await Mark(self.facts, await self.read(find_job)).begin(has_pages=False)
        await self.store.set_many({key: row for key, row in self.table.data.items() if key not in dead})
        for number in range(shards):
            await self.state.transact(partial(self._copy, number=number, dead=dead))
        return self

    def _copy(self, tx, number, dead):
        shard = claim(tx, 1, owner="w", lease=30.0)
        mine = sorted(self.table.data)[20 * number : 20 * number + 20]
        bad = [(pack(key), "ValueError: no price") for key in mine if key in dead]
        counts = JobCounts(read=20, kept=20 - len(bad), dead=len(bad))
        done = PageDone(cursor=pack(mine[-1]), counts=counts, batch=20, dead=bad, ended=True)
        checkpoint(tx, shard, done, lease=30.0)

    async def verify(self, request=ALL, ends=None):
        return await verify(self.state, 1, self.ends if ends is None else ends, request, by="ada")

    async def read(self, what):
        return await self.state.transact(partial(what, job_id=1))

    async def status(self):
        return (await self.read(find_job)).status


@pytest.fixture
async def state(tmp_path):
    async with SQLiteJobState(tmp_path / "jobs.sqlite") as state:
        yield state


@pytest.fixture
async def job(state):
    return await Job(state).run()


async def test_a_right_job_is_done_and_its_log_says_what_was_compared(job):
    found = await job.verify()

    record = await job.read(find_job)
    log = await job.read(lines)
    assert (record.status, record.reason) == (JobStatus.DONE, None)
    assert found.compared == 40
    assert '"compared":40' in next(line.facts for line in log if line.what == "verified")
    assert first_bad_line(log, record.log_head) is None


async def test_a_difference_makes_gaps_and_a_finding_until_it_is_repaired(job):
    await job.store.set_many({"k00003": "other"})
    await job.store.delete_many(["k00030"])

    await job.verify()
    record = await job.read(find_job)
    assert record.status is JobStatus.DONE_WITH_GAPS
    assert record.reason == "of 40 rows compared 1 wrong, 1 missing"
    kinds = {finding.key: finding.kind for finding in await job.read(findings)}
    assert kinds == {pack("k00003"): "wrong", pack("k00030"): "missing"}

    await job.verify(Request(sample=None, repair=True))
    assert await job.status() is JobStatus.DONE
    assert await job.read(findings) == []
    assert job.facts.marks == {}


async def test_keys_without_a_row_are_gaps_when_they_are_looked_for(job):
    del job.table.data["k00007"]

    await job.verify()
    assert await job.status() is JobStatus.DONE
    found = await job.verify(Request(sample=None, extra=True))

    assert (found.extra, await job.status()) == (1, JobStatus.DONE_WITH_GAPS)
    found = await job.verify(Request(sample=None, extra=True, repair=True))
    assert (found.repaired, await job.status()) == (1, JobStatus.DONE)


async def test_a_store_that_lost_its_memory_fails_the_job(job):
    await job.facts.unmark("job:1")

    with pytest.raises(JobError, match="the store lost its memory"):
        await job.verify()

    record = await job.read(find_job)
    assert record.status is JobStatus.FAILED
    assert "lost its memory" in record.reason


async def test_a_store_that_is_emptied_behind_the_comparison_fails_the_job(job):
    class EmptiedLater(Facts):
        async def marked(self, name):
            return self.marks.pop(name, None)

    facts = EmptiedLater()
    facts.marks.update(job.facts.marks)

    with pytest.raises(JobError, match="the store lost its memory"):
        await job.verify(ends=ends_of(job.table, job.store, facts))

    assert await job.status() is JobStatus.FAILED


async def test_a_store_that_does_not_answer_fails_the_job(job):
    job.store.link.fail()

    with pytest.raises(JobError, match="the store could not be read"):
        await job.verify()

    assert await job.status() is JobStatus.FAILED


async def test_a_sample_does_not_make_gaps_undone(job):
    await job.store.delete_many(["k00030"])
    await job.verify()
    assert await job.status() is JobStatus.DONE_WITH_GAPS

    found = await job.verify(Request(sample=1))

    assert (found.is_all, found.missing) == (True, 1)
    assert await job.status() is JobStatus.DONE_WITH_GAPS


async def test_a_store_that_evicts_while_it_is_compared_fails_the_job(job):
    class Evicting(Facts):
        async def state(self):
            self.used = (self.used or 0) + 1
            return StoreState(evicted=self.used // 2)

    facts = Evicting()
    facts.marks.update(job.facts.marks)

    with pytest.raises(JobError, match="evicted 1 entries while it was compared"):
        await job.verify(ends=ends_of(job.table, job.store, facts))

    assert await job.status() is JobStatus.FAILED


@pytest.mark.parametrize("restarts", [1, 9])
async def test_a_store_that_is_restarted_while_it_is_compared_is_compared_anew(job, restarts):
    class Restarted(Facts):
        async def state(self):
            self.used = (self.used or 0) + 1
            if self.used == 2:
                await job.store.delete_many(["k00030"])
            return StoreState(run=str(min(self.used, restarts + 1)))

    facts = Restarted()
    facts.marks.update(job.facts.marks)
    verifying = partial(job.verify, ends=ends_of(job.table, job.store, facts))
    if restarts == 1:
        assert (await verifying()).missing == 1
        assert await job.status() is JobStatus.DONE_WITH_GAPS
    else:
        with pytest.raises(JobError, match="restarted each time that it was compared"):
            await verifying()
        assert await job.status() is JobStatus.FAILED


async def test_a_job_that_still_runs_is_compared_so_far_and_keeps_its_status(state):
    job = await Job(state).run(shards=1)

    found = await job.verify()

    assert (found.compared, await job.status()) == (20, JobStatus.RUNNING)


async def test_a_job_that_has_read_nothing_is_refused(state):
    job = Job(state)
    plan = await measure(spec_of(), job.ends)
    await state.transact(partial(add_job, plan=plan, by="ada"))

    with pytest.raises(JobRefusedError, match="nothing to verify"):
        await job.verify()


async def test_what_the_store_cannot_do_is_refused_before_the_status_changes(job):
    class Plain:
        get_many = job.store.get_many

    with pytest.raises(JobRefusedError, match="does not list its keys"):
        await job.verify(Request(extra=True), ends_of(job.table, Plain()))

    assert await job.status() is JobStatus.RUNNING


async def test_dead_rows_that_were_left_alone_or_are_gone_count_as_such(state):
    job = await Job(state).run(dead=("k00005", "k00007", "k00009"))
    await job.store.leases.acquire_many(["k00005"], bytes(24))
    del job.table.data["k00007"]

    retried = await retry_dead(state, 1, job.ends, by="ada")

    assert (retried.written, retried.gone, list(retried.dead)) == (3, 1, [])
    assert (await job.read(shards))[0].counts == JobCounts(read=20, kept=18, newer=1, leased=1)


async def test_dead_rows_are_gaps_until_they_are_retried(state):
    job = await Job(state).run(dead=("k00003", "k00030"))
    row = job.table.data["k00030"]
    job.table.data["k00030"] = Failed(ValueError("still no price"))

    found = await job.verify()
    assert (found.dead, found.differences) == (2, 0)
    assert await job.status() is JobStatus.DONE_WITH_GAPS

    retried = await retry_dead(state, 1, job.ends, by="ada")
    assert (retried.written, list(retried.dead)) == (1, ["k00030"])
    assert [dead.key for dead in await job.read(dead_rows)] == [pack("k00030")]
    counts = [shard.counts for shard in await job.read(shards)]
    assert counts == [JobCounts(read=20, kept=20), JobCounts(read=20, kept=19, dead=1)]

    job.table.data["k00030"] = row
    await retry_dead(state, 1, job.ends, by="ada")
    await job.verify()
    assert await job.status() is JobStatus.DONE
