"""A service of products with aiohttp: ``python -m docs.examples.aiohttp_app``.

``DATABASE_URL`` names a database with a table ``products`` of ``id``, ``name`` and ``price``, ``SNAPSHOT``
the file in which the cache survives a restart; the service listens on ``PORT``, the operator's page on
``OPERATOR_PORT``.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from async_backfill import BackfillCache, FreshnessPolicy, KeyNotFoundError, LoadError
from async_backfill.frameworks.aiohttp import conditional, health_routes, opened, operator_page
from async_backfill.sources.sql import SQLSource
from async_backfill.stores.snapshot_file import SnapshotFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PRODUCTS = web.AppKey("products", BackfillCache[str, dict[str, Any]])


@asynccontextmanager
async def open_products() -> AsyncIterator[BackfillCache[str, dict[str, Any]]]:
    """Open the cache, with what it held before."""
    async with (
        SQLSource.connect(
            os.environ["DATABASE_URL"], "products", key="id", value=["name", "price"]
        ) as source,
        BackfillCache(
            source,
            capacity=100_000,
            freshness=FreshnessPolicy(ttl=60.0, stale_for=600.0),
            snapshot=SnapshotFile(os.environ.get("SNAPSHOT", "products.snapshot")),
        ) as cache,
    ):
        yield cache


async def product(request: web.Request) -> web.Response:
    """Return a product, or 304 when the client has it already."""
    cache, key = request.app[PRODUCTS], request.match_info["id"]
    try:
        value = await cache.fetch(key)
    except KeyNotFoundError:
        raise web.HTTPNotFound(headers={"Cache-Control": "no-store"}) from None
    except LoadError as error:
        raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"}) from error
    return conditional(request, web.json_response(value), cache.freshness_of(key))


def application() -> web.Application:
    """Return the service."""
    app = web.Application()
    app.cleanup_ctx.append(opened(PRODUCTS, open_products))
    app.cleanup_ctx.append(operator_page(PRODUCTS, port=int(os.environ.get("OPERATOR_PORT", "8765"))))
    app.add_routes([*health_routes(PRODUCTS), web.get("/products/{id}", product)])
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")), print=None)
