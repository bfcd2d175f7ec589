"""A backfill that waits for its pace, or for a permit, and what callers do with its keys meanwhile."""

from __future__ import annotations

import pytest
from anyio import create_task_group, current_time, sleep
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    FreshnessPolicy,
    HistoryPolicy,
    LoadPolicy,
    MappingSource,
    Status,
)
from async_backfill.contracts import Heats
from async_backfill.events import LoadFinished
from async_backfill.outcomes import LoadCause
from async_backfill.testing import MemoryPermits
from tests.callers import PENDING, start

pytestmark = pytest.mark.anyio

BY_ADA = {"by": "ada", "reason": "the source is slow"}
KEYS = range(20)


class Rows(MappingSource):
    """A row says how often it was read; ``asked`` has the keys of each call."""

    def __init__(self, latency=0.0):
        super().__init__(dict.fromkeys(KEYS))
        self.calls = []
        self.latency = latency
        self.gone = set()

    @property
    def asked(self):
        return [key for call in self.calls for key in call]

    async def load_many(self, keys):
        self.calls.append(tuple(keys))
        rows = {key: f"read {self.asked.count(key)}" for key in keys if key in KEYS and key not in self.gone}
        await sleep(self.latency)
        return rows


def cache_of(source, **options):
    usual = {"backfill_batch": 20, "miss_threshold": 1.0, "backfill": BackfillPolicy(min_lookups=10_000)}
    return BackfillCache(source, scan=source, clock=current_time, **(usual | options))


async def paced(cache, tasks, rate=20.0):
    """Begin a backfill that asks for five keys now, and for five more each quarter of a second."""
    await cache.control.retune(rate=rate, **BY_ADA)
    forced = start(tasks, cache.force_backfill)
    await sleep(0.1)
    assert forced.outcome is PENDING
    return forced


async def test_what_was_put_while_a_backfill_waits_for_its_pace_stays():
    source = Rows()
    async with cache_of(source) as cache:
        async with create_task_group() as tasks:
            forced = await paced(cache, tasks)
            await cache.put(18, "put")

        assert (cache.peek(18), source.asked) == ("put", [key for key in KEYS if key != 18])
        record = forced.outcome
        assert (record.status, record.keys, record.loaded, record.error) == (Status.COMPLETED, 20, 19, None)
        assert cache.stats.backfill_keys == 19


@pytest.mark.parametrize("latency", [0.0, 2.0], ids=["cached", "in flight"])
async def test_what_callers_load_while_a_backfill_waits_is_not_asked_for_again(latency):
    source = Rows()
    async with cache_of(source) as cache:
        async with create_task_group() as tasks:
            forced = await paced(cache, tasks)
            source.latency = latency
            tasks.start_soon(cache.get_many, [6, 7, 14, 15, 16, 17, 18])

        assert sorted(source.asked) == list(KEYS)
        assert (forced.outcome.loaded, cache.stats.backfill_keys, cache.stats.miss_keys) == (13, 13, 7)


async def test_a_key_that_a_caller_found_to_be_gone_is_not_asked_for_again():
    source = Rows()
    source.gone = {18}
    async with cache_of(source, freshness=FreshnessPolicy(absent_ttl=60.0)) as cache:
        async with create_task_group() as tasks:
            await paced(cache, tasks)
            assert await cache.get(18) is None
        assert source.asked.count(18) == 1


async def test_what_was_put_while_a_backfill_waits_for_the_permit_of_a_fleet_stays():
    class SlowPermits(MemoryPermits):
        async def acquire(self):
            await sleep(0.5)
            return await super().acquire()

    source = Rows()
    policy = BackfillPolicy(min_lookups=1)
    async with cache_of(source, permits=SlowPermits(5), backfill=policy) as cache:
        await cache.get("none")
        await sleep(0.1)
        await cache.put(18, "put")
        await cache.settle()

        assert (cache.peek(18), source.asked) == ("put", ["none", *(key for key in KEYS if key != 18)])


async def test_what_has_expired_when_its_turn_comes_is_loaded():
    source = Rows()
    freshness = FreshnessPolicy(ttl=100.0, stale_for=100.0, jitter=0.0)
    async with cache_of(source, freshness=freshness) as cache, create_task_group() as tasks:
        await cache.put(17, "stale", ttl=0.1)
        await sleep(1.0)
        await paced(cache, tasks)
        await cache.put(18, "put", ttl=0.3)
        await cache.put(19, "put")
        await cache.settle()

        assert [cache.peek(key) for key in (17, 18, 19)] == ["read 1", "read 1", "put"]


@pytest.mark.parametrize(
    "remove",
    [lambda cache: cache.invalidate(18), lambda cache: cache.clear()],
    ids=["invalidate", "clear"],
)
async def test_a_key_that_was_removed_before_its_turn_is_read_after_it(remove):
    source = Rows()
    async with cache_of(source) as cache, create_task_group() as tasks:
        await cache.put(18, "outdated")
        await cache.invalidate(18)
        await paced(cache, tasks)
        await cache.put(18, "outdated")
        assert 18 not in source.asked
        await remove(cache)
        await cache.settle()

        assert (cache.peek(18), source.asked.count(18)) == ("read 1", 1)


