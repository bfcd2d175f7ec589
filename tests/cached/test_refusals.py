"""What cannot have a cache, or a setting that makes no sense, is refused where it is decorated."""

from __future__ import annotations

import functools
from unittest import mock

import pytest

from async_backfill import (
    BackfillPolicy,
    ConfigurationError,
    FarTier,
    FreshnessPolicy,
    MappingSource,
    cached,
)
from async_backfill.stores.snapshot_file import SnapshotFile
from async_backfill.testing import MemoryFarStore

pytestmark = pytest.mark.anyio


async def price(item):
    return item


async def prices():
    yield 1


def old(item):
    return item


def old_prices():
    yield 1


class AsyncCallable:
    async def __call__(self, item):
        return item


class Callable:
    def __call__(self, item):
        return item


UNFIT = [
    (old, r"old\(\) is not an async function; define it with 'async def'"),
    (old_prices, r"old_prices\(\) is not an async function"),
    (prices, r"prices\(\) is an async generator, .* returns a list"),
    (Callable, r"Callable is a class; put @cached above an async method"),
    (AsyncCallable, r"AsyncCallable is a class"),
    (Callable(), r"Callable object at 0x.* is not an async function"),
    (functools.partial(old, 1), r"is not an async function"),
    (lambda item: item, r"<lambda>\(\) is not an async function"),
    (len, r"len\(\) is not an async function"),
    ("price", r"'price' is not a function but a str"),
    (1000, r"1000 is not a function but a int"),
    (property(old), r"is not a function but a property"),
]


@pytest.mark.parametrize(("unfit", "problem"), UNFIT)
def test_what_is_not_an_async_function_is_refused_with_what_was_expected(unfit, problem):
    for decorate in (cached, cached(capacity=10)):
        with pytest.raises(ConfigurationError, match=problem):
            decorate(unfit)


def test_a_call_in_place_of_the_function_is_refused():
    coroutine = price("tea")
    with pytest.raises(ConfigurationError, match=r"price was called already; give @cached the function"):
        cached(coroutine)
    coroutine.close()


def test_in_the_body_of_a_class_it_is_refused_the_same():
    with pytest.raises(ConfigurationError, match=r"Shop.price\(\) is not an async function"):

        class Shop:
            @cached
            def price(self, item):
                return item


@pytest.mark.parametrize(
    "fit",
    [
        price,
        functools.partial(price, item="tea"),
        functools.partial(price),
        AsyncCallable(),
        mock.AsyncMock(spec=price, return_value="tea"),
    ],
)
async def test_what_can_be_awaited_is_an_async_function(fit):
    function = cached(fit)
    async with function.cache:
        assert await function(item="tea") == "tea"


@pytest.mark.parametrize(
    ("settings", "error", "problem"),
    [
        ({"ttl": 60}, TypeError, r"cached\(\) has no setting ttl; it has key, typed, .* freshness"),
        ({"source": 1}, TypeError, r"cached\(\) has no setting source"),
        ({"key": 1}, ConfigurationError, "key: must be a function, not 1"),
        ({"key": len, "typed": True}, ConfigurationError, "key: makes the whole key; leave out 'typed'"),
        ({"concurrency": 0}, ConfigurationError, "concurrency"),
        ({"capacity": -1}, ConfigurationError, "capacity"),
        (
            {"key": len, "scan": MappingSource({})},
            ConfigurationError,
            "scan: loads keys that nobody asks for",
        ),
        (
            {"key": len, "backfill": BackfillPolicy(successors=1)},
            ConfigurationError,
            "successors: load keys that nobody asks for",
        ),
        (
            {"key": len, "backfill": BackfillPolicy(selection="history")},
            ConfigurationError,
            "selection: 'history' loads keys that nobody asks for",
        ),
        *(
            (
                {"key": len, "snapshot": SnapshotFile("values.snapshot", restored=restored)},
                ConfigurationError,
                "snapshot: loads keys again that nobody asks for",
            )
            for restored in ("stale", "trusted", "reloaded")
        ),
        (
            {"key": len, "freshness": FreshnessPolicy(ttl=1, early=1.0)},
            ConfigurationError,
            "freshness: loads in the background",
        ),
        (
            {"key": len, "freshness": FreshnessPolicy(ttl=1, stale_for=1)},
            ConfigurationError,
            "say stale_wait=None",
        ),
    ],
)
def test_a_setting_that_cannot_work_is_refused_when_decorated(settings, error, problem):
    with pytest.raises(error, match=problem):
        cached(**settings)(price)


def test_what_takes_keys_out_of_the_process_is_refused_for_a_method():
    far = FarTier(store=MemoryFarStore())
    for settings, problem in [
        ({"far": far}, "far: results of a method belong to one instance, .* or say key=..."),
        (
            {"scan": MappingSource({})},
            "scan: results of a method belong to one instance, .* front of a function",
        ),
        (
            {"snapshot": SnapshotFile("values.snapshot")},
            "snapshot: results of a method belong to one instance, .* front of a function",
        ),
        ({"store": object()}, "store: of a method must be a MemoryStore or a WeighedStore, not a object"),
    ]:
        with pytest.raises(ConfigurationError, match=problem):

            class Shop:
                @cached(**settings)
                async def price(self, item):
                    return item
