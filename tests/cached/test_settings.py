"""The decorator takes what a cache takes, and a function that makes the key."""

from __future__ import annotations

import copy
import inspect

import pytest
from anyio import create_task_group, sleep

from async_backfill import (
    BackfillCache,
    ConfigurationError,
    FarTier,
    LoadError,
    LoadPolicy,
    MappingSource,
    MemoryStore,
    WeighedStore,
    cached,
)
from async_backfill._cached.settings import CacheSettings
from async_backfill.events import LoadFinished
from async_backfill.testing import MemoryFarStore, MemoryPermits
from tests.callers import outcomes, start

pytestmark = pytest.mark.anyio


def test_it_has_every_setting_of_a_cache_but_the_source():
    settings = list(inspect.signature(BackfillCache).parameters)[1:]

    assert list(CacheSettings.__annotations__) == settings


async def test_a_far_tier_with_leases_loads_once_for_two_processes():
    far, calls = MemoryFarStore(), []

    def of_a_process(peer):
        @cached(far=FarTier(store=peer, leases=peer.leases))
        async def price(item, count=1):
            calls.append(item)
            await sleep(0.01)
            return f"{item}{count}"

        return price

    one, other = of_a_process(far), of_a_process(far.peer())
    async with one.cache, other.cache:
        assert await outcomes(lambda call: call("tea"), (one,), (other,)) == ["tea1", "tea1"]

    assert calls == ["tea"]


async def test_observers_and_the_name_of_the_function_are_those_of_the_cache():
    events = []

    @cached(observers=[events.append], scan=MappingSource({1: 1, 2: 2}))
    async def double(number):
        return 2 * number

    @cached(name="mine", scan=MappingSource({}))
    async def other(number):
        return number

    async with double.cache as cache, other.cache:
        await double(2)
        assert [event.keys for event in events if isinstance(event, LoadFinished)] == [(2,)]
        record = await cache.force_backfill(by="ada", reason="a test")
        assert record.cache == "double"
        assert cache.peek(1) == 2
        assert (await other.cache.force_backfill()).cache == "mine"


async def test_a_store_of_ones_own_permits_and_copies_are_taken():
    store = WeighedStore(100, weigh=lambda _, value: len(value))

    @cached(store=store, permits=MemoryPermits(1), copy=copy.copy)
    async def listed(item):
        return [item] * 60

    class Shop:
        @cached(store=MemoryStore(1))
        async def price(self, item):
            return item

    shop = Shop()
    async with listed.cache, Shop.price.cache:
        assert await listed("a") is not await listed("a")
        await listed("b")
        assert len(store) == 1
        await shop.price("a")
        await shop.price("b")
        assert Shop.price.cache.stats.size == 1


class Connection:
    """Something that is no part of a key."""

    def __init__(self):
        self.asked = []
        self.is_open = True


async def test_a_key_function_makes_the_key_of_the_arguments():
    @cached(key=lambda _, item, count=1: (item.lower(), count))
    async def price(connection, item, count=1):
        connection.asked.append((item, count))
        return count

    one, other = Connection(), Connection()
    async with price.cache as cache:
        assert [await price(one, "Tea"), await price(other, "tea"), await price(other, item="TEA")] == [1] * 3
        assert (one.asked, other.asked) == ([("Tea", 1)], [])
        assert cache.peek(("tea", 1)) == 1
        await price.invalidate(None, "tEA")
        await price(other, "tea", 1)
    assert other.asked == [("tea", 1)]


async def test_a_key_function_of_a_method_gets_the_instance_and_may_share_its_results():
    far = FarTier(store=MemoryFarStore())

    class Shop:
        def __init__(self, tenant):
            self.tenant = tenant
            self.asked = []

        @cached(key=lambda shop, item: (shop.tenant, item), far=far)
        async def price(self, item):
            self.asked.append(item)
            return f"{item} of {self.tenant}"

    one, same, other = Shop("A"), Shop("A"), Shop("B")
    async with Shop.price.cache:
        assert await one.price("tea") == await same.price("tea") == "tea of A"
        assert await other.price("tea") == "tea of B"
        await same.price.invalidate("tea")
        await Shop.price(one, "tea")
    assert (one.asked, same.asked, other.asked) == (["tea", "tea"], [], ["tea"])


async def test_a_load_takes_the_arguments_of_a_call_that_is_still_there():
    @cached(key=lambda _, name: name, concurrency=1, load=LoadPolicy(concurrency=1))
    async def ask(connection, name):
        await sleep(1)
        connection.asked.append((name, connection.is_open))
        return connection

    busy, gone, there = Connection(), Connection(), Connection()
    async with ask.cache:
        async with create_task_group() as tasks:
            start(tasks, ask, busy, "other")  # the one place is taken, so the next load waits
            await sleep(0.1)
            first = start(tasks, ask, gone, "one")
            second = start(tasks, ask, there, "one")
            await sleep(0.1)
            first.cancel()
            gone.is_open = False
        assert second.outcome is there
    assert (gone.asked, there.asked) == ([], [("one", True)])


async def test_arguments_of_calls_that_are_over_are_forgotten():
    @cached(key=str)
    async def ask(number):
        if number < 0:
            raise ValueError(number)
        return number

    (own,) = [cell.cell_contents for cell in ask.__closure__ if isinstance(cell.cell_contents, dict)]
    async with ask.cache as cache:
        await ask(1)
        with pytest.raises(ValueError, match="-1"):
            await ask(-1)
        assert own == {}
        with pytest.raises(LoadError, match="only a call can load") as failed:
            await cache.get("2")
        assert isinstance(failed.value.__cause__, ConfigurationError)


async def test_a_bad_key_names_the_function_and_the_key_function():
    def by_list(item):
        return [item]

    def broken(item):
        raise LookupError(item)

    @cached(key=by_list)
    async def price(item):
        return item

    @cached(key=broken)
    async def other(item):
        return item

    async with price.cache, other.cache:
        for call in (price, price.invalidate):
            with pytest.raises(TypeError, match=r"price\(\) .* unhashable .*by_list returned a list; return"):
                await call("tea")
        with pytest.raises(LookupError, match="tea"):
            await other("tea")
