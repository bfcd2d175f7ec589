"""A lone load begins in the turn of its caller, and is no less the cache's own for that."""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar

import pytest
from anyio import (
    CancelScope,
    Event,
    create_task_group,
    fail_after,
    get_current_task,
    move_on_after,
    sleep,
    wait_all_tasks_blocked,
)
from anyio.lowlevel import checkpoint

from async_backfill import (
    BackfillCache,
    CacheClosedError,
    CircuitPolicy,
    LoadError,
    LoadPolicy,
    LoadTimeoutError,
    MappingSource,
)
from async_backfill.testing import GatedSource
from tests.callers import CANCELLED, PENDING, outcomes, run, start

pytestmark = pytest.mark.anyio

variable: ContextVar[str] = ContextVar("variable", default="nobody's")


class BatchCalls:
    """A source that answers by awaiting ``answer(key)`` for each key."""

    def __init__(self, answer):
        self.answer = answer
        self.calls = []

    async def load_many(self, keys):
        self.calls.append(keys)
        return {key: await self.answer(key) for key in keys}


def opened(answer, **settings):
    """Return a cache whose worker sleeps once it is warm."""
    return BackfillCache(BatchCalls(answer), **settings)


async def warm(cache):
    """Have the cache start a worker, and let that fall asleep."""
    await cache.put("warm", 0)
    await cache.invalidate("warm")
    await cache.get("warm")
    await cache.settle()
    await wait_all_tasks_blocked()


async def echo(key):
    return key


def turns_of(main):
    """Return in how many turns of asyncio's loop ``main`` does what it does between two marks."""
    loop = asyncio.new_event_loop()
    turns = 0
    run_once = loop._run_once

    def counting():
        nonlocal turns
        turns += 1
        run_once()

    loop._run_once = counting
    try:
        return loop.run_until_complete(main(lambda: turns))
    finally:
        loop.close()


def test_a_lone_miss_of_a_source_that_never_waits_takes_no_turn_of_the_loop():
    async def main(turns):
        async with opened(echo) as cache:
            await warm(cache)
            before = turns()
            assert await cache.get("a") == "a"
            return turns() - before

    assert turns_of(main) == 0


def test_who_only_misses_lets_others_run_now_and_then():
    async def main(turns):
        async with opened(echo) as cache:
            await warm(cache)
            before = turns()
            for key in range(1000):
                await cache.get(key)
            return turns() - before

    assert 10 < turns_of(main) < 100


async def test_keys_that_are_asked_for_in_one_turn_still_make_one_call():
    async with opened(echo) as cache, create_task_group() as tasks:
        await warm(cache)
        for key in range(100):
            tasks.start_soon(cache.get, key)
        await wait_all_tasks_blocked()

        assert [len(keys) for keys in cache._parts.settings.source.calls] == [1, 100]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks since Python 3.12")
def test_keys_that_eager_tasks_ask_for_in_one_turn_make_one_call_as_well():
    async def main():
        async with opened(echo) as cache:
            await warm(cache)
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            await asyncio.gather(*[asyncio.create_task(cache.get(key)) for key in range(100)])
            return [len(keys) for keys in cache._parts.settings.source.calls]

    assert run(main, "asyncio") == [1, 100]


async def test_all_steps_of_a_load_are_taken_by_one_task_which_is_not_the_callers():
    tasks = []

    async def answer(key):
        tasks.append(get_current_task().id)
        await sleep(1)
        tasks.append(get_current_task().id)
        return key

    async with opened(answer) as cache:
        await warm(cache)
        tasks.clear()
        assert await cache.get("a") == "a"

        assert len(set(tasks)) == 1
        assert get_current_task().id not in tasks


async def test_what_a_load_sets_in_its_context_it_can_reset_and_nobody_else_sees():
    seen = []

    async def answer(key):
        seen.append(variable.get())
        token = variable.set("the load's")
        await checkpoint()
        seen.append(variable.get())
        variable.reset(token)
        return key

    async with opened(answer) as cache:
        await warm(cache)
        seen.clear()
        variable.set("the caller's")
        await cache.get("a")

        assert seen == ["nobody's", "the load's"]
        assert variable.get() == "the caller's"


async def test_a_caller_who_is_cancelled_leaves_the_load_that_he_began_to_the_others():
    source = GatedSource({"a": 1})

    async def answer(key):
        return key if key == "warm" else (await source.load_many((key,)))[key]

    async with opened(answer) as cache, create_task_group() as tasks:
        await warm(cache)
        first = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        second = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        first.cancel()
        await wait_all_tasks_blocked()
        assert (first.outcome, second.outcome) == (CANCELLED, PENDING)
        source.open()
        await wait_all_tasks_blocked()

        assert second.outcome == 1
        assert source.calls == [("a",)]


async def test_a_load_whose_only_caller_is_cancelled_in_its_first_step_is_cancelled():
    scope = CancelScope()
    ended = []

    async def answer(key):
        if key == "warm":
            return key
        scope.cancel()
        try:
            await sleep(3600)
        finally:
            ended.append(key)

    async with opened(answer) as cache:
        await warm(cache)
        with scope:
            await cache.get("a")
        await wait_all_tasks_blocked()

        assert scope.cancelled_caught
        assert ended == ["a"]
        assert cache.stats.in_flight == 0


async def test_a_load_that_goes_on_has_its_timeout():
    async def answer(key):
        await sleep(0 if key == "warm" else 3600)

    async with opened(answer, load=LoadPolicy(timeout=30)) as cache:
        await warm(cache)
        with pytest.raises(LoadTimeoutError):
            await cache.get("a")

        with fail_after(31):
            with pytest.raises(LoadTimeoutError):
                await cache.get("b")


