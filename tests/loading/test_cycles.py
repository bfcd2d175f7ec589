"""Loads that ask the cache for other keys: as deep as they like, but never in a cycle."""

from __future__ import annotations

import pytest
from anyio import Event, create_task_group, current_time, fail_after, wait_all_tasks_blocked

from async_backfill import BackfillCache, LoadCycleError, LoadPolicy, each
from async_backfill.testing import GatedSource
from tests.callers import FOR_EVER, outcomes, start

pytestmark = pytest.mark.anyio

WITHOUT_END = LoadPolicy(timeout=None)


class Recipes:
    """A source whose keys are made from other keys: ``needs`` says from which ones."""

    def __init__(self, needs):
        self.needs = needs
        self.calls = []
        self.cache = None

    async def load_many(self, keys):
        self.calls.append(tuple(keys))
        return {key: [key, *[await self.cache.get(part) for part in self.needs[key]]] for key in keys}


def cache_of(source, **policy):
    cache = BackfillCache(source, load=LoadPolicy(timeout=None, **policy))
    source.cache = cache
    return cache


async def refusal(function, *args):
    """Return the error that ``function(*args)`` was refused with; waiting for ever is another one."""
    with pytest.raises(LoadCycleError) as refused, fail_after(FOR_EVER):
        await function(*args)
    return refused.value


async def test_a_load_may_ask_the_cache_for_another_key():
    async with cache_of(Recipes({"bread": ["flour"], "flour": []})) as cache:
        assert await cache.get("bread") == ["bread", ["flour"]]
        assert cache.peek("flour") == ["flour"]


async def test_loads_may_ask_for_each_other_a_hundred_deep_through_one_place():
    source = Recipes({0: [], **{number: [number - 1] for number in range(1, 101)}})
    async with cache_of(source, concurrency=1) as cache:
        await cache.get(100)

        assert source.calls == [(number,) for number in range(100, -1, -1)]
        assert cache.stats.in_flight == 0


async def test_many_nested_loads_at_once_get_through_one_place():
    needs = {("leaf", number): [] for number in range(50)}
    needs |= {("root", number): [("leaf", number), ("leaf", (number + 1) % 50)] for number in range(50)}
    async with cache_of(Recipes(needs), concurrency=1, max_batch=1) as cache:
        values = await outcomes(cache.get, *[(("root", number),) for number in range(50)])

        assert [len(value) for value in values] == [3] * 50
        assert cache.stats.source_keys == 100


async def test_a_load_that_asks_for_its_own_key_is_refused_at_once():
    async with cache_of(Recipes({"a": ["a"]})) as cache:
        before = current_time()
        error = await refusal(cache.get, "a")

        assert current_time() == before
        assert error.cycle == ("a", "a")
        assert "'a' -> 'a'" in str(error)


async def test_a_cycle_of_two_keys_is_refused_at_once_and_shown():
    async with cache_of(Recipes({"a": ["b"], "b": ["a"]})) as cache:
        before = current_time()
        error = await refusal(cache.get, "a")

        assert current_time() == before
        assert error.cycle == ("a", "b", "a")


async def test_a_cycle_of_a_hundred_keys_is_refused_and_shown():
    needs = {number: [(number + 1) % 100] for number in range(100)}
    async with cache_of(Recipes(needs), concurrency=1) as cache:
        assert (await refusal(cache.get, 0)).cycle == (*range(100), 0)


async def test_a_cycle_through_a_batch_is_refused():
    class Source:
        async def load_many(self, keys):
            return await cache.get_many(["c", "d"] if "a" in keys else ["x", "a"])

    async with BackfillCache(Source(), load=WITHOUT_END) as cache:
        assert (await refusal(cache.get_many, ["a", "b"])).cycle == ("a", "c", "a")


async def test_a_cycle_through_two_caches_is_refused_at_once():
    class Other:
        def __init__(self, ask):
            self.ask = ask

        async def load_many(self, keys):
            return {key: await self.ask(key) for key in keys}

    prices = BackfillCache(Other(lambda key: products.get(key)), load=WITHOUT_END)  # noqa: PLW0108 - made next
    products = BackfillCache(Other(prices.get), load=WITHOUT_END)
    async with prices, products:
        before = current_time()
        error = await refusal(prices.get, "a")

        assert current_time() == before
        assert error.cycle == ("a", "a", "a")


