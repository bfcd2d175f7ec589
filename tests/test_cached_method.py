"""A method with a cache in front of it."""

from __future__ import annotations

import gc
import inspect
import weakref

import pytest
from anyio import sleep

from async_backfill import CacheClosedError, ConfigurationError, KeyNotFoundError, cached
from tests.callers import outcomes

pytestmark = pytest.mark.anyio


class Shop:
    """All shops are equal, and have one hash."""

    def __init__(self, name):
        self.name = name
        self.calls = []

    def __eq__(self, other):
        return isinstance(other, Shop)

    def __hash__(self):
        return 1

    @cached(capacity=1000)
    async def price(self, product, *, currency="EUR"):
        """Return a price."""
        self.calls.append((product, currency))
        await sleep(1)
        if product == "nothing":
            raise KeyNotFoundError("no such product")
        return f"{self.name} {product} {currency}"


async def test_each_instance_has_results_of_its_own_however_equal_they_are():
    one, other = Shop("one"), Shop("other")
    async with Shop.price.cache:
        assert await one.price("a") == "one a EUR"
        assert await other.price("a") == "other a EUR"
        assert await one.price("a", currency="EUR") == "one a EUR"

    assert one.calls == other.calls == [("a", "EUR")]


async def test_concurrent_calls_on_one_instance_make_one():
    shop = Shop("one")
    async with Shop.price.cache:
        assert await outcomes(shop.price, *[("a",)] * 100) == ["one a EUR"] * 100

    assert shop.calls == [("a", "EUR")]


async def test_an_invalidation_is_about_one_instance_and_takes_the_arguments_of_the_call():
    one, other = Shop("one"), Shop("other")
    async with Shop.price.cache:
        for shop in (one, other):
            await shop.price("a", currency="CHF")
        await one.price.invalidate("a", currency="CHF")
        for shop in (one, other):
            await shop.price("a", currency="CHF")

    assert (len(one.calls), len(other.calls)) == (2, 1)


async def test_an_instance_is_not_kept_alive_and_the_next_one_gets_nothing_of_its():
    async with Shop.price.cache:
        shop = Shop("gone")
        await shop.price("a")
        alive = weakref.ref(shop)
        del shop
        gc.collect()
        assert alive() is None
        fresh = [Shop(f"new {number}") for number in range(100)]
        assert [await shop.price("a") for shop in fresh] == [f"{shop.name} a EUR" for shop in fresh]
        await Shop.price.cache.clear()


async def test_a_subclass_reaches_what_it_overrides():
    class Dear(Shop):
        @cached(capacity=10)
        async def price(self, product, *, currency="EUR"):
            return f"{await super().price(product, currency=currency)}, doubled"

    shop = Dear("one")
    async with Shop.price.cache, Dear.price.cache:
        assert await shop.price("a") == "one a EUR, doubled"
        assert await shop.price("a") == "one a EUR, doubled"

    assert len(shop.calls) == 1


async def test_what_the_method_does_not_have_is_a_key_error_with_the_call():
    async with Shop.price.cache:
        with pytest.raises(KeyNotFoundError, match=r"\('nothing', currency='EUR'\) of <"):
            await Shop("one").price("nothing")


async def test_called_on_the_class_it_is_a_function_of_all_its_arguments():
    shop = Shop("one")
    async with Shop.price.cache:
        assert await Shop.price(shop, "a") == "one a EUR"


async def test_static_and_class_methods_are_functions():
    class Tools:
        @staticmethod
        @cached(capacity=10)
        async def double(number):
            return 2 * number

        @classmethod
        @cached(capacity=10)
        async def name(cls, number):
            return f"{cls.__name__} {number}"

    async with Tools.double.cache:
        assert await Tools.double(2) == await Tools().double(2) == 4
    async with vars(Tools)["name"].__func__.cache:
        assert await Tools.name(2) == await Tools().name(2) == "Tools 2"


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_above_a_static_or_a_class_method_it_is_refused(kind):
    async def function(number):
        return number

    with pytest.raises(ConfigurationError, match=f"goes below @{kind.__name__}"):
        cached()(kind(function))


async def test_an_instance_that_cannot_be_referenced_weakly_is_refused_in_one_line():
    class Tight:
        __slots__ = ()

        @cached(capacity=10)
        async def price(self, product):
            return product

    async with Tight.price.cache:
        with pytest.raises(TypeError, match="Tight cannot be referenced weakly; add '__weakref__'"):
            await Tight().price("a")


async def test_arguments_that_cannot_be_a_key_are_refused():
    async with Shop.price.cache:
        with pytest.raises(TypeError, match="unhashable"):
            await Shop("one").price(["a"])


async def test_wrong_arguments_are_refused_as_by_the_method_itself():
    async with Shop.price.cache:
        with pytest.raises(TypeError, match="missing a required argument"):
            await Shop("one").price()


async def test_a_cache_that_is_not_open_says_so():
    with pytest.raises(CacheClosedError):
        await Shop("one").price("a")


def test_it_looks_like_the_method():
    assert Shop.price.__doc__ == Shop("one").price.__doc__ == "Return a price."
    assert list(inspect.signature(Shop.price).parameters) == ["self", "product", "currency"]
