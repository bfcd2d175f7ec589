"""From opening to closing: what a cache refuses before and after, and what it leaves behind."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from functools import partial

import anyio
import pytest
from anyio import (
    CancelScope,
    create_task_group,
    current_time,
    move_on_after,
    sleep,
    sleep_forever,
    wait_all_tasks_blocked,
)

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CacheClosedError,
    LoadPolicy,
    MappingSource,
    SimulatedSource,
)
from async_backfill.contracts import Page
from async_backfill.testing import GatedSource
from tests.callers import CANCELLED, outcomes, run, start

pytestmark = pytest.mark.anyio

ROWS = {"a": 1, "b": 2}
USES = {
    "get": lambda cache: cache.get("a"),
    "fetch": lambda cache: cache.fetch("a"),
    "get_many": lambda cache: cache.get_many("ab"),
    "get_many of nothing": lambda cache: cache.get_many([]),
    "put": lambda cache: cache.put("a", 1),
    "put_many": lambda cache: cache.put_many({"a": 1}),
    "invalidate": lambda cache: cache.invalidate("a"),
    "clear": lambda cache: cache.clear(),
    "force_backfill": lambda cache: cache.force_backfill(),
    "approve_backfills": lambda cache: cache.approve_backfills(1, by="me", reason="to see"),
    "settle": lambda cache: cache.settle(),
}


def new_cache(source=None, **settings):
    """Return a cache that backfills only when it is told to."""
    source = source or MappingSource(ROWS)
    scan = MappingSource(getattr(source, "rows", ROWS))
    return BackfillCache(
        source, scan=scan, max_backfills=1, backfill=BackfillPolicy(min_lookups=1000), **settings
    )


@pytest.mark.parametrize("use", USES)
async def test_a_cache_that_was_never_opened_refuses_to_work_and_says_what_to_do(use):
    cache = new_cache()
    with pytest.raises(CacheClosedError, match="async with"):
        await USES[use](cache)

    assert cache.stats.lookups == 0


@pytest.mark.parametrize("use", USES)
async def test_a_closed_cache_refuses_to_work_also_for_what_it_holds(use):
    async with new_cache() as cache:
        await cache.get_many("ab")
    before = cache.stats
    with pytest.raises(CacheClosedError, match="async with"):
        await USES[use](cache)

    assert cache.stats == before


async def test_peek_and_evict_oldest_are_refused_before_opening_and_after_closing():
    cache = new_cache()
    for _ in range(2):
        with pytest.raises(CacheClosedError):
            cache.peek("a")
        with pytest.raises(CacheClosedError):
            cache.evict_oldest()
        async with cache:
            await cache.get("a")


async def test_a_closed_cache_still_tells_its_numbers_and_its_audit_log():
    async with new_cache() as cache:
        await cache.get("a")
        await cache.force_backfill()

    assert (cache.stats.misses, cache.stats.size, cache.stats.backfills) == (1, 2, 1)
    assert [record.status.value for record in cache.audit_log] == ["started", "completed"]


async def test_an_open_cache_cannot_be_opened_again():
    async with new_cache() as cache:
        with pytest.raises(RuntimeError, match="already open"):
            await cache.__aenter__()

        assert await cache.get("a") == 1


async def test_a_cache_opened_again_keeps_what_it_holds_and_what_it_counted():
    cache = new_cache()
    async with cache:
        await cache.get("a")
    async with cache:
        await cache.get("a")

        assert (cache.stats.hits, cache.stats.misses) == (1, 1)


async def test_closing_ends_every_wait_and_every_load_at_once():
    source = GatedSource(dict.fromkeys(range(100)))
    load = LoadPolicy(max_batch=5, concurrency=3)
    async with create_task_group() as tasks:
        cache = new_cache(source, load=load, backfill_batch=20)
        async with cache:
            callers = [start(tasks, cache.get, number) for number in range(50)]
            many = start(tasks, cache.get_many, range(40, 60))
            await wait_all_tasks_blocked()
            backfill = start(tasks, cache.force_backfill)
            await wait_all_tasks_blocked()
            before = current_time()
        closed = current_time()
        await wait_all_tasks_blocked()

    assert closed == before
    assert [type(caller.outcome) for caller in (*callers, many)] == [CacheClosedError] * 51
    assert backfill.outcome.status.value == "cancelled"
    assert len(source.cancelled) == 3
    assert (cache.stats.in_flight, cache.stats.size) == (0, 0)


async def test_closing_leaves_every_caller_an_exception_of_its_own():
    async with create_task_group() as tasks, new_cache(GatedSource(ROWS)) as cache:
        callers = [start(tasks, cache.get, "a") for _ in range(10)]
        await wait_all_tasks_blocked()

    assert len({id(caller.outcome) for caller in callers}) == 10
    assert "'a'" in str(callers[0].outcome)


def test_closing_leaves_no_task_behind():
    async def main():
        source = GatedSource(dict.fromkeys(range(100)))
        before = asyncio.all_tasks()
        cache = new_cache(source, load=LoadPolicy(max_batch=5))
        async with cache:
            gets = [asyncio.create_task(cache.get(number)) for number in range(50)]
            backfill = asyncio.create_task(cache.force_backfill())
            await wait_all_tasks_blocked()
            during = asyncio.all_tasks() - before - {*gets, backfill}
        after = asyncio.all_tasks() - {*gets, backfill}
        await asyncio.gather(*gets, backfill, return_exceptions=True)
        return before, during, after

    before, during, after = run(main, "asyncio")

    assert len(during) == 11
    assert after == before


async def test_closing_waits_for_a_source_that_cleans_up():
    cleaned = []

    class Source:
        async def load_many(self, keys):
            try:
                await sleep_forever()
            finally:
                with CancelScope(shield=True):
                    await sleep(3)
                cleaned.append(keys)

    async with create_task_group() as tasks:
        async with new_cache(Source()) as cache:
            start(tasks, cache.get, "a")
            await wait_all_tasks_blocked()

        assert cleaned == [("a",)]


async def test_a_cache_that_is_closing_takes_no_more_callers():
    refused = []

    class Source:
        async def load_many(self, _):
            try:
                await sleep_forever()
            finally:
                for use in USES.values():
                    with pytest.raises(CacheClosedError):
                        await use(cache)
                    refused.append(use)

    async with create_task_group() as tasks, new_cache(Source()) as cache:
        await cache.put("b", 2)
        start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()

    assert refused == list(USES.values())


async def test_settle_ends_when_the_cache_closes():
    load = LoadPolicy(max_batch=1, concurrency=1)
    async with create_task_group() as tasks:
        async with new_cache(GatedSource(ROWS), load=load) as cache:
            start(tasks, cache.get_many, "ab")
            await wait_all_tasks_blocked()
            settled = start(tasks, cache.settle)
            await wait_all_tasks_blocked()
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        ended = settled.outcome
        tasks.cancel_scope.cancel()

    assert ended is None or isinstance(ended, CacheClosedError)


async def test_a_forced_backfill_that_waits_for_another_one_does_not_begin_when_the_cache_closes():
    class Scan:
        scans = 0

        async def scan(self, cursor, limit):
            self.scans += 1
            await sleep(3600)
            return Page((cursor, limit), None)

    scan = Scan()
    async with create_task_group() as tasks:
        async with BackfillCache(MappingSource(ROWS), scan=scan) as cache:
            backfills = [start(tasks, cache.force_backfill) for _ in range(3)]
            await wait_all_tasks_blocked()
            before = current_time()
        closed = current_time()

    assert closed == before
    assert scan.scans == 1
    assert [type(backfill.outcome) for backfill in backfills] == [CacheClosedError] * 3
    assert cache.stats.backfills == 0


async def test_a_load_that_the_closing_ended_is_not_reported_as_a_timeout():
    events = []
    cache = new_cache(GatedSource(ROWS), observers=[events.append])
    async with create_task_group() as tasks, cache:
        start(tasks, cache.get, "a")
        start(tasks, cache.force_backfill)
        await wait_all_tasks_blocked()

    assert [event for event in events if isinstance(getattr(event, "error", None), TimeoutError)] == []


async def test_an_error_of_the_body_comes_out_as_it_is():
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as raised:  # noqa: PT012 - the body is what is tested
        async with new_cache() as cache:
            await cache.get("a")
            raise error

    assert raised.value is error


async def test_an_error_of_the_body_comes_out_as_it_is_although_loads_are_under_way():
    error = ExceptionGroup("mine", [ValueError()])
    async with create_task_group() as tasks:
        with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012 - the body is what is tested
            async with new_cache(GatedSource(ROWS)) as cache:
                caller = start(tasks, cache.get, "a")
                await wait_all_tasks_blocked()
                raise error

    assert raised.value is error
    assert isinstance(caller.outcome, CacheClosedError)


async def test_a_cancelled_body_closes_the_cache_and_is_cancelled():
    source = GatedSource(ROWS)
    cache = new_cache(source)
    with move_on_after(10) as around:
        async with cache:
            await cache.get("a")

    assert around.cancelled_caught
    assert source.cancelled == [("a",)]
    with pytest.raises(CacheClosedError):
        cache.peek("a")


async def test_loads_do_not_inherit_the_context_of_the_caller_who_happened_to_be_first():
    request = ContextVar("request", default="none")
    seen = []

    class Source:
        async def load_many(self, keys):
            seen.append(request.get())
            return dict.fromkeys(keys, 1)

        async def scan(self, cursor, limit):
            seen.append(request.get())
            return Page(("x",), cursor if limit < 0 else None)

    async def ask(number):
        request.set(f"request {number}")
        await cache.get(number)
        await cache.force_backfill()

    request.set("opening")
    source = Source()
    async with BackfillCache(source, scan=source, load=LoadPolicy(max_batch=1)) as cache:
        request.set("body")
        await outcomes(ask, *[(number,) for number in range(5)])

    assert set(seen) == {"opening"}


async def test_a_cancelled_caller_who_was_the_first_does_not_take_the_workers_along():
    source = SimulatedSource(ROWS, latency=1)
    async with create_task_group() as tasks, new_cache(source) as cache:
        with move_on_after(10):
            first = start(tasks, cache.get, "a")
            await wait_all_tasks_blocked()
            first.cancel()
            await wait_all_tasks_blocked()

        assert first.outcome is CANCELLED
        assert await cache.get("b") == 2


@pytest.mark.parametrize(
    "backends", [("asyncio", "asyncio"), ("trio", "trio"), ("asyncio", "trio"), ("trio", "asyncio")]
)
def test_a_cache_can_be_opened_again_in_another_event_loop(backends):
    cache = new_cache(SimulatedSource(ROWS, latency=0.001))

    async def main():
        async with cache:
            await cache.force_backfill()
            return await outcomes(cache.get, ("a",), ("unknown",), ("a",))

    assert [run(main, backend) for backend in backends] == [[1, None, 1]] * 2
    assert cache.stats.misses == 2


async def left_open_with_a_load_under_way(cache):
    await cache.__aenter__()
    waiting = asyncio.create_task(cache.get("a"))
    await wait_all_tasks_blocked()
    return waiting, asyncio.get_running_loop()


def test_a_cache_whose_event_loop_ended_with_a_load_under_way_can_be_opened_in_another_one():
    source = GatedSource(ROWS)
    cache = new_cache(source)

    async def again():
        source.open()
        async with cache:
            return await cache.get("a"), cache.stats.in_flight

    waiting, _ = run(partial(left_open_with_a_load_under_way, cache), "asyncio")

    assert waiting.cancelled()
    assert run(again, "asyncio") == (1, 0)


def test_an_event_loop_that_ends_with_a_load_under_way_ends_the_tasks_of_the_cache():
    for _ in range(20):  # asyncio cancels its tasks in an order of its own
        cache = new_cache(GatedSource(ROWS))
        _, loop = run(partial(left_open_with_a_load_under_way, cache), "asyncio")

        assert asyncio.all_tasks(loop) == set()
