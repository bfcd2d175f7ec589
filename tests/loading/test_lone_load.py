"""A lone load that ends in its first step takes a short way, on which promises hold as on the usual one."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from anyio import Event, create_task_group, wait_all_tasks_blocked

from async_backfill import BackfillCache, Failed, FreshnessPolicy, LoadError, MemoryStore
from tests.callers import run

pytestmark = pytest.mark.anyio

KINDS = {
    "plain": {},
    "ttl": {"freshness": FreshnessPolicy(ttl=60)},
    "observed": {"observers": [lambda _: None]},
}
every_kind = pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)


class Source:
    """Answers at once with ``answer(keys)``, and notes what it was asked for."""

    def __init__(self, answer=lambda keys: {key: f"loaded {key}" for key in keys}):
        self.answer = answer
        self.calls = []

    async def load_many(self, keys):
        self.calls.append(keys)
        return self.answer(keys)


class OddError(Exception):
    """What the hash of a key raises."""


async def warm(cache):
    """Let a worker fall asleep, and an event loop that does not tell what is ready learn by experience."""
    for number in range(40):
        await cache.get(f"warm {number}")
    await cache.settle()
    await wait_all_tasks_blocked()


def ended_at_once(lookup):
    """Return what a ``lookup`` gives that takes no turn of the event loop, else ``None``."""
    try:
        lookup.send(None)
    except StopIteration as end:
        return end.value
    lookup.close()
    return None


def run_on_uvloop(main):
    loops = pytest.importorskip("tests.virtual_uvloop", exc_type=ImportError)
    with asyncio.Runner(loop_factory=loops.VirtualUvloop) as runner:
        return runner.run(main())


def run_on_asyncio(main):
    return run(main, "asyncio")


@every_kind
@pytest.mark.parametrize("run_there", [run_on_asyncio, run_on_uvloop])
def test_it_takes_no_turn_of_the_event_loop(settings, run_there):
    async def main():
        async with BackfillCache(Source(), **settings) as cache:
            await warm(cache)
            return ended_at_once(cache.get("a")), cache.peek("a"), cache.stats.in_flight

    assert run_there(main) == ("loaded a", "loaded a", 0)


@every_kind
async def test_its_value_is_evicted_and_counted_like_any_other(settings):
    async with BackfillCache(Source(), capacity=3, **settings) as cache:
        await warm(cache)
        before = cache.stats
        for key in "abcdab":
            await cache.get(key)
        after = cache.stats

        assert [cache.peek(key) is not None for key in "abcd"] == [True, True, False, True]
        assert (after.misses - before.misses, after.led - before.led, after.evictions - before.evictions) == (
            6,
            6,
            6,
        )
        assert after.source_keys - before.source_keys == after.source_calls - before.source_calls == 6


@every_kind
async def test_a_key_that_does_not_exist_and_one_that_fails_end_as_ever(settings):
    source = Source(lambda keys: {key: Failed(ValueError(key)) for key in keys if key == "bad"})
    async with BackfillCache(source, **settings) as cache:
        await warm(cache)
        before = cache.stats

        assert await cache.get("nobody", "default") == "default"
        with pytest.raises(LoadError) as failed:
            await cache.get("bad")
        assert str(failed.value.__cause__) == "bad"
        assert (cache.stats.absent - before.absent, cache.stats.failed - before.failed) == (1, 1)
        assert cache.stats.in_flight == 0


async def test_a_store_that_does_not_take_its_value_costs_the_caller_nothing():
    class Full(MemoryStore):
        def set_many(self, *_, **__):
            raise OSError("full")

    async with BackfillCache(Source(), store=Full(3)) as cache:
        await warm(cache)
        unkept = cache.stats.unkept

        assert await cache.get("a") == "loaded a"
        assert cache.stats.unkept == unkept + 1


@pytest.mark.parametrize("call", range(2, 16))
async def test_a_key_whose_hash_raises_at_any_moment_costs_itself_only(call):
    class Odd:
        calls = 0

        def __hash__(self):
            self.calls += 1
            if self.calls == call:
                raise OddError
            return 7

    async with BackfillCache(Source()) as cache:
        await warm(cache)
        with suppress(OddError, LoadError):
            assert "loaded" in await cache.get(Odd())
        await cache.settle()

        assert cache.stats.in_flight == 0
        assert ended_at_once(cache.get("a")) in {"loaded a", None}
        assert await cache.get("b") == "loaded b"


def test_who_lets_others_run_finds_what_they_put_meanwhile():
    async def main():
        async with BackfillCache(source := Source()) as cache:
            await warm(cache)
            await asyncio.sleep(0)
            cache._opening.engine.loader.eager_steps.left = 3
            for key in "abc":
                await cache.get(key)
            before = cache.stats
            put = asyncio.create_task(cache.put("x", "put"))
            value = await cache.get("x")
            await put
            return (
                value,
                cache.stats.hits - before.hits,
                cache.stats.misses - before.misses,
                ("x",) in source.calls,
            )

    assert run(main, "asyncio") == ("put", 1, 0, False)


async def test_a_load_that_goes_on_is_joined_and_not_begun_again():
    class Slow(Source):
        async def load_many(self, keys):
            answer = await super().load_many(keys)
            if "slow" in keys:
                await asked.wait()
            return answer

    asked = Event()
    async with BackfillCache(source := Slow()) as cache, create_task_group() as tasks:
        await warm(cache)
        for _ in range(3):
            tasks.start_soon(cache.get, "slow")
            await wait_all_tasks_blocked()
        assert cache.stats.in_flight == 1
        asked.set()

    assert source.calls.count(("slow",)) == 1


def test_on_uvloop_a_burst_costs_one_call_more_than_one_and_the_next_none():
    async def main():
        async with BackfillCache(source := Source()) as cache:
            await warm(cache)
            for first in (0, 100):
                source.calls.clear()
                await asyncio.gather(*[cache.get(key) for key in range(first, first + 100)])
                sizes.append([len(keys) for keys in source.calls])

    sizes = []
    run_on_uvloop(main)

    assert sizes == [[1, 99], [100]]


def test_on_uvloop_few_keys_are_no_experience():
    async def main():
        async with BackfillCache(Source()) as cache:
            for number in range(20):
                await cache.get(number)
            return ended_at_once(cache.get("a"))

    assert run_on_uvloop(main) is None
