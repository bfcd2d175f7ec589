"""Context variables: each load has a copy of its own, of the opening's or of the first caller's."""

from __future__ import annotations

from contextvars import ContextVar

import pytest
from anyio import create_task_group, sleep
from anyio.lowlevel import checkpoint

from async_backfill import BackfillCache, FarTier, FreshnessPolicy, LoadPolicy, cached, each
from async_backfill.contracts import Page
from tests.callers import outcomes, start
from tests.far.shared import Shared

pytestmark = pytest.mark.anyio

TENANT = ContextVar("tenant", default="none")
TURNS = pytest.mark.parametrize("turns", [0, 1, 3])


class Source:
    """Answers with the tenant it sees, and sets another one: before it waits for ``turns``, and after."""

    def __init__(self, turns):
        self.turns = turns
        self.seen = []

    async def load_many(self, keys):
        self.seen.append(seen := TENANT.get())
        TENANT.set(f"set by a load of {keys}")
        for _ in range(self.turns):
            await checkpoint()
            assert TENANT.get() == f"set by a load of {keys}"
        async with create_task_group() as tasks:  # what a load starts sees what it has set
            tasks.start_soon(self._check, f"set by a load of {keys}")
        return dict.fromkeys(keys, seen)

    async def _check(self, expected):
        assert TENANT.get() == expected

    async def scan(self, cursor, _):
        self.seen.append(TENANT.get())
        return Page(("x", "y"), None) if cursor is None else Page((), None)


async def ask(get, tenant, key):
    TENANT.set(tenant)
    return await get(key)


@TURNS
@pytest.mark.parametrize("far", [False, True])
async def test_no_load_sees_what_another_one_has_set(turns, far):
    source = Source(turns)
    tier = FarTier(store=Shared()) if far else None
    TENANT.set("opening")
    async with BackfillCache(source, scan=source, far=tier, load=LoadPolicy(concurrency=1)) as cache:
        for number in range(5):
            await cache.get(number)
        await outcomes(cache.get, *[(f"at once {number}",) for number in range(5)])
        await cache.get_many(["a", "b"])
        await cache.force_backfill()

    assert set(source.seen) == {"opening"}
    assert TENANT.get() == "opening"


@TURNS
async def test_by_default_a_load_runs_in_the_context_of_the_opening(turns):
    TENANT.set("opening")
    async with BackfillCache(Source(turns)) as cache:
        TENANT.set("body")
        assert await ask(cache.get, "first", "a") == "opening"
        assert await outcomes(ask, (cache.get, "one", 1), (cache.get, "two", 2)) == ["opening"] * 2


@TURNS
@pytest.mark.parametrize("far", [False, True])
async def test_with_caller_it_runs_in_the_context_of_the_first_caller(turns, far):
    tier = FarTier(store=Shared()) if far else None
    load = LoadPolicy(context="caller", max_batch=1)
    async with BackfillCache(Source(turns), load=load, far=tier) as cache:
        assert await ask(cache.get, "lone", "a") == "lone"
        callers = [(cache.get, f"tenant {number}", number) for number in range(5)]
        assert await outcomes(ask, *callers) == [f"tenant {number}" for number in range(5)]

        async with create_task_group() as tasks:
            first = start(tasks, ask, cache.get, "first", "same")
            await checkpoint()
            second = start(tasks, ask, cache.get, "second", "same")
        assert (first.outcome, second.outcome) in {("first", "first"), ("second", "second")}
        assert TENANT.get() == "lone"


async def test_a_batch_runs_in_the_context_of_the_first_of_its_callers():
    source = Source(0)
    async with BackfillCache(source, load=LoadPolicy(context="caller")) as cache:

        async def many(tenant, *keys):
            TENANT.set(tenant)
            return set((await cache.get_many(keys)).values())

        ended = await outcomes(many, ("one", 1, 2), ("two", 3, 4))

    assert ended[0] == ended[1] in ({"one"}, {"two"})
    assert len(source.seen) == 1


async def test_a_batch_that_its_first_caller_left_runs_in_the_context_of_the_next():
    async def load(_):
        tenant = TENANT.get()
        await sleep(10)
        return tenant

    policy = LoadPolicy(context="caller")
    source = each(load, concurrency=1)
    async with BackfillCache(source, load=policy) as cache, create_task_group() as tasks:
        start(tasks, ask, cache.get, "blocker", "b")
        await sleep(1)
        leaver = start(tasks, ask, cache.get, "leaver", "a")
        await sleep(1)
        leaver.cancel()
        await sleep(1)
        stayer = start(tasks, ask, cache.get, "stayer", "a")

    assert stayer.outcome == "stayer"


async def test_a_refresh_runs_in_the_context_of_the_reader_who_began_it():
    source, now = Source(0), [0.0]
    freshness = FreshnessPolicy(ttl=10.0, stale_for=1e6)
    load = LoadPolicy(context="caller")
    async with BackfillCache(source, freshness=freshness, load=load, clock=lambda: now[0]) as cache:
        await ask(cache.get, "first", "a")
        now[0] = 20.0
        await ask(cache.get, "reader", "a")
        await cache.settle()

    assert source.seen == ["first", "reader"]


async def test_a_backfill_runs_in_the_context_of_the_opening_whoever_began_it():
    source = Source(1)
    TENANT.set("opening")
    async with BackfillCache(source, scan=source, load=LoadPolicy(context="caller")) as cache:
        TENANT.set("operator")
        await cache.force_backfill()

    assert set(source.seen) == {"opening"}


async def test_each_call_of_a_cached_function_runs_in_the_context_of_its_own_caller():
    @cached(load=LoadPolicy(context="caller"))
    async def tenant_of(_):
        await checkpoint()
        return TENANT.get()

    async with tenant_of.cache:
        callers = [(tenant_of, f"tenant {number}", number) for number in range(5)]
        assert await outcomes(ask, *callers) == [f"tenant {number}" for number in range(5)]


async def test_a_load_inside_a_load_sees_what_the_outer_one_has_set():
    async def load(key):
        if key == "inner":
            return TENANT.get()
        TENANT.set("outer")
        return await cache.get("inner")

    async with BackfillCache(each(load), load=LoadPolicy(context="caller")) as cache:
        assert await ask(cache.get, "caller", "outer") == "outer"
