"""What goes wrong while a worker copies, and what then; the numbers are those of the list of failures."""

from __future__ import annotations

import math
from contextlib import aclosing

import pytest
from anyio import create_task_group, sleep, sleep_forever

from async_backfill._jobs._ends import StoreState
from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._packing import unpack
from async_backfill._jobs._records import JobStatus, ShardStatus, Wanted
from async_backfill._jobs._spec import JobSettings, ThrottleLimits
from async_backfill._jobs._state.dead import dead_rows
from async_backfill._jobs._state.log import lines
from async_backfill._jobs._state.shards import claim
from async_backfill.contracts import GuardedStore, Kept
from async_backfill.errors import ConfigurationError
from async_backfill.outcomes import Failed
from async_backfill.testing import MemoryFarStore
from tests.jobs.table import Facts, Table, rows_of
from tests.jobs.test_worker import slow
from tests.jobs.working import BEGIN, Job, state_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def state(tmp_path):
    with state_in(tmp_path) as state:
        yield state


ONE_LANE = JobSettings(batch=100, lanes=1)


class Shelf(GuardedStore):
    """A guarded store whose writes ``before`` may delay or fail."""

    deadline = 10.0

    def __init__(self, before=None):
        self.inner = MemoryFarStore()
        self.before = before
        self.writes = []

    def now(self):
        return self.inner.now()

    async def get_many(self, keys, /):
        return await self.inner.get_many(keys)

    async def delete_many(self, keys, /):
        await self.inner.delete_many(keys)

    async def set_page(self, items, /, *, read_at, ttl=None):
        self.writes.append(tuple(items))
        if self.before is not None:
            await self.before(items)
        return await self.inner.set_page(items, read_at=read_at, ttl=ttl)


def on(job, store):
    job.store = store
    return job


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
    shelf = on(job, Shelf()).store

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


async def test_4_two_workers_begin_at_once_and_no_shard_is_copied_twice(state):
    job = Job(state, 2_000, cuts=7, settings=ONE_LANE)

    async with create_task_group() as tasks:
        tasks.start_soon(job.work, "w1")
        tasks.start_soon(job.work, "w2")

    assert job.record.status is JobStatus.DONE
    assert (job.count("read"), sum(shard.pages for shard in job.shards)) == (2_000, 24)


async def test_5_a_row_that_changes_between_read_and_write_keeps_its_newer_value(state):
    job = Job(state, 300, cuts=0, settings=ONE_LANE)

    async def before(items):
        if "k00150" in items:
            job.table.data["k00150"] = "new"
            del job.table.data["k00160"]
            await sleep(0.1)
            await shelf.inner.set_many({"k00150": "new"})
            await shelf.inner.delete_many(["k00160"])

    shelf = on(job, Shelf(before)).store
    assert (await job.work()).status is JobStatus.DONE

    assert job.count("newer") == 2
    assert await job.wrong() == []
    assert await shelf.get_many(["k00160"]) == {}


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


async def test_8_a_store_that_lost_its_memory_at_the_end_is_never_done(state):
    job = Job(state, 1_000)

    class Forgetful(Facts):
        async def state(self):
            if job.count("read") >= 750:
                self.marks.clear()
            return StoreState()

    job.facts = Forgetful()
    assert (await job.work()).status is JobStatus.FAILED


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


class Broken(Table):
    """A table that fails where ``fails`` says so."""

    def __init__(self, rows, fails):
        super().__init__(rows)
        self.fails = fails
        self.sizes = []

    async def rows(self, *, after=None, until=None, page=5000):
        async with aclosing(super().rows(after=after, until=until, page=page)) as pages:
            while True:
                self.sizes.append(page)
                await self.fails(after, page)
                found = await anext(pages, None)
                if found is None:
                    return
                after = found.cursor
                yield found


