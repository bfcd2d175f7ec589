"""A function with a cache in front of it."""

from __future__ import annotations

import inspect

import pytest
from anyio import sleep

from async_backfill import (
    CacheClosedError,
    ConfigurationError,
    FreshnessPolicy,
    KeyNotFoundError,
    LoadError,
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


async def test_what_the_function_raises_is_the_cause_of_a_load_error_and_not_kept():
    failures = [ValueError("no")]

    @cached()
    async def fails_once(key):
        if failures:
            raise failures.pop()
        return key

    async with fails_once.cache:
        with pytest.raises(LoadError) as failed:
            await fails_once("a")
        assert isinstance(failed.value.__cause__, ValueError)
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
        with pytest.raises(TypeError):
            await double([1])


def test_it_looks_like_the_function():
    double, _ = counted()

    assert double.__name__ == "double"
    assert double.__doc__ == "Return twice the number."
    assert str(inspect.signature(double)) == "(number)"
    assert inspect.iscoroutinefunction(double)


def test_a_function_without_arguments_has_no_key():
    async def now():
        return 0

    with pytest.raises(ConfigurationError, match=r"now\(\) must take an argument"):
        cached()(now)
