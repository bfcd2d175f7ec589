"""A method with a cache in front of it: one cache for all instances, which are told apart and let go."""

from __future__ import annotations

import gc
import inspect
from dataclasses import dataclass
from weakref import ref

import pytest
from anyio import sleep

from async_backfill import (
    BackfillPolicy,
    CacheClosedError,
    ConfigurationError,
    FreshnessPolicy,
    KeyNotFoundError,
    LoadPolicy,
    LoadTimeoutError,
    cached,
)
from tests.callers import FOR_EVER, outcomes

pytestmark = pytest.mark.anyio


@dataclass
class Shop:
    """Equal shops have equal names, and no hash."""

    name: str

    def __post_init__(self):
        self.asked = []

    async def ask(self, item):
        self.asked.append(item)
        await sleep(1)
        return f"{item} of {self.name}"


def make_shop(**settings):
    """Return a class of shops whose cache is its own."""

    class CachedShop(Shop):
        @cached(**settings)
        async def price(self, item):
            """Return what the item costs."""
            return await self.ask(item)

        @cached(**settings)
        async def total(self):
            return await self.ask("all")

        @cached(**settings)
        async def offer(self, item, count=1, *, currency="EUR"):
            return await self.ask((item, count, currency))

    return CachedShop


async def test_the_second_call_of_a_method_is_answered_by_the_cache():
    shop = make_shop()("A")
    async with shop.price.cache:
        assert [await shop.price("tea"), await shop.price(item="tea")] == ["tea of A"] * 2

    assert shop.asked == ["tea"]


async def test_concurrent_calls_of_a_method_with_an_argument_make_one():
    shop = make_shop()("A")
    async with shop.price.cache:
        assert await outcomes(shop.price, *[("tea",)] * 100) == ["tea of A"] * 100

    assert shop.asked == ["tea"]


async def test_equal_instances_are_told_apart():
    class_ = make_shop()
    one, other = class_("A"), class_("A")
    assert one == other
    async with class_.price.cache:
        await one.price("tea")
        other.name = "B"

        assert [await one.price("tea"), await other.price("tea")] == ["tea of A", "tea of B"]


async def test_an_instance_is_not_kept_alive_by_what_is_cached_for_it():
    class_ = make_shop()
    shop = class_("A")
    async with class_.price.cache as cache:
        await shop.price("tea")
        gone = ref(shop)
        del shop
        gc.collect()

        assert gone() is None
        assert cache.stats.size == 1


async def test_a_new_instance_in_the_place_of_a_dead_one_inherits_nothing():
    class_ = make_shop()
    places = set()
    async with class_.price.cache:
        for name in map(str, range(200)):
            shop = class_(name)
            places.add(id(shop))
            assert await shop.price("tea") == f"tea of {name}"
            del shop

    assert len(places) < 200  # so there was something to mix up


async def test_results_of_dead_instances_never_become_more_than_half_of_what_is_held():
    class_ = make_shop()
    living = [class_("A") for _ in range(10)]
    async with class_.price.cache as cache:
        for shop in living:
            await shop.price("tea")
        for number in range(100):
            await class_("B").price(number)
            gc.collect(0)

            assert cache.stats.size <= 2 * len(living) + 1
        assert [await shop.price("tea") for shop in living] == ["tea of A"] * 10
    assert [shop.asked for shop in living] == [["tea"]] * 10


async def test_what_a_dead_instance_never_read_of_its_successors_leaves_as_well():
    class_ = make_shop(backfill=BackfillPolicy(successors=4))
    async with class_.price.cache as cache:
        for _ in range(30):
            shop = class_("A")
            for number in range(5):
                await shop.price(number)
            for number in range(5):
                await shop.price.invalidate(number)
            await shop.price(0)
            await cache.settle()
            del shop
            gc.collect(0)
        assert cache.stats.backfill_keys > 10  # those that came along and that nobody read

        living = class_("A")
        for number in range(20):
            await living.price(number)
        assert cache.stats.size <= 2 * 20 + 1


async def test_many_results_of_one_dead_instance_leave_at_the_next_load():
    class_ = make_shop()
    shop, other = class_("A"), class_("B")
    async with class_.price.cache as cache:
        await outcomes(shop.price, *[(number,) for number in range(1000)])
        del shop
        gc.collect()
        await other.price("tea")

        assert cache.stats.size == 1


