"""What a job is told of a table: how many rows, which columns, and whether its database lags behind."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
import sqlalchemy as sa

from async_backfill.errors import ConfigurationError
from async_backfill.sources.sql import QueryError, SQLSource
from tests.sources.sql_tables import execute, rows_in, server_url, url

pytestmark = pytest.mark.anyio

ROWS = [("a", "first", 1), ("b", "second", 2), ("c", "third", 3)]


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_a_table_a_view_and_a_subquery_are_counted_without_nulls(url):
    async with rows_in(url, ROWS, kinds=("TEXT UNIQUE", "TEXT", "INTEGER")) as (engine, table):
        await execute(engine, f"INSERT INTO {table} VALUES (NULL, 'no key', 4)")
        await execute(engine, f"CREATE VIEW {table}_view AS SELECT * FROM {table} WHERE price > 1")
        some = sa.select(sa.literal("a").label("id"), sa.literal(1).label("name")).subquery()
        for counted, expected in ((table, 3), (f"{table}_view", 2), (some, 1)):
            source = SQLSource(engine, counted, key="id", value="name")
            assert await source.count() == (expected, "counted")
        await execute(engine, f"DROP VIEW {table}_view")


async def test_a_large_table_is_estimated_while_its_statistics_are_new(server_url):
    async with rows_in(server_url, kinds=("BIGINT PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        await execute(engine, f"INSERT INTO {table} SELECT i, 'x', i FROM generate_series(1, 120000) AS i")
        await execute(engine, f"ANALYZE {table}")
        rows, how = await source.count()
        assert (abs(rows - 120_000) < 6_000, how) == (True, "estimated by the database")
        await execute(engine, f"DELETE FROM {table} WHERE id > 1000")
        assert await _settled(engine, source) == (1_000, "counted")


NUMBERS = [(number, "x", 0) for number in (3, 10, 11, 1_000)]


@pytest.mark.parametrize(
    ("after", "until", "middle"),
    [(None, None, 501), (3, 11, 7), (10, None, 505), (None, 10, 6), (10, 11, None), (-7, -4, -6)],
)
async def test_the_middle_of_a_range_of_whole_numbers_is_their_mean(url, after, until, middle):
    async with rows_in(url, NUMBERS, kinds=("BIGINT PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        assert await source.middle(after, until) == middle


async def test_a_range_of_an_empty_table_or_of_text_has_no_middle_that_is_known(url):
    async with rows_in(url, ROWS) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        assert await source.middle(None, None) is None
        assert await source.middle("a", "c") is None
        await execute(engine, f"DELETE FROM {table}")
        assert await source.middle(None, None) is None


@pytest.mark.parametrize("kind", ["UUID", "TIMESTAMPTZ", "DATE"])
async def test_each_row_is_on_one_side_of_the_middle_of_the_server_s_own_types(server_url, kind):
    keys = {
        "UUID": [f"{digit}0000000-0000-4000-8000-000000000000" for digit in "0189f"],
        "TIMESTAMPTZ": [f"2026-0{month}-01 12:00+02" for month in (1, 2, 7, 8, 9)],
        "DATE": ["2020-02-29", "2026-11-30", "2026-12-01", "2030-01-01", "2031-01-01"],
    }[kind]
    async with rows_in(server_url, kinds=(f"{kind} PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        values = ", ".join(f"('{key}', 'x', 0)" for key in keys)
        await execute(engine, f"INSERT INTO {table} VALUES {values}")
        source = SQLSource(engine, table, key="id", value="name")
        middle = await source.middle(None, None)
        sides = [
            [key async for page in source.rows(after=after, until=until) for key in page]
            for after, until in ((None, middle), (middle, None))
        ]

    assert [len(side) for side in sides] == ([2, 3] if kind != "DATE" else [1, 4])
    assert sides[0] + sides[1] == sorted(sides[0] + sides[1])


async def _settled(engine, source):
    """Return the count once the server's statistics have the change, which is soon."""
    await execute(engine, "SELECT pg_stat_force_next_flush()")
    for _ in range(1_000):
        counted = await source.count()
        if counted[1] == "counted":
            break
    return counted


async def test_the_schema_changes_with_the_columns_in_use_and_no_others(url):
    async with rows_in(url, ROWS) as (engine, table):
        await execute(engine, f"CREATE VIEW {table}_view AS SELECT id, name FROM {table}")
        source = SQLSource(engine, table, key="id", value=["name", "price"])
        view = SQLSource(engine, f"{table}_view", key="id", value="name")
        before, of_view = await source.schema(), await view.schema()
        await execute(engine, f"ALTER TABLE {table} ADD COLUMN other INTEGER")
        assert await source.schema() == before
        await execute(engine, f"DROP VIEW {table}_view")
        await execute(engine, f"ALTER TABLE {table} DROP COLUMN price")
        await execute(engine, f"ALTER TABLE {table} ADD COLUMN price VARCHAR(7)")
        assert len({await source.schema(), before, of_view}) == 3


async def test_a_table_of_a_schema_has_its_own_columns(server_url):
    async with rows_in(server_url, ROWS) as (engine, table):
        await execute(engine, f"CREATE SCHEMA {table}_s")
        await execute(engine, f"CREATE TABLE {table}_s.{table} (id BIGINT PRIMARY KEY, name TEXT)")
        settings = {"key": "id", "value": "name"}
        there = SQLSource(engine, table, schema=f"{table}_s", **settings)
        assert await there.schema() != await SQLSource(engine, table, **settings).schema()
        await execute(engine, f"DROP SCHEMA {table}_s CASCADE")


async def test_a_subquery_has_no_schema_and_a_primary_no_lag(url):
    async with rows_in(url, ROWS) as (engine, table):
        some = sa.select(sa.literal("a").label("id"), sa.literal(1).label("name")).subquery()
        assert await SQLSource(engine, some, key="id", value="name").schema() is None
        assert await SQLSource(engine, table, key="id", value="name").lag() is None


async def test_a_query_is_plain_sql_and_its_errors_are_those_of_the_database(url):
    async with rows_in(url, ROWS) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        query = f"SELECT sum(price) FROM {table} WHERE name LIKE '%r%' AND id <> ':a'"
        assert await source.load(query) == 4.0
        with pytest.raises((ConfigurationError, QueryError), match="nowhere") as refused:
            await source.load("SELECT 1 FROM nowhere")
        assert getattr(refused.value, "setting", "load_query") == "load_query"
        with pytest.raises(ConfigurationError, match="one row of one column, not 3 of 1"):
            await source.load(f"SELECT price FROM {table}")