@pytest.mark.parametrize("seconds", [0, 1])
async def test_a_deadline_that_a_source_sets_ends_its_own_wait_only(seconds):
    async def answer(key):
        with move_on_after(seconds):
            await sleep(0 if key == "warm" else 10)
            return "in time"
        return "too late"

    async with opened(answer) as cache:
        await warm(cache)

        assert await cache.get("a") == "too late"
        assert await cache.get("b") == "too late"


@pytest.mark.parametrize("seconds", [-1, 0, 0.001])
def test_so_does_a_deadline_of_asyncio_also_if_over_before_the_worker_goes_on(seconds):
    async def answer(key):
        try:
            async with asyncio.timeout(10 if key == "warm" else seconds):
                await sleep(0 if key == "warm" else 5)
                return "in time"
        except TimeoutError:
            return "too late"

    async def main():
        async with opened(answer) as cache:
            await warm(cache)
            return [await cache.get(key) for key in "abc"]

    assert run(main, "asyncio") == ["too late"] * 3


async def test_a_load_that_waits_for_a_future_of_others_gets_its_result():
    shared = Event()

    async def answer(key):
        if key != "warm":
            await shared.wait()
        return key

    async with opened(answer) as cache, create_task_group() as tasks:
        await warm(cache)
        first = start(tasks, cache.get, "a")
        other = start(tasks, shared.wait)
        await wait_all_tasks_blocked()
        shared.set()
        await wait_all_tasks_blocked()

        assert (first.outcome, other.outcome) == ("a", None)


def test_a_future_that_another_task_awaits_as_well_wakes_both():
    async def main():
        future = asyncio.get_running_loop().create_future()

        async def answer(key):
            return key if key == "warm" else await future

        async def wait():
            return await future

        async with opened(answer) as cache:
            await warm(cache)
            load = asyncio.ensure_future(cache.get("a"))
            await asyncio.sleep(0)
            other = asyncio.ensure_future(wait())
            await asyncio.sleep(0.001)
            future.set_result("both")
            return await load, await other

    assert run(main, "asyncio") == ("both", "both")


@pytest.mark.parametrize("failure", [ValueError("no"), TimeoutError("the source's")])
async def test_an_error_in_the_first_step_is_that_of_the_load(failure):
    async def answer(key):
        if key != "warm":
            raise failure
        return key

    async with opened(answer) as cache:
        await warm(cache)
        with pytest.raises(LoadError) as failed:
            await cache.get("a")

        assert failed.value.__cause__ is failure
        assert await cache.get("warm") == "warm"
        assert cache.stats.source_calls == 2


async def test_an_answer_that_is_no_mapping_fails_as_ever():
    class Source(MappingSource):
        async def load_many(self, keys):
            return await super().load_many(keys) if keys == ("warm",) else None

    async with BackfillCache(Source({"warm": 1})) as cache:
        await warm(cache)
        with pytest.raises(LoadError, match="must return a mapping"):
            await cache.get("a")


def test_a_source_that_ends_the_process_does_so():
    async def answer(key):
        if key != "warm":
            raise KeyboardInterrupt
        return key

    async def main():
        async with opened(answer) as cache:
            await warm(cache)
            with pytest.raises((LoadError, CacheClosedError)):
                await cache.get("a")
            await sleep(1)

    with pytest.raises(KeyboardInterrupt):
        run(main, "asyncio")


async def test_a_load_that_asks_for_itself_in_its_first_step_is_refused():
    async def answer(key):
        return await cache.get({"a": "b", "b": "a", "warm": "end", "end": "end"}[key]) if key != "end" else 0

    async with opened(answer) as cache:
        await warm(cache)
        with pytest.raises(LoadError, match="waits for itself"):
            await cache.get("a")


async def test_a_long_chain_of_loads_is_no_recursion():
    async def answer(key):
        if isinstance(key, str):
            return await sleep(1)
        return key if not key else await cache.get(key - 1)

    async with opened(answer, load=LoadPolicy(concurrency=300, max_batch=1)) as cache:
        await outcomes(cache.get, *[(f"worker {number}",) for number in range(300)])
        await wait_all_tasks_blocked()

        assert await cache.get(250) == 0


async def test_a_put_during_the_first_step_wins():
    async def answer(key):
        if key != "warm":
            await cache.put(key, "put")
        return "loaded"

    async with opened(answer) as cache:
        await warm(cache)

        assert await cache.get("a") == "loaded"
        assert cache.peek("a") == "put"


async def test_closing_right_after_a_load_began_ends_it():
    ended = []

    async def answer(key):
        if key == "warm":
            return key
        try:
            await sleep(3600)
        finally:
            ended.append(key)

    async with create_task_group() as tasks, opened(answer) as cache:
        await warm(cache)
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()

    assert isinstance(caller.outcome, CacheClosedError)
    assert ended == ["a"]


async def test_an_open_circuit_is_asked_first():
    async def answer(key):
        if key != "warm":
            raise ConnectionError("down")
        return key

    async with opened(answer, load=LoadPolicy(circuit=CircuitPolicy(failures=1))) as cache:
        await warm(cache)
        for key in "abc":
            with pytest.raises(LoadError):
                await cache.get(key)

        assert cache._parts.settings.source.calls == [("warm",), ("a",)]


async def test_the_counts_are_those_of_any_other_load():
    async with opened(echo) as cache:
        await warm(cache)
        for key in range(10):
            await cache.get(key)
            await cache.get(key)
        stats = cache.stats

        assert (stats.hits, stats.misses, stats.led, stats.joined) == (10, 11, 11, 0)
        assert (stats.source_calls, stats.source_keys, stats.miss_keys, stats.in_flight) == (11, 11, 11, 0)