async def test_a_stale_result_is_not_refreshed_for_an_instance_that_died_meanwhile():
    class_ = make_shop(freshness=FreshnessPolicy(ttl=1e-9, stale_for=1e6, stale_wait=0.0))
    shop = class_("A")
    asked = shop.asked
    async with class_.price.cache as cache:
        assert [await shop.price("tea"), await shop.price("tea")] == ["tea of A", "tea of A"]
        assert (cache.stats.stale, cache.stats.in_flight) == (1, 1)
        del shop
        gc.collect()
        await cache.settle()

        assert cache.stats.size == 0
    assert asked == ["tea"]


async def test_any_number_of_arguments_of_a_method_is_a_key():
    class Adder:
        @cached()
        async def total(*numbers, **named):
            return sum(numbers[1:]) + sum(named.values())

    adder = Adder()
    async with Adder.total.cache as cache:
        assert [await adder.total(), await adder.total(1, 2), await adder.total(1, b=3, a=2)] == [0, 3, 6]
        assert await adder.total(1, a=2, b=3) == 6
        assert cache.stats.misses == 3


async def test_a_load_error_of_a_method_shows_the_instance_without_its_own_repr():
    class Broken:
        @cached(load=LoadPolicy(timeout=0.1))
        async def price(self, _):
            await sleep(FOR_EVER)

        def __repr__(self):
            raise AssertionError("it may be anything")

    shop = Broken()
    async with Broken.price.cache:
        with pytest.raises(LoadTimeoutError, match=r"Broken object at 0x.*'tea'"):
            await shop.price("tea")


async def test_invalidate_takes_the_arguments_of_the_call_and_leaves_other_instances_alone():
    class_ = make_shop()
    one, other = class_("A"), class_("A")
    async with class_.offer.cache:
        for shop in (one, other):
            await shop.offer("tea", 2)
        await one.offer.invalidate(count=2, item="tea")
        for shop in (one, other):
            await shop.offer("tea", 2, currency="EUR")

    assert (len(one.asked), len(other.asked)) == (2, 1)


async def test_a_method_may_be_called_on_its_class():
    class_ = make_shop()
    shop = class_("A")
    async with class_.price.cache:
        assert await class_.price(shop, "tea") == await shop.price("tea") == "tea of A"
        await class_.price.invalidate(shop, "tea")
        await class_.price(shop, item="tea")

    assert shop.asked == ["tea", "tea"]


async def test_a_method_without_arguments_has_its_instance_as_the_key():
    class_ = make_shop()
    one, other = class_("A"), class_("B")
    async with class_.total.cache:
        assert [await one.total(), await other.total(), await one.total()] == [
            "all of A",
            "all of B",
            "all of A",
        ]
        await one.total.invalidate()
        await one.total()

    assert (len(one.asked), len(other.asked)) == (2, 1)


async def test_instances_of_subclasses_share_the_cache():
    class_ = make_shop()

    class Kiosk(class_):
        pass

    assert Kiosk.price.cache is class_.price.cache
    async with class_.price.cache as cache:
        assert [await Kiosk("K").price("tea"), await class_("A").price("tea")] == ["tea of K", "tea of A"]
        assert cache.stats.source_calls == 2


async def test_an_overriding_method_has_a_cache_of_its_own_and_super_asks_the_other():
    class_ = make_shop()

    class Dear(class_):
        @cached()
        async def price(self, item):
            return "dear " + await super().price(item)

    shop = Dear("A")
    async with class_.price.cache, Dear.price.cache:
        assert await shop.price("tea") == "dear tea of A"
        await shop.price.invalidate("tea")
        assert await shop.price("tea") == "dear tea of A"

    assert shop.asked == ["tea"]


async def test_a_static_method_is_like_a_function():
    calls = []

    class Tool:
        @staticmethod
        @cached()
        async def double(number):
            calls.append(number)
            return 2 * number

        @staticmethod
        @cached()
        async def nothing(number):
            raise KeyNotFoundError("no", key=number)

    async with Tool.double.cache, Tool.nothing.cache:
        assert [await Tool.double(2), await Tool().double(number=2)] == [4, 4]
        await Tool.double.invalidate(2)
        await Tool.double(2)
        with pytest.raises(KeyNotFoundError, match="found nothing for 7"):
            await Tool.nothing(7)

    assert calls == [2, 2]


