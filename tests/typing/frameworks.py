"""What a type checker must work out of the modules for frameworks; ``mypy --strict`` reads this file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_type

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.websockets import WebSocket

from async_backfill import BackfillCache, MappingSource
from async_backfill.frameworks import aiohttp as for_aiohttp
from async_backfill.frameworks.sqlalchemy import InvalidateAfterCommit
from async_backfill.frameworks.starlette import Resource, health_routes, lifespan, operator_page
from async_backfill.jobs import Jobs


@asynccontextmanager
async def open_products() -> AsyncIterator[BackfillCache[str, int]]:
    """Open a cache with its source."""
    async with BackfillCache(MappingSource({"a": 1})) as cache:
        yield cache


products = Resource("products", open_products)
plain = Resource("plain", lambda: BackfillCache(MappingSource({"a": 1})))
jobs = Resource("jobs", Jobs)


async def use_resources(request: Request, websocket: WebSocket) -> None:
    """The types of keys and values are those of what is opened."""
    assert_type(products.of(request), BackfillCache[str, int])
    assert_type(plain.of(websocket), BackfillCache[str, int])
    assert_type(await products(request), BackfillCache[str, int])
    assert_type(jobs.of({}), Jobs)
    assert_type(await products.of(request).get("a"), int | None)
    await products.of(request).get(1)  # type: ignore[call-overload]
    Starlette(
        routes=[*health_routes(products), operator_page("/operator", products)], lifespan=lifespan(products)
    )


PRODUCTS = web.AppKey("products", BackfillCache[str, int])
app = web.Application()
app.cleanup_ctx.append(for_aiohttp.opened(PRODUCTS, open_products))
app.cleanup_ctx.append(for_aiohttp.operator_page(PRODUCTS))
for_aiohttp.opened(PRODUCTS, Jobs)  # type: ignore[arg-type]


async def use_keys(request: web.Request) -> None:
    """The key of an application has the types."""
    assert_type(request.app[PRODUCTS], BackfillCache[str, int])


class Base(DeclarativeBase):
    """Tables."""


class Product(Base):
    """A row."""

    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]


def use_commits(cache: BackfillCache[str, int], session: Session, other: AsyncSession) -> None:
    """The attribute that is the key has the type of the keys."""
    hook = InvalidateAfterCommit(cache, {Product: Product.slug})
    hook.listen(sessionmaker())
    hook.listen(async_sessionmaker())
    hook.add(session, ["a"])
    hook.add(other, ["a"])
    hook.add(session, [1])  # type: ignore[list-item]
    InvalidateAfterCommit(cache, {Product: lambda product: [product.slug]})
    InvalidateAfterCommit(cache, {Product: Product.id})  # type: ignore[dict-item]
