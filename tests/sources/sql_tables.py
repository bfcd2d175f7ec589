"""Tables for tests, in an SQLite file and in a real PostgreSQL, with unique names, dropped at the end."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from anyio import fail_after, sleep

from async_backfill.sources.sql import StatementSource, open_database

PATIENCE = 30.0


@pytest.fixture(params=["sqlite", "asyncpg", "psycopg"])
def url(request, tmp_path):
    """Return the URL of an empty database, or of one that is shared."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rows.db'}"
    return _through(request.param, request)


@pytest.fixture(params=["asyncpg", "psycopg"])
def server_url(request):
    """Return the URL of a PostgreSQL server, through each driver."""
    return _through(request.param, request)


def _through(driver, request):
    pytest.importorskip(driver)
    server = sa.make_url(request.getfixturevalue("postgres_url"))
    return server.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)


@asynccontextmanager
async def rows_in(url, rows=(), *, kinds=("TEXT PRIMARY KEY", "TEXT", "INTEGER"), **options):
    """Make a table of key, name and price; yield an engine and the table's name."""
    name = f"rows_{uuid.uuid4().hex}"
    columns = ", ".join(
        f"{column} {kind}" for column, kind in zip(("id", "name", "price"), kinds, strict=True)
    )
    async with open_database(url, **options) as engine:
        await execute(engine, f"CREATE TABLE {name} ({columns})")
        try:
            await insert(engine, name, rows)
            yield engine, name
        finally:
            await execute(engine, f"DROP TABLE {name}")


async def execute(engine, statement, parameters=None):
    async with engine.begin() as connection:
        result = await connection.execute(sa.text(statement), parameters)
        answer = result.all() if result.returns_rows else []
        if statement.startswith("INSERT"):
            await tell_of_changes(connection)
    return answer


async def tell_of_changes(connection):
    """Let PostgreSQL count the changes of this transaction at its end, not some seconds later."""
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))


async def insert(engine, name, rows):
    table = sa.table(name, sa.column("id"), sa.column("name"), sa.column("price"))
    if rows:
        values = [dict(zip(("id", "name", "price"), row, strict=True)) for row in rows]
        async with engine.begin() as connection:
            await connection.execute(sa.insert(table), values)
            await tell_of_changes(connection)


async def all_pages(source, limit, after_page=None):
    """Scan to the end; ``after_page(keys)`` is awaited between the pages."""
    seen, cursor = [], None
    while True:
        page = await source.scan(cursor, limit)
        seen.extend(page.keys)
        if page.cursor is None:
            return seen
        cursor = page.cursor
        if after_page is not None:
            await after_page(page.keys)


async def running(engine, mark, *, asleep=False):
    """Return the statements that contain ``mark`` and run in the server now, besides this one.

    :param asleep: only those that have come as far as to sleep; others may still be prepared.
    """
    return await execute(
        engine,
        "SELECT query FROM pg_stat_activity"
        " WHERE query LIKE :mark AND state = 'active' AND pid <> pg_backend_pid()"
        + " AND wait_event = 'PgSleep'"
        * asleep,
        {"mark": f"%{mark}%"},
    )


async def until(condition):
    with fail_after(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in another process
            await sleep(0.01)


def sleeping(engine, mark, **settings):
    """A source whose statement takes a minute."""
    statement = f"SELECT id, {mark} FROM (SELECT 'a' AS id, 1 AS {mark}, pg_sleep(60)) AS s WHERE id IN :keys"
    return StatementSource(engine, statement, **settings)


def named(url, name):
    """Return the options of an engine whose connections have a name in the server."""
    settings = {"application_name": name}
    is_asyncpg = sa.make_url(url).get_driver_name() == "asyncpg"
    return {"connect_args": {"server_settings": settings} if is_asyncpg else settings}


async def end_connections(engine, other):
    """End the connections of the application ``other``; return how many these were."""
    named = "SELECT pid FROM pg_stat_activity WHERE application_name = :name"
    found = await execute(engine, named, {"name": other})
    for (pid,) in found:
        await execute(engine, "SELECT pg_terminate_backend(:pid, 30000)", {"pid": pid})
    return len(found)
