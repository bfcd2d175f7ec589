"""Queries of a real PostgreSQL and of SQLite that are cancelled, stopped, killed and cut off."""

from __future__ import annotations

import asyncio
import gc
import uuid
from contextlib import asynccontextmanager

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, move_on_after
from anyio.lowlevel import checkpoint

from async_backfill import BackfillCache, LoadError, LoadPolicy

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
import sqlalchemy as sa

from async_backfill.sources.sql import QueryError, SQLSource, open_database
from tests.sources.sql_tables import (
    PATIENCE,
    all_pages,
    end_connections,
    execute,
    named,
    rows_in,
    running,
    server_url,
    sleeping,
    until,
    url,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_the_server_stops_a_statement_after_the_timeout(server_url):
    mark = f"m{uuid.uuid4().hex}"
    async with open_database(server_url) as engine:
        with fail_after(PATIENCE), pytest.raises(QueryError, match="statement timeout"):
            await sleeping(engine, mark, timeout=0.05).load_many(["a"])

        assert await running(engine, mark) == []
        assert await execute(engine, "SHOW statement_timeout") == [("0",)]


async def test_a_cancelled_load_does_not_go_on_in_the_server(server_url):
    mark = f"m{uuid.uuid4().hex}"
    async with open_database(server_url) as engine:
        async with create_task_group() as tasks:
            tasks.start_soon(sleeping(engine, mark).load_many, ["a"])
            await until(lambda: running(engine, mark, asleep=True))
            tasks.cancel_scope.cancel()

        async def is_gone():
            return not await running(engine, mark)

        await until(is_gone)


async def test_a_cancelled_load_leaves_the_pool_usable(url):
    rows = [(f"{number:04}", "", number) for number in range(200)]
    async with rows_in(url, rows, pool_size=1, max_overflow=0, pool_timeout=PATIENCE) as (engine, table):
        source = SQLSource(engine, table, key="id", value="price", query_keys=50, timeout=PATIENCE)
        keys = [key for key, _, _ in rows]
        cancelled = 0
        for steps in range(60):
            async with create_task_group() as tasks:
                with CancelScope() as scope:
                    tasks.start_soon(_cancel_after, steps, scope)
                    await source.load_many(keys)
                cancelled += scope.cancelled_caught
                tasks.cancel_scope.cancel()
            assert engine.pool.checkedout() == 0
            assert len(await source.load_many(keys[:10])) == 10

    assert cancelled > 5


async def _cancel_after(steps, scope):
    for _ in range(steps):
        await checkpoint()
    scope.cancel()


async def test_a_scan_whose_connection_is_killed_goes_on_from_its_cursor(server_url):
    name = f"scan-{uuid.uuid4().hex[:8]}"
    keys = [f"{number:04}" for number in range(1000)]
    async with (
        rows_in(server_url, [(key, "", 0) for key in keys]) as (engine, table),
        SQLSource.connect(
            server_url, table, key="id", value="name", engine_options=named(server_url, name)
        ) as source,
    ):

        async def kill(_):
            await end_connections(engine, name)

        assert await all_pages(source, 100, kill) == keys


async def test_rows_whose_connection_is_killed_after_each_page_are_all_there_once(server_url):
    name = f"rows-{uuid.uuid4().hex[:8]}"
    rows = [(f"{number:04}", f"name {number}", 0) for number in range(500)]
    seen = []
    async with (
        rows_in(server_url, rows) as (engine, table),
        SQLSource.connect(
            server_url, table, key="id", value="name", engine_options=named(server_url, name)
        ) as source,
    ):
        async for page in source.rows(page=100):
            seen.extend(page.items())
            assert await end_connections(engine, name) == 1

    assert seen == [(key, value) for key, value, _ in rows]


async def test_rows_whose_connection_is_killed_in_each_page_are_all_there_once(server_url):
    name = f"rows-{uuid.uuid4().hex[:8]}"
    rows = [(f"{number:02}", f"name {number}", 0) for number in range(40)]
    seen, made = [], []
    async with (
        rows_in(server_url, rows) as (engine, table),
        slow_view(engine, table) as view,
        open_database(server_url, **named(server_url, name)) as victim,
        create_task_group() as tasks,
    ):
        has_come = Event()
        sa.event.listen(victim.sync_engine, "connect", lambda *connection: made.append(connection))

        async def kill_each():
            while True:
                await until(lambda: running(engine, view))
                await end_connections(engine, name)
                await has_come.wait()

        tasks.start_soon(kill_each)
        with fail_after(PATIENCE):
            async for page in SQLSource(victim, view, key="id", value="name").rows(page=10):
                seen.extend(page.items())
                has_come.set()
                has_come = Event()
        tasks.cancel_scope.cancel()

    assert seen == [(key, value) for key, value, _ in rows]
    assert len(made) > 2  # all four pages, unless the machine is too slow to notice one in time


@asynccontextmanager
async def slow_view(engine, table):
    """Make a view that takes 20 ms for each row."""
    view = f"slow_{table}"
    await execute(engine, f"CREATE VIEW {view} AS SELECT * FROM {table} WHERE pg_sleep(0.02) IS NOT NULL")
    try:
        yield view
    finally:
        await execute(engine, f"DROP VIEW {view}")


async def test_a_query_whose_connection_is_killed_is_asked_once_more_and_then_fails(server_url):
    mark = f"m{uuid.uuid4().hex}"
    name = f"load-{uuid.uuid4().hex[:8]}"
    made = []
    async with (
        open_database(server_url) as engine,
        open_database(server_url, **named(server_url, name)) as victim,
    ):
        sa.event.listen(victim.sync_engine, "connect", lambda *connection: made.append(connection))

        async def end_each():
            while True:
                await until(lambda: running(engine, mark))
                await end_connections(engine, name)

        async with create_task_group() as tasks:
            tasks.start_soon(end_each)
            with (
                fail_after(PATIENCE),
                pytest.raises(ConnectionError, match=r"^the connection to the database was"),
            ):
                await sleeping(victim, mark).load_many(["a"])
            tasks.cancel_scope.cancel()

        assert len(made) == 2
        assert await execute(victim, "SELECT 1") == [(1,)]


async def test_a_timeout_of_the_cache_leaves_nothing_running_in_the_server(server_url):
    mark = f"m{uuid.uuid4().hex}"
    async with open_database(server_url) as engine:
        source = sleeping(engine, mark, timeout=0.1)
        async with BackfillCache(source, load=LoadPolicy(timeout=0.1)) as cache:
            with pytest.raises(LoadError):
                await cache.get("a")

        async def is_gone():
            return not await running(engine, mark)

        await until(is_gone)


async def test_a_stream_that_is_cancelled_gives_its_connection_back(url):
    rows = [(f"{number:04}", "", number) for number in range(200)]
    async with rows_in(url, rows, pool_size=1, max_overflow=0, pool_timeout=PATIENCE) as (engine, table):
        source = SQLSource(engine, table, key="id", value="price")
        cancelled = 0
        for steps in range(0, 200, 5):
            with CancelScope() as scope:
                async with create_task_group() as tasks:
                    tasks.start_soon(_cancel_after, steps, scope)
                    async for _ in source.rows(page=10):
                        pass
                    tasks.cancel_scope.cancel()
            cancelled += scope.cancelled_caught
            assert engine.pool.checkedout() == 0
            assert len([page async for page in source.rows()]) == 1

    assert cancelled > 5


async def test_a_load_that_is_cancelled_while_it_connects_leaves_nothing_behind(server_url):
    left, cancelled = [], 0
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
    async with rows_in(server_url, [("a", "Anvil", 3)]) as (_, table):
        for number in range(20):
            async with open_database(server_url) as engine:
                with move_on_after(number / 2000) as scope:
                    await SQLSource(engine, table, key="id", value="name").load_many(["a"])
                cancelled += scope.cancelled_caught
                assert engine.pool.checkedout() == 0
        gc.collect()  # an exception that nobody retrieved is told when it goes
        await checkpoint()

    assert left == []
    assert cancelled > 5


async def test_a_query_that_fails_as_it_is_cancelled_leaves_nothing_behind(server_url):
    left, tasks = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
    async with open_database(server_url) as engine:

        def fail(*_):
            tasks[0].cancel()
            raise ConnectionRefusedError("no")

        sa.event.listen(engine.sync_engine, "do_connect", fail)
        source = SQLSource(engine, "t", key="id", value="name")
        tasks.append(asyncio.create_task(source.load_many(["a"])))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        tasks.clear()
        gc.collect()
        await checkpoint()

    assert left == []


async def test_a_cancelled_statement_of_sqlite_is_interrupted_however_long_it_would_take(tmp_path):
    endless = sa.text(
        "WITH RECURSIVE n(key) AS (SELECT 1 UNION ALL SELECT key + 1 FROM n) SELECT count(*) AS key FROM n"
    ).columns(key=sa.Integer)
    async with open_database(f"sqlite:///{tmp_path / 'rows.db'}") as engine:
        source = SQLSource(engine, endless.subquery("endless"), key="key", value="key")
        with move_on_after(0.2) as scope:
            await source.load_many([1])

        assert scope.cancelled_caught
        assert engine.pool.checkedout() == 0
