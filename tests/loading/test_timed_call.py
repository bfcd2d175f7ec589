"""One source call: how long it may take, and what it may answer."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping

import pytest

from async_backfill import (
    BackfillCache,
    CacheClosedError,
    Failed,
    LoadCycleError,
    LoadError,
    LoadPolicy,
)
from async_backfill.testing import GatedSource
from tests.callers import outcomes

pytestmark = pytest.mark.anyio


class Answering:
    """A source that answers by calling ``answer`` with the keys."""

    def __init__(self, answer):
        self.answer = answer

    async def load_many(self, keys):
        return self.answer(keys)


async def failure_from(source, key="a"):
    async with BackfillCache(source) as cache:
        with pytest.raises(LoadError) as failed:
            await cache.get(key)
        assert cache.peek(key) is None
        assert cache.stats.in_flight == 0
    return failed.value


@pytest.mark.parametrize("answer", [None, ["value"], [("a", "value")], "value", 1, {"a"}, iter("a")])
async def test_an_answer_that_is_no_mapping_fails_the_load_and_names_the_source(answer):
    failure = await failure_from(Answering(lambda _: answer))

    assert isinstance(failure.__cause__, TypeError)
    assert "Answering.load_many must return a mapping, not " in str(failure)


async def test_a_load_many_that_is_not_async_fails_the_load():
    class Source:
        def load_many(self, keys):
            return dict.fromkeys(keys, "value")

    assert isinstance((await failure_from(Source())).__cause__, TypeError)


async def test_a_source_without_load_many_fails_the_load():
    assert isinstance((await failure_from({"a": 1})).__cause__, AttributeError)


async def test_any_mapping_will_do_as_an_answer():
    async with BackfillCache(Answering(lambda keys: UserDict.fromkeys(keys, "value"))) as cache:
        assert await cache.get("a") == "value"


async def test_keys_that_were_not_asked_for_are_ignored():
    async with BackfillCache(Answering(lambda keys: {**dict.fromkeys(keys, 1), "other": 2})) as cache:
        assert await cache.get("a") == 1
        assert cache.peek("other") is None
        assert (cache.stats.size, cache.stats.source_keys) == (1, 1)


async def test_an_answer_with_only_other_keys_makes_the_key_absent():
    async with BackfillCache(Answering(lambda _: {"other": 2})) as cache:
        assert await cache.get("a", "absent") == "absent"
        assert (cache.stats.size, cache.stats.absent) == (0, 1)


async def test_an_answer_that_fails_while_it_is_read_fails_the_load():
    class LazyRows(Mapping):
        def __getitem__(self, key):
            raise ConnectionError(f"the connection of {key} was given back")

        def __iter__(self):
            return iter("a")

        def __len__(self):
            return 1

        def __contains__(self, key):
            return key == "a"

    failure = await failure_from(Answering(lambda _: LazyRows()))

    assert isinstance(failure.__cause__, ConnectionError)


async def test_an_answer_that_the_source_uses_for_two_calls_changes_nobodys_value():
    reused = {}

    def answer(keys):
        reused.clear()
        reused.update((key, f"value of {key}") for key in keys)
        return reused

    load = LoadPolicy(max_batch=1, concurrency=1)
    async with BackfillCache(Answering(answer), load=load) as cache:
        values = await outcomes(cache.get, *[(key,) for key in range(5)])

        assert values == [f"value of {key}" for key in range(5)]


async def test_an_answer_that_changes_later_is_what_it_was_when_it_came():
    table = {"a": "old"}

    def change(_):
        table["a"] = "new"

    async with BackfillCache(Answering(lambda _: table), observers=[change]) as cache:
        assert await cache.get("a") == "old"
        assert cache.peek("a") == "old"


async def test_keys_come_distinct_in_a_tuple_and_never_none():
    seen = []

    def answer(keys):
        seen.append(keys)
        return {}

    async with BackfillCache(Answering(answer)) as cache:
        await cache.get_many(["a", "b", "a", "b"])
        await cache.get_many([])

    assert seen == [("a", "b")]


async def test_one_key_can_fail_alone():
    wrong = ValueError("a row that cannot be read")

    async with BackfillCache(Answering(lambda _: {"a": 1, "b": Failed(wrong), "c": 3})) as cache:
        a, b, c = await outcomes(cache.get, ("a",), ("b",), ("c",))

        assert (a, c) == (1, 3)
        assert isinstance(b, LoadError)
        assert b.__cause__ is wrong
        assert (b.key, cache.peek("b"), cache.stats.failed) == ("b", None, 1)


async def test_a_source_that_is_itself_a_closed_cache_is_a_failed_load():
    inner = BackfillCache(GatedSource({}))

    class Source:
        async def load_many(self, keys):
            return await inner.get_many(keys)

    failure = await failure_from(Source())

    assert isinstance(failure.__cause__, CacheClosedError)


async def test_a_cycle_that_the_source_reports_stays_one_with_its_keys():
    class Source:
        async def load_many(self, keys):
            raise LoadCycleError("found by the source", key=keys[0], cycle=("x", "y", "x"))

    failure = await failure_from(Source())

    assert isinstance(failure, LoadCycleError)
    assert failure.cycle == ("x", "y", "x")