def test_what_is_a_static_or_a_class_method_already_is_refused():
    async def price(item):
        return item

    with pytest.raises(ConfigurationError, match=r"cached: price\(\) must not be a staticmethod yet; put @"):
        cached()(staticmethod(price))
    with pytest.raises(
        ConfigurationError, match=r"cached: price\(\) must not be a classmethod; make it a static"
    ):
        cached()(classmethod(price))


async def test_a_method_that_is_made_a_classmethod_is_refused_by_its_first_call():
    class Tool:
        @classmethod
        @cached()
        async def of(cls, number):
            return number

    class Better(Tool):
        pass

    async with Tool.of.cache:
        for call in (Tool.of, Better.of, Tool().of):
            with pytest.raises(
                ConfigurationError, match=r"cached: of\(\) must not be a classmethod; make it a static"
            ):
                await call(1)


async def test_an_instance_that_cannot_be_held_weakly_is_refused_by_its_first_call():
    class Slotted:
        __slots__ = ()

        @cached()
        async def price(self, item):
            return item

    class Weak(Slotted):
        __slots__ = ("__weakref__",)

    assert hasattr(Slotted(), "price")
    async with Slotted.price.cache:
        for call in (Slotted().price, Slotted().price.invalidate):
            with pytest.raises(
                ConfigurationError,
                match=r"Slotted cannot be held weakly; add '__weakref__' to the __slots__ ",
            ):
                await call("tea")
        assert await Weak().price("tea") == "tea"


async def test_a_class_that_is_made_anew_keeps_its_method():
    @dataclass(slots=True, weakref_slot=True)
    class Slotted:
        name: str

        @cached()
        async def price(self, item):
            return self.name + item

    async with Slotted.price.cache:
        assert await Slotted("A").price("tea") == "Atea"


async def test_arguments_of_a_method_that_cannot_be_hashed_or_do_not_fit_are_a_type_error():
    shop = make_shop()("A")
    async with shop.price.cache:
        for call in (shop.price, shop.price.invalidate):
            with pytest.raises(TypeError, match="unhashable type: 'list'"):
                await call(["tea"])
            with pytest.raises(TypeError, match="too many positional"):
                await call("tea", 2)
            with pytest.raises(TypeError, match="missing a required argument: 'item'"):
                await call()
        with pytest.raises(TypeError, match="instance"):
            await type(shop).price()


async def test_a_method_is_refused_before_its_cache_is_open():
    shop = make_shop()("A")
    for call in (shop.price, shop.price.invalidate):
        with pytest.raises(CacheClosedError, match="async with"):
            await call("tea")


async def test_what_a_method_has_nothing_for_names_the_argument_and_not_the_instance():
    class Empty:
        @cached()
        async def price(self, item):
            raise KeyNotFoundError("nothing", key=item)

    async with Empty.price.cache:
        with pytest.raises(KeyNotFoundError, match="found nothing for 'tea'") as failed:
            await Empty().price("tea")

    assert failed.value.key == "tea"


async def test_a_bound_method_that_is_kept_keeps_its_instance():
    class_ = make_shop()
    price = class_("A").price
    gc.collect()
    async with class_.price.cache:
        assert await price("tea") == "tea of A"


async def test_a_method_that_was_bound_before_is_a_function():
    class Plain(Shop):
        async def price(self, item):
            return await self.ask(item)

    shop = Plain("A")
    price = cached()(shop.price)
    async with price.cache as cache:
        assert await price("tea") == "tea of A"
        assert cache.peek("tea") == "tea of A"


def test_a_bound_method_looks_like_the_function_without_its_instance():
    class_ = make_shop()
    shop, other = class_("A"), class_("A")

    assert (shop.price.__name__, shop.price.__doc__) == ("price", "Return what the item costs.")
    assert shop.price.__qualname__ == class_.price.__qualname__
    assert shop.price.__qualname__.endswith("CachedShop.price")
    assert shop.price.__self__ is shop
    assert str(inspect.signature(shop.price)) == "(item)"
    assert str(inspect.signature(class_.price)) == "(self, item)"
    assert inspect.iscoroutinefunction(shop.price)
    assert not hasattr(shop.price, "other")
    assert shop.price == shop.price
    assert {shop.price: 1}[shop.price] == 1
    assert shop.price not in (other.price, shop.total, shop)
