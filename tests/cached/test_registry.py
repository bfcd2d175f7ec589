"""A registry of caches: one `async with` opens all that an application has."""

from __future__ import annotations

import functools

import pytest

from async_backfill import (
    BackfillCache,
    CacheClosedError,
    CacheRegistry,
    ConfigurationError,
    MappingSource,
    cached,
)

pytestmark = pytest.mark.anyio


def traced(function):
    @functools.wraps(function)
    async def call(*args):
        return await function(*args)

    return call


async def test_one_opening_opens_functions_methods_and_caches():
    caches = CacheRegistry()

    @caches.add
    @cached
    async def double(number):
        return 2 * number

    class Shop:
        @caches.add
        @cached
        async def price(self, item):
            return item

        @staticmethod
        @caches.add
        @traced
        @cached
        async def total(number):
            return number

    cache = caches.add(BackfillCache(MappingSource({"a": 1})))
    async with caches as opened:
        assert opened is caches
        assert await double(2) == 4
        assert await Shop().price("tea") == "tea"
        assert await Shop.total(3) == 3
        assert await cache.get("a") == 1
    assert len(caches) == 4
    with pytest.raises(CacheClosedError):
        await cache.get("a")


async def test_it_can_be_opened_again_after_it_was_closed():
    @cached
    async def double(number):
        return 2 * number

    caches = CacheRegistry(double)
    for _ in range(2):
        async with caches:
            assert await double(2) == 4
    assert double.cache.stats.hits == 1


async def test_what_is_added_twice_is_opened_once():
    class Shop:
        @cached
        async def price(self, item):
            return item

    async with CacheRegistry(Shop.price, Shop().price, Shop.price.cache) as caches:
        assert len(caches) == 1


async def test_when_one_cannot_be_opened_the_others_are_closed_again():
    first, second = (BackfillCache(MappingSource({"a": 1})) for _ in range(2))
    async with second:
        with pytest.raises(RuntimeError, match="already open"):
            async with CacheRegistry(first, second):
                raise AssertionError("not reached")
        with pytest.raises(CacheClosedError):
            await first.get("a")
        assert await second.get("a") == 1


async def test_an_error_of_the_body_closes_all_and_goes_on():
    first, second = (BackfillCache(MappingSource({"a": 1})) for _ in range(2))
    with pytest.raises(KeyError, match="mine"):
        async with CacheRegistry(first, second):
            raise KeyError("mine")
    for cache in (first, second):
        with pytest.raises(CacheClosedError):
            await cache.get("a")


async def test_it_is_opened_once_at_a_time_and_takes_nothing_new_meanwhile():
    @cached
    async def late(number):
        return number

    cache = BackfillCache(MappingSource({}))
    caches = CacheRegistry(cache)
    async with caches:
        with pytest.raises(RuntimeError, match="already open; enter it once"):
            async with caches:
                raise AssertionError("not reached")
        with pytest.raises(
            RuntimeError, match=r"open already: add .*late before, or import its module earlier"
        ):
            caches.add(late)
        caches.add(cache)
    caches.add(late)
    assert len(caches) == 2


def test_what_has_no_cache_is_refused():
    async def plain():
        return 1

    for one in (plain, 7, None):
        with pytest.raises(ConfigurationError, match=r"CacheRegistry: .* has no cache; add a BackfillCache"):
            CacheRegistry(one)


async def test_a_call_before_it_is_opened_says_what_to_do():
    @cached
    async def double(number):
        return 2 * number

    class Shop:
        @cached
        async def price(self, item):
            return item

    for call, name in [
        (lambda: double(1), "double"),
        (lambda: double.invalidate(1), "double"),
        (lambda: Shop().price("a"), "Shop.price"),
        (lambda: Shop().price.invalidate("a"), "Shop.price"),
    ]:
        with pytest.raises(
            CacheClosedError, match=rf"^{name}\(\) was called while .*'async with {name}.cache:'"
        ):
            await call()
