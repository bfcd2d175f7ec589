"""A job that shares the backfill permits of caches takes one permit, before it runs."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from async_backfill.errors import ConfigurationError
from async_backfill.jobs import JobEnds, JobError, JobRefusedError, Jobs, JobSettings, JobSpec
from async_backfill.testing import MemoryFarStore, MemoryPermits, MemoryReadBudget
from tests.jobs.table import Facts, Table, rows_of

pytestmark = pytest.mark.anyio


class Gone(MemoryPermits):
    async def acquire(self):
        raise ConnectionError("gone")


class Shop:
    """A table and a store, with so many permits, and a budget of reads."""

    def __init__(self, permits):
        self.table, self.store, self.facts = Table(rows_of(50)), MemoryFarStore(), Facts()
        self.permits = MemoryPermits(permits)
        self.budget = MemoryReadBudget()

    @asynccontextmanager
    async def open(self, spec):  # noqa: ARG002
        yield JobEnds(
            rows=self.table,
            source=self.table,
            store=self.store,
            source_facts=self.table,
            store_facts=self.facts,
            permits=self.permits,
            budget=self.budget,
        )


async def approved(jobs, **changes):
    spec = JobSpec(name="a", source={}, store={}, shards=2, **changes)
    job = await jobs.plan(spec, by="ada")
    await jobs.approve(job.id, plan_hash=job.plan_hash, by="bob", reason="new prices")
    return job.id


async def test_a_job_takes_one_permit_however_often_it_is_run(state):
    shop = Shop(3)
    async with Jobs(state, open_ends=shop.open) as jobs:
        job = await approved(jobs)
        report = await jobs.run(job, by="bob")
        await jobs.verify(job, by="bob", sample=None)

    assert (report.status, await shop.permits.left()) == ("done", 2)


async def test_a_job_that_is_refused_a_permit_waits_for_approval_and_says_so(state):
    shop = Shop(0)
    async with Jobs(state, open_ends=shop.open) as jobs:
        job = await approved(jobs)
        for _ in range(2):
            with pytest.raises(JobRefusedError, match="waits for approval: no permit is left"):
                await jobs.run(job, by="bob")
        report = await jobs.status(job)
        assert (report.status, shop.table.reads > 0) == ("approved", True)
        assert report.counts.read == 0
        assert report.reason.startswith("waits for approval: no permit is left")
        assert "permit refused" in [line.what for line in await jobs.log(job)]
        await shop.permits.approve(1, by="ada", reason="go")
        report = await jobs.run(job, by="bob")

        assert (report.status, report.reason, await shop.permits.left()) == ("done", None, 0)


async def test_nobody_works_on_a_job_that_has_taken_no_permit(state):
    shop = Shop(5)
    async with Jobs(state, open_ends=shop.open) as jobs:
        job = await approved(jobs)
        await jobs.resume(job, by="bob")
        with pytest.raises(JobRefusedError, match="has taken no permit: run it"):
            await jobs.work(job)

    assert await shop.permits.left() == 5
    assert await shop.store.get_many(tuple(shop.table.data)) == {}


async def test_permits_that_cannot_be_asked_for_start_nothing(state):
    shop = Shop(5)
    shop.permits = Gone(5)
    async with Jobs(state, open_ends=shop.open) as jobs:
        job = await approved(jobs)
        with pytest.raises(JobError, match="the permits could not be asked for: "):
            await jobs.run(job, by="bob")

        assert (await jobs.status(job)).status == "approved"


async def test_a_budget_that_the_opener_does_not_open_lets_no_page_begin(state):
    shop = Shop(5)
    shop.budget = None
    async with Jobs(state, open_ends=shop.open) as jobs:
        job = await approved(jobs, budget={"kind": "mine"})
        with pytest.raises(JobRefusedError, match="has a budget, and its opener has opened none"):
            await jobs.run(job, by="bob")


async def test_pages_at_once_need_a_budget(state):
    shop = Shop(5)
    async with Jobs(state, open_ends=shop.open) as jobs:
        with pytest.raises(ConfigurationError, match="pages: needs a budget"):
            await approved(jobs, settings=JobSettings(pages=3))
        job = await approved(jobs)
        with pytest.raises(ConfigurationError, match="pages: needs a budget"):
            await jobs.set(job, by="bob", pages=3)
        await jobs.cancel(job, by="bob")
        job = await approved(jobs, budget={"kind": "mine"})
        assert (await jobs.set(job, by="bob", pages=3)).settings.pages == 3
        assert (await jobs.set(job, by="bob", pages="none")).settings.pages is None
