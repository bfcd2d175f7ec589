"""A service of products with a cache before its database: ``uvicorn docs.examples.fastapi_app:app``.

``DATABASE_URL`` names a database, PostgreSQL or SQLite, with a table ``products`` of ``id``, ``name`` and
``price``. ``JOURNAL`` names the file in which the hot keys survive a restart, by default ``hot.journal``.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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
from async_backfill.frameworks.sqlalchemy import InvalidateAfterCommit
from async_backfill.frameworks.starlette import (
    Resource,
    conditional,
    health_routes,
    lifespan,
    operator_page,
)
from async_backfill.sources.sql import SQLSource, open_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Base(DeclarativeBase):
    """The tables of the shop."""


class Product(Base):
    """A row of the table of products."""

    __tablename__ = "products"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[int]


@asynccontextmanager
async def open_products() -> AsyncIterator[BackfillCache[str, dict[str, Any]]]:
    """Open the cache, and load what was hot."""
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
        yield cache


@asynccontextmanager
async def open_sessions() -> AsyncIterator[async_sessionmaker[Any]]:
    """Open what writes to the database."""
    async with open_database(os.environ["DATABASE_URL"]) as engine:
        yield async_sessionmaker(engine)


products = Resource("products", open_products)
sessions = Resource("sessions", open_sessions)


@asynccontextmanager
async def start(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    """Open both, and forget a product as soon as a change of it is committed."""
    async with lifespan(products, sessions)(app) as state:
        InvalidateAfterCommit(products.of(state), {Product: Product.id}).listen(sessions.of(state))
        yield state


app = FastAPI(lifespan=start, routes=[*health_routes(products), operator_page("/operator", products)])
Cache = Annotated[BackfillCache[str, dict[str, Any]], Depends(products)]
Sessions = Annotated[async_sessionmaker[Any], Depends(sessions)]


@app.get("/products/{product_id}")
async def product(request: Request, product_id: str, cache: Cache) -> Response:
    """Return a product: 404 when there is none, 503 when the database does not answer."""
    try:
        value = await cache.fetch(product_id)
    except KeyNotFoundError:
        raise HTTPException(404, f"there is no product {product_id}", {"Cache-Control": "no-store"}) from None
    except LoadError as error:
        raise HTTPException(503, "the database does not answer", {"Retry-After": "5"}) from error
    return conditional(request, JSONResponse(value), cache.freshness_of(product_id))


@app.put("/products/{product_id}/price", status_code=204)
async def set_price(product_id: str, price: Annotated[int, Body(embed=True)], make: Sessions) -> None:
    """Change the price of a product; the next request sees it."""
    async with make.begin() as session:
        found = await session.get(Product, product_id)
        if found is None:
            raise HTTPException(404, f"there is no product {product_id}")
        found.price = price


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