async def test_10_a_source_that_is_lost_for_a_while_delays_its_shards_only(state):
    times = []

    async def fails(after, _):
        if after is not None and after >= "k00600" and len(times) < 3:
            times.append(after)
            raise ConnectionError("lost")

    job = Job(state, table=Broken(rows_of(1_000), fails), settings=JobSettings(batch=100))

    assert (await job.work()).status is JobStatus.DONE
    assert len(times) == 3
    assert await job.wrong() == []
    assert job.count("read") == 1_000


async def test_10_a_source_that_stays_away_pauses_the_job_after_its_patience(state):
    async def fails(_, __):
        raise ConnectionError("lost")

    table = Broken(rows_of(1_000), fails)
    job = Job(state, table=table, throttle=ThrottleLimits(patience=120.0, error_rate=1.0))
    record = await job.work()

    assert record.status is JobStatus.PAUSED
    assert "ConnectionError: lost" in record.reason


async def test_11_a_timeout_of_the_source_halves_the_page_at_once(state):
    async def fails(_, size):
        if size > 300:
            raise TimeoutError("statement timeout")

    table = Broken(rows_of(2_000), fails)
    job = Job(state, table=table, cuts=0, settings=JobSettings(batch=1_000, lanes=1))

    assert (await job.work()).status is JobStatus.DONE
    assert table.sizes[:3] == [1_000, 500, 250]
    assert await job.wrong() == []


async def test_11_at_the_least_size_the_shard_fails_and_the_others_go_on(state):
    async def fails(after, _):
        if after is not None and "k00300" <= after < "k00500":
            raise TimeoutError("statement timeout")

    job = Job(state, table=Broken(rows_of(1_000), fails), settings=JobSettings(batch=100))
    record = await job.work()

    assert record.status is JobStatus.FAILED
    assert "1 of 4 shards failed, such as 1: TimeoutError: statement timeout" in record.reason
    assert [shard.status for shard in job.shards].count(ShardStatus.DONE) == 3


class Poisoned(Shelf):
    """A store in which some rows cannot be written."""

    def __init__(self, bad):
        async def before(items):
            if not bad.isdisjoint(items):
                raise ValueError("a poisoned row")

        super().__init__(before)


async def test_12_a_bad_row_is_dead_in_few_calls_and_all_others_are_written(state):
    job = Job(state, 4_096, cuts=0, settings=JobSettings(batch=1_024, lanes=1))
    shelf = on(job, Poisoned({"k02000"})).store
    record = await job.work()

    assert record.status is JobStatus.DONE_WITH_GAPS
    assert (job.count("dead"), job.count("kept")) == (1, 4_095)
    assert len(shelf.writes) <= 4 + math.log2(1_024) + 1
    ((row,)) = state.now(dead_rows, job.id)
    assert (unpack(row.key), row.error) == ("k02000", "ValueError: a poisoned row")
    assert await job.wrong() == ["k02000"]


async def test_12_rows_that_cannot_be_made_or_kept_are_dead_with_their_error(state):
    table = Table(rows_of(300) | {"k00100": Failed(ValueError("no number"))})

    class Small(Shelf):
        async def set_page(self, items, /, *, read_at, ttl=None):
            large = {key: "too large" for key in items if key == "k00200"}
            kept = await self.inner.set_page(
                {key: value for key, value in items.items() if key not in large}, read_at=read_at, ttl=ttl
            )
            return Kept(kept=kept.kept, newer=kept.newer, leased=kept.leased, rejected=large)

    job = on(Job(state, table=table, cuts=0, settings=ONE_LANE), Small())
    await job.work()

    assert (job.count("dead"), job.count("rejected"), job.count("kept")) == (2, 0, 298)
    assert [row.error for row in state.now(dead_rows, job.id)] == ["ValueError: no number", "too large"]


async def test_12_more_dead_rows_than_allowed_fail_the_job(state):
    bad = {f"k{number:05}" for number in range(0, 2_000, 100)}
    job = on(Job(state, 2_000, cuts=0, max_dead=5, settings=ONE_LANE), Poisoned(bad))
    record = await job.work()

    assert record.status is JobStatus.FAILED
    assert "max_dead" in record.reason
    assert job.count("dead") == 6


