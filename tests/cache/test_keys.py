"""Keys and values as they come: equal keys, falsy values, and keys that cannot be used at all."""

from __future__ import annotations

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import BackfillCache, FreshnessPolicy, MappingSource
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.testing import GatedSource
from tests.callers import start

pytestmark = pytest.mark.anyio

FALSY = {"none": None, "false": False, "zero": 0, "empty": "", "tuple": (), "nan": float("nan")}
USES = {
    "get": lambda cache, key: cache.get(key),
    "fetch": lambda cache, key: cache.fetch(key),
    "get_many": lambda cache, key: cache.get_many(["a", key, "b"]),
    "put": lambda cache, key: cache.put(key, 1),
    "put_many": lambda cache, key: cache.put_many({"a": 5} | {key: 1}),
    "invalidate": lambda cache, key: cache.invalidate(key),
}
SETTINGS = [
    *({"capacity": 2, "eviction": eviction} for eviction in EVICTIONS),
    {"freshness": FreshnessPolicy(ttl=10, stale_for=10, absent_ttl=10)},
]


class Unhashable:
    __hash__ = None


class Deceptive:
    """Claims to be hashable and is not."""

    def __hash__(self):
        raise TypeError("unhashable after all")


async def test_python_decides_which_keys_are_one():
    class Source:
        async def load_many(self, keys):
            return {key: type(key).__name__ for key in keys}

    async with BackfillCache(Source()) as cache:
        assert [await cache.get(key) for key in (1, True, 1.0)] == ["int"] * 3
        assert await cache.get("1") == "str"
        assert (cache.stats.misses, cache.stats.hits) == (2, 2)
        assert await cache.get_many([2.0, 2]) == {2: "float"}


@pytest.mark.parametrize("settings", [{}, SETTINGS[-1]])
@pytest.mark.parametrize("name", FALSY)
async def test_a_value_that_is_none_or_falsy_is_a_value(name, settings):
    value = FALSY[name]
    async with BackfillCache(MappingSource(FALSY), **settings) as cache:
        for _ in range(3):
            assert await cache.get(name, "default") is value
            assert await cache.fetch(name) is value
        assert cache.peek(name, "default") is value
        assert [*(await cache.get_many([name, "absent"])).items()] == [(name, value)]
        assert (cache.stats.misses, cache.stats.absent, cache.stats.source_keys) == (2, 1, 1)
        await cache.put("put", value)
        assert await cache.get("put", "default") is value


@pytest.mark.parametrize("key", [None, False, 0, "", (), frozenset(), b""])
async def test_a_key_that_is_none_or_falsy_is_a_key(key):
    async with BackfillCache(MappingSource({key: "row"})) as cache:
        assert [await cache.get(key), await cache.fetch(key), cache.peek(key)] == ["row"] * 3
        await cache.invalidate(key)
        assert cache.peek(key) is None


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("use", USES)
async def test_an_unhashable_key_is_a_type_error_and_changes_nothing(use, settings):
    async with BackfillCache(MappingSource({"a": 1, "b": 2}), **settings) as cache:
        await cache.get_many("ab")
        before = cache.stats
        for key in ([], {}, set(), Unhashable(), Deceptive(), ("a", [])):
            with pytest.raises(TypeError):
                pytest.fail(f"{key!r}: {await USES[use](cache, key)!r}")
            with pytest.raises(TypeError):
                pytest.fail(f"{key!r}: {cache.peek(key)!r}")

            assert cache.stats == before
            assert await cache.get_many("ab") == {"a": 1, "b": 2}
            assert cache.stats.misses == before.misses
            before = cache.stats


@pytest.mark.parametrize("use", USES)
async def test_an_unhashable_key_does_not_disturb_a_load_under_way(use):
    source = GatedSource({"a": 1, "b": 2})
    async with BackfillCache(source) as cache, create_task_group() as tasks:
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        with pytest.raises(TypeError):
            await USES[use](cache, [])
        source.open()
        await wait_all_tasks_blocked()

        assert caller.outcome == 1
        assert (cache.peek("a"), cache.stats.in_flight, source.calls) == (1, 0, [("a",)])
