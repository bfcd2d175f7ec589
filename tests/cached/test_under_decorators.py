"""A cached method below other decorators: instances stay apart and are let go, whatever stands above."""

from __future__ import annotations

import functools
import gc
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from weakref import ref

import pytest

from async_backfill import ConfigurationError, cached

pytestmark = pytest.mark.anyio


def traced(function):
    """Wrap a function as most decorators do."""

    @functools.wraps(function)
    async def call(*args, **named):
        return await function(*args, **named)

    return call


def nameless(function):
    """Wrap a function and say nothing of it."""

    async def call(*args, **named):
        return await function(*args, **named)

    return call


def synchronous(function):
    """Wrap a function in one that is not async itself, but returns what can be awaited."""

    @functools.wraps(function)
    def call(*args, **named):
        return function(*args, **named)

    return call


@dataclass(frozen=True)
class Frozen:
    """Equal and of the same hash for equal names."""

    name: str
    secret: str = field(compare=False)


@dataclass
class Unhashable:
    """Equal for equal names, and without a hash."""

    name: str
    secret: str = field(compare=False)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Slotted:
    """With slots and one for weak references."""

    name: str
    secret: str = field(compare=False)


BASES = [Frozen, Unhashable, Slotted]
ABOVE = [traced, nameless, synchronous, lambda function: traced(nameless(traced(function)))]


def make(base, above, below=lambda function: function):
    """Return a class with a cached method under a decorator, and the cache."""
    caches = []

    def keep(function):
        caches.append(function.cache)
        return function

    class Shop(base):
        @above
        @keep
        @cached(capacity=100)
        @below
        async def tell(self, item):
            return self.secret + item

    return Shop, caches[0]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("above", ABOVE)
async def test_equal_instances_are_told_apart_and_let_go(base, above):
    class_, cache = make(base, above)
    async with cache:
        one, other = class_("x", "one "), class_("x", "other ")
        assert [await one.tell("a"), await other.tell("a"), await one.tell(item="a")] == [
            "one a",
            "other a",
            "one a",
        ]
        assert cache.stats.misses == 2
        gone = ref(one)
        del one
        gc.collect()
        assert gone() is None


@pytest.mark.parametrize("below", [traced, synchronous])
async def test_a_decorator_below_makes_no_difference(below):
    class_, cache = make(Unhashable, lambda function: function, below)
    async with cache:
        one, other = class_("x", "one "), class_("x", "other ")
        assert [await one.tell("a"), await other.tell("a")] == ["one a", "other a"]


async def test_a_method_whose_name_a_decorator_below_lost_is_a_method_by_where_it_stands():
    class Shop(Frozen):
        @cached(capacity=100)
        @nameless
        async def tell(self, item):
            return self.secret + item

        @cached
        @nameless
        async def all(self):
            return self.secret

    one, other = Shop("x", "one "), Shop("x", "other ")
    async with Shop.tell.cache, Shop.all.cache:
        assert [await one.tell("a"), await other.tell("a")] == ["one a", "other a"]
        assert [await one.all(), await other.all()] == ["one ", "other "]


async def test_a_function_with_self_that_becomes_a_method_later_is_a_method():
    @cached
    async def tell(self, item):
        return self.secret + item

    class Shop(Frozen):
        pass

    Shop.tell = tell
    Shop.other = traced(tell)
    one, other = Shop("x", "one "), Shop("x", "other ")
    async with tell.cache:
        assert [await one.tell("a"), await other.tell("a")] == ["one a", "other a"]
        assert [await one.other("a"), await other.other("a")] == ["one a", "other a"]


@pytest.mark.parametrize("above", [traced, nameless])
async def test_a_static_method_under_decorators_is_a_function_of_its_arguments(above):
    class Tool(Frozen):
        @staticmethod
        @above
        @cached
        async def double(number):
            return 2 * number

        @staticmethod
        @above
        @cached
        async def name_of(tool):
            return tool.name

    tool, equal = Tool("x", "one"), Tool("x", "other")
    caches = [vars(Tool)[name].__func__ for name in ("double", "name_of")]
    caches = [getattr(one, "cache", None) or one.__closure__[0].cell_contents.cache for one in caches]
    async with caches[0] as of_double, caches[1] as of_names:
        assert [await Tool.double(2), await tool.double(2)] == [4, 4]
        assert [await Tool.name_of(tool), await equal.name_of(equal)] == ["x", "x"]
        assert (of_double.stats.misses, of_names.stats.misses) == (1, 1)


@pytest.mark.parametrize("above", [traced, nameless])
async def test_a_classmethod_under_decorators_is_refused_by_its_first_call(above):
    class Tool:
        @classmethod
        @above
        @cached
        async def of(cls, number):
            return cls, number

    class Better(Tool):
        pass

    for call in (Tool.of, Better.of, Better().of):
        with pytest.raises(ConfigurationError, match=r"of\(\) must not be a classmethod"):
            await call(1)


async def test_an_abstract_method_stays_abstract_and_its_subclass_has_a_cache():
    class Shop(ABC):
        @abstractmethod
        @cached
        async def above(self, item):
            """Return something."""

        @cached
        @abstractmethod
        async def below(self, item):
            """Return something."""

    with pytest.raises(TypeError, match="abstract"):
        Shop()

    class Real(Shop):
        @cached
        async def above(self, item):
            return item

        below = above

    shop = Real()
    async with Real.above.cache:
        assert [await shop.above("a"), await shop.below("a")] == ["a", "a"]


async def test_a_partial_method_of_a_cached_one_binds_its_instance():
    class Shop(Unhashable):
        @cached
        async def tell(self, item, count=1):
            return self.secret + item * count

        tea = functools.partialmethod(tell, "tea")
        two = functools.partialmethod(traced(tell), count=2)

    one, other = Shop("x", "one "), Shop("x", "other ")
    async with Shop.tell.cache as cache:
        assert [await one.tea(), await other.tea(count=1)] == ["one tea", "other tea"]
        assert [await one.two("a"), await other.two("a")] == ["one aa", "other aa"]
        assert cache.stats.misses == 4


async def test_a_method_that_is_called_before_it_was_ever_bound_is_of_its_instance():
    class Shop(Frozen):
        @traced
        @cached
        async def tell(shop, item):  # noqa: N805 - any name will do
            return shop.secret + item

    one, other = Shop("x", "one "), Shop("x", "other ")
    async with Shop.tell.cache:
        assert [await Shop.tell(one, "a"), await Shop.tell(other, "a")] == ["one a", "other a"]
        await Shop.tell.invalidate(one, "a")
        assert Shop.tell.cache.stats.size == 1
