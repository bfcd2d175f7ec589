"""What goes wrong with the source while a job runs; the numbers are those of the list of failures."""

from __future__ import annotations

from functools import partial

import pytest
from anyio import Event, create_task_group, sleep, sleep_forever

from async_backfill._jobs._packing import pack, unpack
from async_backfill._jobs._records import JobStatus, ShardStatus
from async_backfill._jobs._spec import JobSettings, ThrottleLimits
from async_backfill._jobs._state.shards import checkpoint, claim, release
from async_backfill.contracts import RowPage
from async_backfill.errors import ConfigurationError
from tests.jobs.state_rows import page
from tests.jobs.table import Table, ends_of, rows_of
from tests.jobs.working import Broken, Job, slow

pytestmark = pytest.mark.anyio

ONE_LANE = JobSettings(batch=100, lanes=1)


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


async def unknown(*_):
    """The middle of a range that nobody knows."""


async def test_11_at_the_least_size_the_shard_fails_and_the_others_go_on(state):
    async def fails(after, _):
        if after is not None and "k00300" <= after < "k00500":
            raise TimeoutError("statement timeout")

    table = Broken(rows_of(1_000), fails)
    table.middle = unknown
    job = Job(state, table=table, settings=JobSettings(batch=100))
    record = await job.work()

    assert record.status is JobStatus.FAILED
    assert "1 of 4 shards failed, such as 1: TimeoutError: statement timeout" in record.reason
    assert [shard.status for shard in job.shards].count(ShardStatus.DONE) == 3


class Sparse(Table):
    """A table of which a page may come from a ``most`` of keys, which are numbers; more take too long."""

    def __init__(self, keys, *, most):
        super().__init__({key: f"value {key}" for key in keys})
        self.most = most
        self.asked = []

    async def rows(self, *, after=None, until=None, page=5000):
        begin, end = after or 0, 1_000_000 if until is None else until
        within = [key for key in sorted(self.data) if begin < key <= end]
        for first in range(0, len(within), page) or (0,):
            keys = within[first : first + page]
            until = keys[-1] if len(keys) == page else end
            self.asked.append((begin, until))
            if until - begin > self.most:
                raise TimeoutError("statement timeout")
            if keys:
                yield RowPage({key: self.data[key] for key in keys}, cursor=keys[-1])
            begin = until

    async def middle(self, after, until):
        return ((after or 0) + (1_000_000 if until is None else until)) // 2


SPARSE = (5, 70_000, 70_001, 310_000, 555_555, 999_999)


@pytest.mark.parametrize("workers", [1, 2])
async def test_11_a_range_that_is_not_read_in_time_is_split_until_it_is(state, workers):
    table = Sparse(SPARSE, most=100_000)
    job = Job(state, table=table, cuts=0, settings=JobSettings(batch=100, lanes=2))

    async with create_task_group() as tasks:
        for number in range(workers):
            tasks.start_soon(job.work, f"w{number}")

    assert (job.record.status, job.count("read")) == (JobStatus.DONE, len(SPARSE))
    assert await job.wrong() == []
    assert len(job.shards) == 16  # of 62,500 keys each
    bounds = sorted((unpack(shard.low) if shard.low else 0, shard.high) for shard in job.shards)
    assert [low for low, _ in bounds] == [1_000_000 * part // 16 for part in range(16)]


async def test_11_a_range_with_nothing_between_its_ends_fails(state):
    job = Job(state, table=Sparse(SPARSE, most=100), cuts=0, settings=ONE_LANE)
    record = await job.work()

    assert record.status is JobStatus.FAILED
    assert "statement timeout" in record.reason
    assert len(job.shards) == 257


async def test_11_a_worker_that_is_stopped_while_it_looks_for_the_middle_fails_no_shard(state):
    table = Sparse(SPARSE, most=100_000)
    asked, stop = Event(), Event()

    async def middle(*_):
        asked.set()
        await sleep_forever()

    table.middle = middle
    job = Job(state, table=table, cuts=0, settings=ONE_LANE)
    async with create_task_group() as tasks:
        tasks.start_soon(partial(job.work, stop=stop))
        await asked.wait()
        stop.set()

    assert job.record.status is JobStatus.PAUSED
    assert [shard.status for shard in job.shards] == [ShardStatus.READY]


async def some_time(_, rows):
    await sleep(rows / 10_000)


async def test_a_shard_begins_with_the_page_size_that_was_right_for_the_one_before(state):
    table = Broken(rows_of(6_000), some_time)
    job = Job(state, table=table, cuts=2, settings=JobSettings(lanes=1))

    assert (await job.work()).status is JobStatus.DONE
    assert table.sizes.count(1_000) == 3  # all of the first shard
    assert await job.wrong() == []


async def test_a_shard_that_was_begun_before_goes_on_with_a_page_size_of_its_own(state):
    table = Broken(rows_of(6_000), some_time)
    job = Job(state, table=table, cuts=1, settings=JobSettings(lanes=1))
    taken = [state.now(claim, job.id, owner="w0", lease=10.0) for _ in range(2)]
    state.now(checkpoint, taken[1], page(500, cursor=pack("k03500")), lease=10.0)
    for shard in taken:
        state.now(release, shard)

    await job.work(ends=ends_of(table, job.store))
    assert table.sizes[0] == 1_000
    assert 500 in table.sizes


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
