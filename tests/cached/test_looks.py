"""Whoever looks at a cached function or method sees what he would see of the plain one."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import types
import typing
from unittest import mock
from weakref import WeakMethod

import pydantic
import pytest
from fastapi import Depends, FastAPI, HTTPException

from async_backfill import CacheRegistry, cached
from tests.callers import outcomes

pytestmark = pytest.mark.anyio


async def plain(number: int, *, exact: bool = False) -> str:
    """Return it as text."""
    return f"{number}{exact}"


double = cached(plain)


@cached(capacity=10)
async def square(number: int) -> int:
    """Return the square."""
    return number * number


class Shop:
    """A shop with a plain and a cached method of the same kind."""

    async def plain(self, item: str, *, count: int = 1) -> str:
        """Return what it costs."""
        return f"{item}{count}"

    @cached(capacity=10)
    async def price(self, item: str, *, count: int = 1) -> str:
        """Return what it costs."""
        return f"{item}{count}"

    @staticmethod
    @cached
    async def double(number: int) -> int:
        """Return twice the number."""
        return 2 * number


LOOKS = {
    "isfunction": inspect.isfunction,
    "ismethod": inspect.ismethod,
    "isroutine": inspect.isroutine,
    "iscoroutinefunction": inspect.iscoroutinefunction,
    "signature": lambda one: str(inspect.signature(one)),
    "doc": inspect.getdoc,
    "module": lambda one: one.__module__,
    "hints": typing.get_type_hints,
    "annotations": lambda one: one.__annotations__,
    "class": lambda one: one.__class__,
    "is a function": lambda one: isinstance(one, types.FunctionType),
    "is a method": lambda one: isinstance(one, types.MethodType),
}


@pytest.mark.parametrize("look", LOOKS)
def test_it_looks_as_the_plain_one(look):
    shop = Shop()
    of = LOOKS[look]
    assert of(double) == of(plain)
    assert of(Shop.price) == of(Shop.plain)
    assert of(shop.price) == of(shop.plain)


def test_its_names_are_those_of_what_was_decorated():
    shop = Shop()
    assert (square.__name__, square.__qualname__) == ("square", "square")
    assert (Shop.price.__name__, Shop.price.__qualname__) == ("price", "Shop.price")
    assert (shop.price.__name__, shop.price.__qualname__) == ("price", "Shop.price")
    assert repr(Shop.price).startswith("<function Shop.price at 0x")
    assert repr(shop.price) == f"<bound method Shop.price of {shop!r}>"
    assert shop.price.__self__ is shop
    assert shop.price.__func__ is Shop.price


async def test_the_function_without_its_cache_is_what_it_wraps():
    assert inspect.unwrap(double) is plain
    assert await square.__wrapped__(7) == 49
    assert await Shop.price.__wrapped__(Shop(), "a") == "a1"
    assert Shop.price.__wrapped__ is Shop().price.__wrapped__
    assert inspect.getsource(Shop.price).strip().startswith("@cached(capacity=10)")


def test_functions_and_methods_are_pickled_and_copied_by_name():
    shop = Shop()
    for one in (square, Shop.price, Shop.double):
        assert pickle.loads(pickle.dumps(one)) is one  # noqa: S301 - of our own
        assert copy.copy(one) is one
        assert copy.deepcopy(one) is one
    bound = pickle.loads(pickle.dumps(shop.price))  # noqa: S301 - of our own
    assert bound.__func__ is Shop.price
    assert type(bound.__self__) is Shop
    assert copy.copy(shop.price).__self__ is shop


async def test_a_weak_method_and_a_partial_of_it_work():
    shop = Shop()
    weak = WeakMethod(shop.price)
    async with Shop.price.cache:
        assert await weak()("a") == await functools.partial(shop.price, "a")() == "a1"
        await weak().invalidate("a")
        assert Shop.price.cache.stats.size == 0
    del shop
    assert weak() is None


async def test_a_mock_made_after_it_is_async_and_takes_its_arguments():
    fake = mock.create_autospec(square, return_value=1)
    assert await fake(7) == 1
    with pytest.raises(TypeError):
        await fake(7, 8)

    for shop in (mock.create_autospec(Shop, instance=True), mock.create_autospec(Shop)()):
        shop.price.return_value = "fake"
        assert await shop.price("a", count=2) == "fake"
        with pytest.raises(TypeError):
            await shop.price("a", "b")
        shop.price.assert_awaited_once_with("a", count=2)

    with mock.patch.object(Shop, "price", autospec=True) as price:
        price.return_value = "fake"
        shop = Shop()
        assert await shop.price("a") == "fake"
        price.assert_awaited_once_with(shop, "a")
    with mock.patch(f"{__name__}.square") as fake:
        assert isinstance(fake, mock.AsyncMock)


async def test_a_method_of_a_pydantic_model_is_one_and_models_are_told_apart():
    class Model(pydantic.BaseModel):
        name: str

        @cached(capacity=10)
        async def times(self, number: int) -> str:
            return self.name * number

    assert set(Model.model_fields) == {"name"}
    one, other = Model(name="ab"), Model(name="ab")
    assert one == other
    async with Model.times.cache as cache:
        assert [await one.times(2), await other.times(2)] == ["abab", "abab"]
        one.name = "c"
        assert await one.times(2) == "abab"
        assert cache.stats.misses == 2


async def test_a_model_as_an_argument_is_a_key_when_it_is_frozen_and_else_named():
    class Frozen(pydantic.BaseModel, frozen=True):
        name: str

    class Changing(pydantic.BaseModel):
        name: str

    @cached
    async def name_of(model) -> str:
        return model.name

    @cached(key=lambda model: model.name)
    async def name_by_key(model) -> str:
        return model.name

    async with CacheRegistry(name_of, name_by_key):
        assert [await name_of(Frozen(name="a")), await name_of(Frozen(name="a"))] == ["a", "a"]
        assert name_of.cache.stats.hits == 1
        with pytest.raises(TypeError, match=r"'model' is a .*Changing; .*give @cached\(key=...\)"):
            await name_of(Changing(name="a"))
        assert [await name_by_key(Changing(name="a")), await name_by_key(Changing(name="a"))] == ["a", "a"]
        assert name_by_key.cache.stats.hits == 1


def app_of(shop):
    """Return a FastAPI application with cached dependencies, and its cached functions."""

    @cached
    async def item(name: str) -> str:
        if name == "none":
            raise HTTPException(status_code=404, detail="there is no such item")
        return f"item {name}"

    app = FastAPI()

    @app.get("/items/{name}")
    async def read(name: str) -> str:
        return await item(name)

    @app.get("/dependency")
    async def of_dependency(found: str = Depends(item)) -> str:  # noqa: FAST002 - a local name
        return found

    @app.get("/method")
    async def of_method(price: str = Depends(shop.price)) -> str:  # noqa: FAST002 - a local name
        return price

    app.get("/cached/{name}")(item)
    return app, item


async def get(app, path, query=b""):
    """Ask an ASGI application, without a server; return the status and the body."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [],
        "scheme": "http",
        "server": ("test", 80),
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body.decode()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_fastapi_injects_it_and_an_http_exception_of_it_is_the_answer():
    app, item = app_of(Shop())
    async with CacheRegistry(item, Shop.price):
        assert await get(app, "/items/a") == (200, '"item a"')
        assert await get(app, "/cached/a") == (200, '"item a"')
        assert await get(app, "/dependency", b"name=a") == (200, '"item a"')
        assert await get(app, "/method", b"item=tea") == (200, '"tea1"')
        assert (await get(app, "/method"))[0] == 422
        for _ in range(2):
            told = await outcomes(lambda: get(app, "/items/none"), *[()] * 20)
            assert told == [(404, '{"detail":"there is no such item"}')] * 20
