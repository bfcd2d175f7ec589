"""A service of products with a cache before its database: ``uvicorn docs.examples.fastapi_app:app``.

``DATABASE_URL`` names a database with a table ``products`` of ``id``, ``name`` and ``price``.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request

from async_backfill import (
    BackfillCache,
    CircuitPolicy,
    FreshnessPolicy,
    KeyNotFoundError,
    LoadError,
    LoadPolicy,
)
from async_backfill.sources.sql import SQLSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the cache before the first request, and close it after the last one."""
    async with (
        SQLSource.connect(
            os.environ["DATABASE_URL"], "products", key="id", value=["name", "price"], timeout=5.0
        ) as source,
        BackfillCache(
            source,
            scan=source,
            capacity=100_000,
            freshness=FreshnessPolicy(ttl=60.0, jitter=0.1, stale_for=600.0, absent_ttl=10.0),
            load=LoadPolicy(timeout=5.0, circuit=CircuitPolicy(failures=5, open_for=5.0)),
        ) as cache,
    ):
        app.state.cache = cache
        yield


app = FastAPI(lifespan=lifespan)


def get_cache(request: Request) -> BackfillCache[str, dict[str, Any]]:
    """Return the cache that the lifespan opened."""
    return request.app.state.cache


Cache = Annotated[BackfillCache[str, dict[str, Any]], Depends(get_cache)]


@app.get("/products/{product_id}")
async def product(product_id: str, cache: Cache) -> dict[str, Any]:
    """Return a product: 404 when there is none, 503 when the database does not answer."""
    try:
        return await cache.fetch(product_id)
    except KeyNotFoundError:
        raise HTTPException(404, f"there is no product {product_id}") from None
    except LoadError as error:
        raise HTTPException(503, "the database does not answer", {"Retry-After": "5"}) from error


@app.post("/products/{product_id}/invalidate", status_code=204)
async def invalidate(product_id: str, cache: Cache) -> None:
    """Have the product read anew, after it was changed."""
    await cache.invalidate(product_id)


@app.get("/stats")
async def stats(cache: Cache) -> dict[str, Any]:
    """Return what a dashboard wants to see."""
    now = cache.stats
    return {"hit_rate": now.hit_rate, "lookups": now.lookups, "source_calls": now.source_calls}