async def test_a_cycle_that_two_callers_close_from_both_ends_is_refused():
    gate = GatedSource({})

    class Source:
        async def load_many(self, keys):
            await gate.load_many(keys)
            return {key: await cache.get({"a": "b", "b": "a"}[key]) for key in keys}

    async with BackfillCache(Source(), load=LoadPolicy(timeout=None, max_batch=1)) as cache:
        with fail_after(FOR_EVER):
            async with create_task_group() as tasks:
                callers = [start(tasks, cache.get, key) for key in "ab"]
                await wait_all_tasks_blocked()
                gate.open()

        assert [type(caller.outcome) for caller in callers] == [LoadCycleError] * 2
        assert cache.stats.in_flight == 0


async def test_a_cycle_inside_a_source_that_loads_each_key_in_a_task_is_refused():
    async def load(key):
        return await cache.get({"a": "b", "b": "a"}[key])

    async with BackfillCache(each(load), load=WITHOUT_END) as cache:
        assert [type(end) for end in await outcomes(cache.get, ("a",), ("b",))] == [LoadCycleError] * 2


async def test_two_ways_to_one_key_are_no_cycle():
    async with cache_of(Recipes({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []})) as cache:
        assert await cache.get("a") == ["a", ["b", ["d"]], ["c", ["d"]]]
        assert cache.stats.source_keys == 4


async def test_two_callers_who_wait_for_one_nested_key_are_no_cycle():
    source = Recipes({"a": ["c"], "b": ["c"], "c": []})
    async with cache_of(source, max_batch=1) as cache:
        assert await outcomes(cache.get, ("a",), ("b",)) == [["a", ["c"]], ["b", ["c"]]]
        assert sorted(source.calls) == [("a",), ("b",), ("c",)]


async def test_a_load_may_read_its_own_key_where_it_is_cached():
    class Source:
        async def load_many(self, keys):
            return {key: [cache.peek(key), await cache.get("seed")] for key in keys}

    async with BackfillCache(Source(), load=WITHOUT_END) as cache:
        await cache.put("seed", 1)

        assert await cache.get("a") == [None, 1]


async def test_a_load_that_revokes_its_own_key_and_asks_again_is_refused_in_the_end():
    class Source:
        calls = 0

        async def load_many(self, keys):
            self.calls += 1
            await cache.invalidate("a")
            return {key: await cache.get("a") for key in keys if self.calls < 10}

    async with BackfillCache(Source(), load=WITHOUT_END) as cache:
        assert await cache.get("a") is None
        assert cache.stats.in_flight == 0


async def test_a_source_may_catch_the_refusal_and_answer_without():
    class Source:
        async def load_many(self, keys):
            try:
                return {key: await cache.get(key) for key in keys}
            except LoadCycleError:
                return dict.fromkeys(keys, "without")

    async with BackfillCache(Source(), load=WITHOUT_END) as cache:
        assert await cache.get("a") == "without"


async def test_a_refused_cycle_is_not_remembered():
    source = Recipes({"a": ["b"], "b": ["a"]})
    async with cache_of(source) as cache:
        await refusal(cache.get, "a")
        source.needs["b"] = []

        assert await cache.get("a") == ["a", ["b"]]


async def test_what_a_refused_load_had_asked_for_beside_its_cycle_is_not_loaded():
    class Source:
        calls = ()

        async def load_many(self, keys):
            self.calls = (*self.calls, keys)
            return await cache.get_many(["b", "a"])

    source = Source()
    async with BackfillCache(source, load=LoadPolicy(timeout=None, max_batch=1)) as cache:
        await refusal(cache.get, "a")
        await cache.settle()

        assert source.calls == (("a",),)


async def test_a_miss_that_a_cycle_refused_counts_as_failed():
    async with cache_of(Recipes({"a": ["a"]})) as cache:
        await refusal(cache.get, "a")

        assert (cache.stats.misses, cache.stats.failed) == (2, 2)


async def test_a_task_that_a_load_left_behind_is_not_part_of_that_load():
    landed = Event()
    left_behind = []

    class Source:
        async def load_many(self, keys):
            if not left_behind:
                left_behind.append(start(tasks, read_again))
            return dict.fromkeys(keys, "value")

    async def read_again():
        await landed.wait()
        await cache.invalidate("a")
        return await cache.get("a")

    async with create_task_group() as tasks, BackfillCache(Source(), load=WITHOUT_END) as cache:
        await cache.get("a")
        landed.set()
        await wait_all_tasks_blocked()

        assert left_behind[0].outcome == "value"