class WrongPasswordError(Exception):
    sqlstate = "28P01"


@pytest.mark.parametrize("error", [WrongPasswordError("no"), ConfigurationError("column", "no column nam")])
async def test_13_what_cannot_get_better_fails_at_once_and_is_not_tried_again(state, error):
    async def fails(_, __):
        raise error

    table = Broken(rows_of(1_000), fails)
    job = Job(state, table=table, settings=ONE_LANE)
    record = await job.work()

    assert record.status is JobStatus.FAILED
    assert record.reason.startswith("the source: ")
    assert len(table.sizes) == 1


async def test_14_rows_inserted_behind_a_cursor_are_no_difference(state):
    job = Job(state, table=slow(1_000), cuts=0, settings=ONE_LANE)

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(3.2)
        job.table.data["k00000b"] = "inserted"

    assert (job.record.status, job.count("read")) == (JobStatus.DONE, 1_000)


async def test_15_a_store_whose_clock_is_another_one_is_refused_at_the_start(state):
    job = Job(state, 1_000)

    class Early(Facts):
        async def state(self):
            return StoreState(clock=BEGIN - 3.0)

    job.facts = Early()
    with pytest.raises(JobRefusedError, match=r"the clock of the store is -3\.0 s from that of this machine"):
        await job.work()
    assert job.count("read") == 0


async def test_16_a_replica_that_lags_too_much_is_not_read(state):
    lag = [20.0]

    class Replica(Table):
        async def lag(self):
            return lag[0]

    job = Job(state, table=Replica(rows_of(1_000)))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(5.0)
        assert job.count("read") == 0
        reasons = {(part.throttled.reason, part.throttled.value) for part in job.shards if part.throttled}
        assert reasons == {("replica lag", "20 s")}
        lag[0] = 0.5

    assert job.record.status is JobStatus.DONE


async def test_16_a_page_of_a_replica_counts_as_read_so_much_earlier(state):
    class Replica(Table):
        async def lag(self):
            return 2.0

    table = Replica(rows_of(1_000))
    job = Job(state, table=table, cuts=0)
    await sleep(10.0)
    await job.store.set_many({"k00500": "newer, and not yet in the replica"})
    await sleep(1.0)
    await job.work()

    assert job.count("newer") == 1


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


async def test_20_a_pause_while_a_write_hangs_is_obeyed_within_the_deadline(state):
    hangs = []

    async def before(_):
        if hangs:
            await sleep_forever()

    job = on(Job(state, table=slow(), settings=JobSettings(batch=100)), Shelf(before))

    async with create_task_group() as tasks:
        tasks.start_soon(job.work)
        await sleep(1.7)
        hangs.append(True)
        await sleep(1.0)
        job.want(Wanted.PAUSE, "the store hangs")
        await sleep(10.0)
        assert job.record.status is JobStatus.PAUSED

    hangs.clear()
    job.start()
    assert (await job.work()).status is JobStatus.DONE
    assert await job.wrong() == []


async def test_22_an_approval_that_expires_ends_the_pages_and_pauses_the_job(state):
    job = Job(state, table=slow(), seconds=2.2, settings=JobSettings(batch=100))
    record = await job.work()

    assert record.status is JobStatus.PAUSED
    assert "needs approval" in record.reason
    assert 0 < job.count("read") < 2_000


async def test_a_page_too_large_to_be_written_in_time_is_read_again_in_smaller_ones(state):
    async def before(items):
        await sleep(len(items) * 0.01)

    job = on(Job(state, 2_000, cuts=0, settings=JobSettings(batch=1_000, lanes=1)), Shelf(before))

    assert (await job.work()).status is JobStatus.DONE
    assert await job.wrong() == []
    assert job.count("read") == 2_000
