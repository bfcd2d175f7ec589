"""A service of products with a cache before its database: ``uvicorn docs.examples.fastapi_app:app``.

``DATABASE_URL`` names a database, PostgreSQL or SQLite, with a table ``products`` of ``id``, ``name`` and
``price``. ``JOURNAL`` names the file in which the hot keys survive a restart, by default ``hot.journal``.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    BudgetState,
    CircuitPolicy,
    FreshnessPolicy,
    KeyNotFoundError,
    LoadError,
    LoadPolicy,
    ReadinessPolicy,
)
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.sources.sql import SQLSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the cache before the first request, load what was hot, and close it after the last request."""
    async with (
        SQLSource.connect(
            os.environ["DATABASE_URL"], "products", key="id", value=["name", "price"], timeout=5.0
        ) as source,
        BackfillCache(
            source,
            scan=source,
            capacity=100_000,
            backfill_batch=5000,
            max_backfills=30,
            backfill=BackfillPolicy(selection="history"),
            journal=JournalFile(os.environ.get("JOURNAL", "hot.journal")),
            readiness=ReadinessPolicy(warm_on_open=True, within=30.0),
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
    """Read the product from the database again at its next request, after it was changed."""
    await cache.invalidate(product_id)


@app.get("/ready")
async def ready(cache: Cache) -> dict[str, str]:
    """Answer the readiness probe: 503 while the cache is warming."""
    readiness = cache.readiness
    if not readiness.may_take_traffic:
        raise HTTPException(503, readiness.reason)
    return {"state": readiness.state, "reason": readiness.reason}


class Approval(BaseModel):
    """How many more backfills to allow, who says so, and why."""

    backfills: int = Field(ge=1, le=100)
    by: str = Field(min_length=1)
    reason: str = Field(min_length=1)


@app.post("/backfills/approve")
async def approve(approval: Approval, cache: Cache) -> dict[str, Any]:
    """Allow more backfills; only people on call should reach this."""
    record = await cache.approve_backfills(approval.backfills, by=approval.by, reason=approval.reason)
    return record.as_dict()


@app.get("/stats")
async def stats(cache: Cache) -> dict[str, Any]:
    """Return what a dashboard shows, and whether to call a person."""
    now = cache.stats
    return {
        "hit_rate": now.hit_rate,
        "lookups": now.lookups,
        "source_calls": now.source_calls,
        "backfills": now.backfills,
        "needs_approval": now.budget is BudgetState.NEEDS_APPROVAL,
    }
