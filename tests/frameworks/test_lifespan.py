"""The lifespan and the dependency of FastAPI and Starlette."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("fastapi", reason="needs fastapi")

from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from async_backfill import BackfillCache, CacheClosedError, ConfigurationError
from async_backfill.frameworks.starlette import Resource, lifespan
from tests.frameworks.asgi import Client, asked

pytestmark = pytest.mark.anyio


async def test_a_dependency_of_fastapi_is_the_cache_that_the_lifespan_opened(products):
    resource = Resource("products", products.open)
    app, router = FastAPI(lifespan=lifespan(resource)), APIRouter()

    @router.get("/{key}")
    async def read(key: str, cache: BackfillCache = Depends(resource)):  # noqa: B008, FAST002 - a local name
        return {"value": await cache.get(key), "hits": cache.stats.hits}

    app.include_router(router, prefix="/products")
    async with asked(app) as ask:
        assert (await ask("/products/a")).json == {"value": {"name": "Anvil"}, "hits": 0}
        assert (await ask("/products/a")).json["hits"] == 1
        (path,) = (await ask("/openapi.json")).json["paths"].values()

    assert [parameter["name"] for parameter in path["get"]["parameters"]] == ["key"]
    assert products.happened == ["open products", "close products"]


async def test_a_request_of_starlette_gets_it_also_below_a_mount(products):
    resource = Resource("products", products.open)

    async def read(request):
        return JSONResponse(await resource.of(request).get(request.path_params["key"]))

    inner = Starlette(routes=[Route("/{key}", read)])
    app = Starlette(routes=[Mount("/inner", app=inner), Route("/{key}", read)], lifespan=lifespan(resource))
    async with asked(app) as ask:
        assert (await ask("/a")).json == (await ask("/inner/a")).json == {"name": "Anvil"}


async def test_a_request_without_a_lifespan_says_what_is_missing(products):
    resource = Resource("products", products.open)

    async def read(request):
        return JSONResponse(await resource.of(request).get("a"))

    with pytest.raises(ConfigurationError, match="lifespan: 'products' was not opened; pass it to lifespan"):
        await Client(Starlette(routes=[Route("/", read)]), {})("/")


async def test_resources_are_opened_in_their_order_around_the_lifespan_there_was(products):
    @asynccontextmanager
    async def own(app):
        products.happened.append(f"open {app.title}")
        yield {"pool": 7}
        products.happened.append("close own")

    first = Resource("first", lambda: products.open("first"))
    second = Resource("second", lambda: products.open("second"))
    app = FastAPI(title="own", lifespan=lifespan(first, second, inner=own))
    async with asked(app) as ask:
        assert (set(ask.state), ask.state["pool"]) == ({"first", "second", "pool"}, 7)
        assert (await first.of(ask.state).get("a")) == {"name": "Anvil"}

    assert products.happened == [
        *("open first", "open second", "open own"),
        *("close own", "close second", "close first"),
    ]


async def test_a_lifespan_without_a_state_may_run_inside(products):
    @asynccontextmanager
    async def own(_):
        yield

    app = Starlette(lifespan=lifespan(Resource("products", products.open), inner=own))
    async with asked(app) as ask:
        assert list(ask.state) == ["products"]


async def test_an_application_may_be_started_again(products):
    resource = Resource("products", products.open)
    app = Starlette(lifespan=lifespan(resource))
    async with asked(app) as ask:
        first = resource.of(ask.state)
    async with asked(app) as ask:
        assert await resource.of(ask.state).get("a") == {"name": "Anvil"}
        with pytest.raises(CacheClosedError):
            await first.get("a")


async def test_what_cannot_be_opened_fails_the_start_in_one_line_and_closes_the_rest(products, caplog):
    @asynccontextmanager
    async def broken():
        raise ConnectionError("no answer\nfrom the database")
        yield

    names = Resource("products", products.open), Resource("orders", broken)
    with pytest.raises(ConnectionError) as raised:
        async with asked(Starlette(lifespan=lifespan(*names))):
            pytest.fail("it was started")

    assert products.happened == ["open products", "close products"]
    assert raised.value.__notes__ == ["while 'orders' was opened for the application"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("async_backfill.frameworks", logging.ERROR)
    assert record.getMessage() == (
        "the application does not start, because orders was not opened: "
        "ConnectionError: no answer from the database"
    )


async def test_a_name_stands_in_the_state_once(products):
    resource = Resource("products", products.open)

    @asynccontextmanager
    async def own(_):
        yield {"products": 1}

    with pytest.raises(ConfigurationError, match="'products' stands twice"):
        lifespan(resource, Resource("products", products.open))
    with pytest.raises(ConfigurationError, match="'products' stands twice"):
        async with asked(Starlette(lifespan=lifespan(resource, inner=own))):
            pytest.fail("it was started")
    assert products.happened == ["open products", "close products"]


@pytest.mark.parametrize("name", ["", "my products", "7"])
def test_a_name_is_an_identifier(name, products):
    with pytest.raises(ConfigurationError, match="is no identifier, such as 'products'"):
        Resource(name, products.open)
