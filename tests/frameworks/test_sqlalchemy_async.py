"""Invalidation after a commit of an asynchronous session: before `commit` returns, on a real database."""

from __future__ import annotations

import pytest

from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture

pytest.importorskip("aiosqlite")

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from async_backfill import BackfillCache, MappingSource
from async_backfill.frameworks.sqlalchemy import InvalidateAfterCommit
from tests.frameworks.test_sqlalchemy import KEPT, Base, Product

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engine(tmp_path):
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(Product.__table__.insert().values(id=1, slug="a", price=0))
    yield engine
    await engine.dispose()


async def gone_after_a_commit(sessions, cache):
    await cache.put_many(KEPT)
    async with sessions() as session:
        (await session.get(Product, 1)).price += 1
        await session.flush()
        assert "a" in cache
        await session.commit()
        return [key for key in KEPT if key not in cache]


@pytest.mark.parametrize(
    "settings", [{}, {"sync_session_class": sessionmaker()}, {"class_": type("Own", (AsyncSession,), {})}]
)
async def test_all_sessions_of_a_maker_are_watched(engine, settings):
    sessions, others = async_sessionmaker(engine, **settings), async_sessionmaker(engine)
    async with BackfillCache(MappingSource({})) as cache:
        hook = InvalidateAfterCommit(cache, {Product: Product.slug})
        hook.listen(sessions)
        hook.listen(sessions)
        assert await gone_after_a_commit(sessions, cache) == ["a"]
        assert await gone_after_a_commit(others, cache) == []


async def test_one_session_is_watched_and_its_statements_and_added_keys_count(engine):
    async with BackfillCache(MappingSource({})) as cache, AsyncSession(engine) as session:
        await cache.put_many(KEPT)
        hook = InvalidateAfterCommit(cache, {Product: Product.slug})
        hook.listen(session)
        hook.add(session, ["b"])
        statement = update(Product).values(price=5).execution_options(invalidates=["a"])
        await session.execute(statement)
        await session.commit()

        assert [key for key in KEPT if key not in cache] == ["a", "b"]


async def test_the_old_key_of_an_expired_object_is_read_before_it_is_lost(engine):
    async with BackfillCache(MappingSource({})) as cache, AsyncSession(engine) as session:
        await cache.put_many(KEPT)
        InvalidateAfterCommit(cache, {Product: Product.slug}).listen(session)
        product = await session.get(Product, 1)
        await session.commit()
        product.slug = "c"  # it is not loaded now
        await session.commit()

        assert [key for key in KEPT if key not in cache] == ["a", "c"]
