"""A function with a cache in front of it."""

from __future__ import annotations

import inspect

import pytest
from anyio import sleep

from async_backfill import (
    CacheClosedError,
    FreshnessPolicy,
    KeyNotFoundError,
    cached,
)
from tests.callers import outcomes

pytestmark = pytest.mark.anyio


def counted(**settings):
    """Return a cached function of one argument, and the list of its calls."""
    calls = []

    @cached(**settings)
    async def double(number):
        """Return twice the number."""
        calls.append(number)
        await sleep(1)
        return 2 * number

    return double, calls


async def test_the_second_call_with_an_argument_is_answered_by_the_cache():
    double, calls = counted()
    async with double.cache:
        assert [await double(21), await double(21), await double(number=21)] == [42, 42, 42]

    assert calls == [21]


async def test_concurrent_calls_with_an_argument_make_one():
    double, calls = counted()
    async with double.cache:
        assert await outcomes(double, *[(21,)] * 100) == [42] * 100

    assert calls == [21]


async def test_none_is_a_result_like_others():
    calls = []

    @cached()
    async def nothing(key):
        calls.append(key)

    async with nothing.cache:
        assert [await nothing("a"), await nothing("a")] == [None, None]

    assert calls == ["a"]


async def test_several_arguments_are_one_key_however_they_are_given():
    calls = []

    @cached()
    async def area(width, height=2, *, scale=1):
        calls.append((width, height, scale))
        return width * height * scale

    async with area.cache:
        same = [await area(3), await area(3, 2), await area(width=3, height=2), await area(3, scale=1)]
        other = await area(3, scale=2)

    assert (same, other) == ([6, 6, 6, 6], 12)
    assert calls == [(3, 2, 1), (3, 2, 2)]


async def test_any_number_of_arguments_is_a_key():
    @cached()
    async def total(*numbers, **named):
        return sum(numbers) + sum(named.values())

    async with total.cache:
        assert [await total(), await total(1, 2), await total(1, a=2, b=3)] == [0, 3, 6]
        assert await total(1, b=3, a=2) == 6
        assert total.cache.stats.misses == 3


async def test_one_argument_is_the_key_itself_so_that_the_cache_can_be_asked_for_it():
    double, _ = counted()
    async with double.cache as cache:
        await double(21)

        assert cache.peek(21) == 42


async def test_an_invalidated_result_is_worked_out_again():
    double, calls = counted()
    async with double.cache:
        await double(21)
        await double.invalidate(21)
        await double.invalidate(number=7)
        await double(21)

    assert calls == [21, 21]


async def test_a_result_expires():
    double, calls = counted(freshness=FreshnessPolicy(ttl=60))
    async with double.cache:
        await double(21)
        await double.cache.settle()

        assert double.cache.peek(21) == 42
    assert calls == [21]


async def test_no_more_results_are_kept_than_there_is_room_for():
    double, calls = counted(capacity=1, eviction="lru")
    async with double.cache:
        for number in (1, 2, 1):
            await double(number)

    assert calls == [1, 2, 1]


async def test_what_the_function_raises_is_not_kept():
    failures = [ValueError("no")]

    @cached()
    async def fails_once(key):
        if failures:
            raise failures.pop()
        return key

    async with fails_once.cache:
        with pytest.raises(ValueError, match="no"):
            await fails_once("a")
        assert await fails_once("a") == "a"


@pytest.mark.parametrize("arguments", [(1,), (1, 2)])
async def test_arguments_that_there_is_nothing_for_say_so(arguments):
    @cached()
    async def none_of(*key):
        raise KeyNotFoundError("nothing", key=key)

    @cached()
    async def none(key):
        raise KeyNotFoundError("nothing", key=key)

    function = none if len(arguments) == 1 else none_of
    async with function.cache:
        with pytest.raises(KeyNotFoundError, match="found nothing for"):
            await function(*arguments)


async def test_it_is_refused_before_its_cache_is_open():
    double, _ = counted()
    with pytest.raises(CacheClosedError, match="async with"):
        await double(21)


async def test_arguments_that_do_not_fit_are_a_type_error_as_for_any_function():
    double, _ = counted()
    async with double.cache:
        for arguments, named in [((), {}), ((1,), {"number": 1}), ((1,), {"other": 1})]:
            with pytest.raises(TypeError):
                await double(*arguments, **named)


async def test_an_argument_that_cannot_be_hashed_is_named_with_what_to_do():
    double, _ = counted()

    class Shop:
        @cached
        async def price(self, item, *, basket):
            return item, basket

        @staticmethod
        @cached
        async def total(*, baskets):
            return baskets

    async with double.cache, Shop.price.cache, Shop.total.cache:
        expected = r"double\(\) .*unhashable type: 'list'.* 'number' is a list; pass .* @cached\(key=...\)"
        for call in (double, double.invalidate):
            with pytest.raises(TypeError, match=expected):
                await call([1])
        with pytest.raises(TypeError, match=r"Shop.price\(\) .*'basket' is a dict"):
            await Shop().price("tea", basket={})
        with pytest.raises(TypeError, match=r"Shop.total\(\) .*'baskets' is a set"):
            await Shop.total(baskets={1})


def test_it_looks_like_the_function():
    double, _ = counted()

    assert double.__name__ == "double"
    assert double.__doc__ == "Return twice the number."
    assert str(inspect.signature(double)) == "(number)"
    assert inspect.iscoroutinefunction(double)


async def test_a_function_without_arguments_has_one_result():
    calls = []

    @cached
    async def now():
        calls.append("now")
        return len(calls)

    async with now.cache:
        assert [await now(), await now()] == [1, 1]
        await now.invalidate()
        assert await now() == 2


async def test_the_decorator_needs_no_parentheses():
    class Shop:
        @cached
        async def price(self, item):
            return item, self

    @cached
    async def double(number):
        return 2 * number

    shop = Shop()
    async with double.cache, Shop.price.cache:
        assert await double(2) == 4
        assert await shop.price("tea") == ("tea", shop)


async def test_arguments_of_equal_value_are_one_key_unless_types_count():
    @cached
    async def kind(value):
        return type(value).__name__

    @cached(typed=True)
    async def typed(value):
        return type(value).__name__

    async with kind.cache, typed.cache:
        assert [await kind(1), await kind(True), await kind(1.0)] == ["int"] * 3
        assert [await typed(1), await typed(True), await typed(value=1.0)] == ["int", "bool", "float"]
        await typed.invalidate(True)
        assert [await typed(1), await typed(True)] == ["int", "bool"]
        assert typed.cache.stats.misses == 4


async def test_types_of_each_argument_count_in_a_method_and_by_name():
    class Shop:
        @cached(typed=True)
        async def price(self, *items, count=1):
            return [*map(type, items), type(count)]

    shop = Shop()
    async with Shop.price.cache:
        assert await shop.price(1, 2) == [int, int, int]
        assert await shop.price(1, 2.0) == [int, float, int]
        assert await shop.price(1, 2, count=True) == [int, int, bool]
        assert await shop.price(1, 2) == [int, int, int]