async def test_a_backfill_whose_keys_have_all_come_otherwise_does_not_wait_for_its_pace():
    source = Rows()
    async with cache_of(source) as cache:
        async with create_task_group() as tasks:
            forced = await paced(cache, tasks, rate=4.0)
            await cache.get_many(KEYS)
            begun = current_time()

        assert (current_time() - begun <= 0.25, forced.outcome.loaded) == (True, 1)


class Remembered:
    """A journal: all keys are hot."""

    async def load(self):
        return Heats(keys={key: 100.0 - key for key in KEYS}, hit_rate=0.9)

    async def save(self, _):
        pass


def recovering(source, **options):
    policy = BackfillPolicy(selection="history", min_lookups=10_000, **options)
    return cache_of(source, backfill=policy, journal=Remembered(), history=HistoryPolicy(), capacity=100)


@pytest.mark.parametrize("begin", ["ready", "recovery"])
async def test_so_it_is_with_a_backfill_of_hot_keys(begin):
    source = Rows()
    async with recovering(source) as cache:
        await cache.control.retune(rate=20.0, **BY_ADA)
        if begin == "ready":
            cache.is_ready()
        else:
            await cache.get("none")
        await sleep(0.1)
        await cache.put(18, "put")
        await cache.get(17)
        await sleep(10.0)

        assert (cache.peek(18), source.asked.count(18), source.asked.count(17)) == ("put", 0, 1)
        assert (begin != "ready" or cache.is_ready(), len(cache)) == (True, 20)


async def test_the_keys_that_have_come_are_those_of_the_backfill_that_runs_alone():
    async with recovering(Rows()) as cache:
        await cache.control.retune(rate=20.0, batch=5, **BY_ADA)
        await cache.get("none")
        seen = []
        for _ in range(20):
            await sleep(0.1)
            running = cache.control.status.running
            seen.append(None if running is None else (running.number, running.keys, running.loaded))

        assert len({number for number, _, _ in filter(None, seen)}) > 1
        assert all(loaded <= keys for _, keys, loaded in filter(None, seen))


@pytest.mark.parametrize(("wait", "latency"), [(0.0, 0.0), (0.6, 0.2)], ids=["cached", "in flight"])
async def test_a_receipt_counts_the_keys_alone_that_the_backfill_has_loaded(wait, latency):
    source = Rows()
    async with recovering(source, successors=3) as cache:
        await cache.control.pause(**BY_ADA)
        for key in (16, 17, 18, 19):
            await cache.get(key)
        await cache.clear()
        async with create_task_group() as tasks:
            forced = await paced(cache, tasks)
            await cache.control.resume(**BY_ADA)
            await sleep(wait)
            source.latency = latency
            for key in (16, 17, 18, 19):
                assert await cache.get(key) == "read 2"
            assert (16, 17, 18, 19) in source.calls
            assert forced.outcome is PENDING
        for key in KEYS:
            await cache.get(key)
        await cache.get("none")

        loaded = forced.outcome.loaded
        receipts = [record for record in cache.audit_log if record.status is Status.RECEIPT]
        assert [(one.loaded, one.read) for one in receipts if one.backfill] == [(loaded, loaded)]


actions = st.tuples(st.sampled_from(["put", "get", "invalidate", "sleep", "clear"]), st.integers(0, 19))


@settings(max_examples=60)
@given(
    story=st.lists(actions, max_size=25),
    rate=st.sampled_from([4.0, 20.0, 40.0]),
    most=st.sampled_from([1, 3, 20]),
    latency=st.sampled_from([0.0, 0.1]),
)
async def test_whatever_happens_to_its_keys_meanwhile_a_backfill_undoes_nothing(story, rate, most, latency):
    source, finished = Rows(latency), []
    async with cache_of(source, load=LoadPolicy(max_batch=most), observers=[finished.append]) as cache:
        put, changed = {}, set()
        async with create_task_group() as tasks:
            await cache.control.retune(rate=rate, **BY_ADA)
            forced = start(tasks, cache.force_backfill)
            await sleep(0.01)
            for what, key in story:
                match what:
                    case "put":
                        put[key] = f"put at {current_time()}"
                        changed.add(key)
                        await cache.put(key, put[key])
                    case "get":
                        tasks.start_soon(cache.get, key)
                    case "invalidate":
                        put.pop(key, None)
                        changed.add(key)
                        await cache.invalidate(key)
                    case "clear":
                        put.clear()
                        changed.update(KEYS)
                        await cache.clear()
                    case "sleep":
                        await sleep(key * 0.05)
                for one, value in put.items():
                    assert cache.peek(one) == value
        for one, value in put.items():
            assert cache.peek(one) == value
        assert all(source.asked.count(key) == 1 for key in KEYS if key not in changed)
        calls = [event for event in finished if isinstance(event, LoadFinished)]
        delivered = sum(len(event.found) for event in calls if event.cause is LoadCause.BACKFILL)
        assert forced.outcome.status is Status.COMPLETED
        assert forced.outcome.loaded == delivered == cache.stats.backfill_keys
