"""One budget of reads for all workers of all jobs: the rate and the pages at once are kept together."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import pytest
from anyio import CancelScope, create_task_group, current_time, sleep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from async_backfill._jobs._records import JobStatus, Wanted
from async_backfill._jobs._spec import JobSettings, ThrottleLimits
from async_backfill.testing import MemoryReadBudget
from tests.jobs.table import Table, rows_of
from tests.jobs.working import Job, state_in, wall

pytestmark = pytest.mark.anyio


class Watched(Table):
    """A table that notes when its pages begin, and how many are read at once."""

    def __init__(self, rows, seconds=0.0):
        super().__init__(rows)
        self.seconds = seconds
        self.begun = []
        self.until = None
        self.is_read = lambda: False
        self.at_once = self.most_at_once = 0

    async def rows(self, **bounds):
        async with aclosing(super().rows(**bounds)) as pages:
            while True:
                at = current_time()
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    await sleep(self.seconds)
                    page = await anext(pages, None)
                finally:
                    self.at_once -= 1
                if page is None:
                    return
                if self.until is None and self.is_read():
                    self.until = len(self.begun)
                self.begun.append((at, len(page)))
                yield page

    @property
    def copied(self):
        """The pages that were begun until all rows were read, in their order."""
        return sorted(self.begun[: self.until], key=lambda page: page[0])


class Shared:
    """A job over a watched table, whose workers share ``budget``."""

    def __init__(self, state, rows, *, budget=None, seconds=0.0, cuts=15, **changes):
        self.table = Watched(rows_of(rows), seconds)
        self.budget = MemoryReadBudget() if budget is None else budget
        self.job = Job(state, rows, table=self.table, cuts=cuts, **changes)
        self.table.is_read = lambda: self.job.record.status is not JobStatus.RUNNING

    async def work(self, owner="w", budget=None):
        ends = replace(self.job.ends(), budget=self.budget if budget is None else budget)
        return await self.job.work(owner, ends=ends)


def begun_by(begun, time):
    return sum(rows for at, rows in begun if at <= time)


@pytest.mark.parametrize("workers", [1, 3])
async def test_the_rate_is_kept_by_all_workers_together(state, workers):
    shared = Shared(state, 24_000, settings=JobSettings(rate=1_000.0), seconds=0.03)
    async with create_task_group() as tasks:
        for number in range(workers):
            tasks.start_soon(shared.work, f"w{number}")
        await sleep(5.0)
        shared.job.want(Wanted.PAUSE)
    begun = shared.table.begun

    assert abs(begun_by(begun, 5.0) / 5_000 - 1) <= 0.03
    seconds = [begun_by(begun, at / 10 + 1.0) - begun_by(begun, at / 10) for at in range(40)]
    assert max(seconds) <= 1_050


@st.composite
def fleets(draws):
    return {
        "workers": draws(st.integers(1, 4)),
        "lanes": draws(st.integers(1, 3)),
        "rate": draws(st.sampled_from([40.0, 333.3, 1e4])),
        "batch": draws(st.sampled_from(["auto", 1, 7, 150])),
        "seconds": draws(st.sampled_from([0.0, 0.01, 0.4])),
        "latency": draws(st.sampled_from([0.0, 0.05, 1.5])),
        "killed": draws(st.sampled_from([None, 0.5, 3.0])),
        "silent": draws(st.sampled_from([None, 1.0])),
    }


@given(fleet=fleets())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_never_more_than_the_rate_and_a_page_a_lane(fleet, tmp_path_factory):
    begin = current_time()
    with state_in(tmp_path_factory.mktemp("fleet")) as state:
        wanted = JobSettings(rate=fleet["rate"], batch=fleet["batch"], lanes=fleet["lanes"])
        shared = Shared(state, 150, settings=wanted, seconds=fleet["seconds"], cuts=5)
        shared.budget.link.latency = fleet["latency"]
        async with create_task_group() as tasks:
            scopes = []
            for number in range(fleet["workers"]):
                tasks.start_soon(_killable, shared, f"w{number}", scopes)
            if fleet["killed"] is not None:
                await sleep(fleet["killed"])
                scopes[0].cancel()
            if fleet["silent"] is not None:
                await sleep(fleet["silent"])
                shared.budget.link.fail()
                await sleep(20.0)
                shared.budget.link.recover()
            await sleep(10.0)
            if shared.job.record.status is JobStatus.RUNNING:
                shared.job.want(Wanted.CANCEL)
    rate, lanes = fleet["rate"], fleet["workers"] * fleet["lanes"]
    page = max((rows for _, rows in shared.table.copied), default=0)

    ahead = least = 0.0  # rows that have begun, beyond those of the rate
    last = begin
    for at, rows in shared.table.copied:
        ahead -= rate * (at - last)
        last, least = at, min(least, ahead)
        ahead += rows
        assert ahead <= page + 1e-3
        assert ahead - least <= page * (lanes + 1) + 1e-3


async def _killable(shared, owner, scopes, budget=None):
    with CancelScope() as scope:
        scopes.append(scope)
        await shared.work(owner, budget)


async def test_two_jobs_of_one_budget_share_its_rate(state):
    first = Shared(state, 12_000, settings=JobSettings(rate=1_000.0), name="one")
    second = Shared(state, 12_000, settings=JobSettings(rate=1_000.0), name="two", budget=first.budget)
    async with create_task_group() as tasks:
        tasks.start_soon(first.work, "w1")
        tasks.start_soon(second.work, "w2")
        await sleep(5.0)
        first.job.want(Wanted.PAUSE)
        second.job.want(Wanted.PAUSE)
    parts = [begun_by(each.table.begun, 5.0) for each in (first, second)]

    assert abs(sum(parts) / 5_000 - 1) <= 0.03
    assert min(parts) >= 2_000


async def test_another_rate_holds_for_all_workers_within_a_second(state):
    shared = Shared(state, 30_000, settings=JobSettings(rate=100.0), cuts=5)
    async with create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(shared.work, f"w{number}")
        await sleep(5.0)
        assert begun_by(shared.table.begun, 5.0) <= 505
        shared.job.set(JobSettings(rate=2_000.0))
        await sleep(6.0)
        shared.job.want(Wanted.PAUSE)
    last = begun_by(shared.table.begun, 11.0) - begun_by(shared.table.begun, 6.0)

    assert abs(last / 10_000 - 1) <= 0.03


async def test_no_more_pages_than_allowed_are_read_at_once_by_all_workers(state):
    limits = JobSettings(lanes=4, pages=3, batch=10)
    shared = Shared(state, 800, settings=limits, seconds=0.2)
    reasons = set()
    async with create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(shared.work, f"w{number}")
        for _ in range(10):
            await sleep(0.5)
            reasons |= {
                (shard.throttled.reason, shard.throttled.limit)
                for shard in shared.job.shards
                if shard.throttled
            }

    assert shared.table.most_at_once == 3
    assert reasons == {("pages", "3 at once, of all workers")}
    assert shared.job.record.status is JobStatus.DONE
    assert shared.budget.pages == 0


async def test_a_read_that_takes_longer_than_the_lease_keeps_its_place(state):
    shared = Shared(state, 40, settings=JobSettings(lanes=1, pages=1), seconds=20.0, cuts=1)
    async with create_task_group() as tasks:
        tasks.start_soon(shared.work, "w1")
        tasks.start_soon(shared.work, "w2")
        await sleep(18.0)
        assert (shared.table.at_once, shared.budget.pages) == (1, 1)
        shared.job.want(Wanted.CANCEL)


class Killed(MemoryReadBudget):
    """The budget as a process sees it that was killed: what it says in its last moments reaches nobody."""

    def __init__(self, budget):
        super().__init__()
        self.budget = budget
        self.is_dead = False

    def __getattribute__(self, name):
        get = super().__getattribute__
        if name in {"book", "begin", "end", "give_back"} and not get("is_dead"):
            return getattr(get("budget"), name)
        return get(name)


async def test_the_place_of_a_killed_worker_is_free_after_its_lease(state):
    shared = Shared(state, 400, settings=JobSettings(lanes=1, pages=1), seconds=5.0, cuts=3)
    seen = Killed(shared.budget)
    async with create_task_group() as tasks:
        scopes = []
        tasks.start_soon(_killable, shared, "w1", scopes, seen)
        await sleep(2.0)
        seen.is_dead = True
        scopes[0].cancel()
        await sleep(0.1)
        assert shared.budget.pages == 1
        tasks.start_soon(shared.work, "w2")
        await sleep(12.0)
        assert shared.table.at_once == 0
        await sleep(2.0)
        assert shared.table.at_once == 1

    assert shared.job.record.status is JobStatus.DONE


async def test_while_the_budget_does_not_answer_no_page_begins_and_the_job_says_so(state):
    shared = Shared(state, 3_000, settings=JobSettings(rate=500.0))
    async with create_task_group() as tasks:
        tasks.start_soon(shared.work, "w1")
        await sleep(2.0)
        shared.budget.link.fail()
        down = wall()
        await sleep(2.0)
        pages = len(shared.table.begun)
        await sleep(60.0)
        told = [shard.throttled for shard in shared.job.shards if shard.throttled is not None]
        assert len(shared.table.begun) == pages
        assert {(each.reason, each.limit) for each in told} == {("budget", "it answers")}
        assert all("the network link fails on purpose" in each.value for each in told)
        assert all(down <= each.since <= down + 2.0 for each in told)
        shared.budget.link.recover()
        await sleep(3.0)
        assert len(shared.table.begun) > pages

    assert shared.job.record.status is JobStatus.DONE
    assert await shared.job.wrong() == []


@pytest.mark.parametrize("limits", [{"rate": 500.0}, {"pages": 2}])
async def test_a_budget_that_is_silent_keeps_pages_from_beginning(state, limits):
    shared = Shared(state, 3_000, settings=JobSettings(**limits))
    shared.budget.link.latency = 1e9
    async with create_task_group() as tasks:
        tasks.start_soon(shared.work, "w1")
        await sleep(30.0)
        assert shared.table.begun == []
        assert {shard.throttled.reason for shard in shared.job.shards if shard.throttled} == {"budget"}
        shared.job.want(Wanted.PAUSE)
        asked = current_time()

    assert shared.job.record.status is JobStatus.PAUSED
    assert current_time() - asked <= 5.0


@pytest.mark.parametrize("limits", [{"rate": 500.0}, {"pages": 2}])
async def test_a_budget_that_stays_away_pauses_the_job_after_its_patience(state, limits):
    patient = ThrottleLimits(patience=30.0)
    shared = Shared(state, 3_000, settings=JobSettings(**limits), throttle=patient)
    shared.budget.link.fail()
    record = await shared.work("w1")

    assert record.status is JobStatus.PAUSED
    assert record.reason.startswith("budget: not known: ")
    assert record.reason.endswith("(limit: it answers) for 30 s")


async def test_what_was_booked_and_not_used_is_given_back(state):
    shared = Shared(state, 1_000, settings=JobSettings(rate=400.0, batch=64), cuts=3)
    await shared.work("w1")

    assert shared.job.record.status is JobStatus.DONE
    assert shared.job.count("read") == 1_000
    # Of a page that ends a shard up to a fortieth of a second is lost.
    assert 0 <= shared.budget.rows - 2_000 <= 2 * 4 * 10


async def test_of_a_page_that_became_smaller_the_rest_is_given_back(state):
    class Noted(MemoryReadBudget):
        given = ()

        async def give_back(self, rows, rate):
            self.given = (*self.given, rows)
            await super().give_back(rows, rate)

    shared = Shared(state, 4_000, budget=Noted(), settings=JobSettings(rate=4_000.0, batch=100), cuts=0)
    async with create_task_group() as tasks:
        tasks.start_soon(shared.work, "w1")
        await sleep(0.3)  # it takes a second
        shared.job.set(JobSettings(rate=4_000.0, batch=10))

    assert shared.job.record.status is JobStatus.DONE
    assert 90 in shared.budget.given  # a hundred were booked ahead, and ten were read


async def test_without_limits_a_budget_is_not_asked(state):
    shared = Shared(state, 1_000)
    shared.budget.link.fail()
    await shared.work("w1")

    assert shared.job.record.status is JobStatus.DONE
