"""Cuts of tables and views, and the ranges between them, in SQLite and in a real PostgreSQL."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
import sqlalchemy as sa

from async_backfill.errors import ConfigurationError
from async_backfill.sources.sql import QueryError, SQLSource, open_database
from tests.sources.sql_tables import execute, insert, rows_in, server_url, tell_of_changes, url

pytestmark = pytest.mark.anyio

# Each kind of key, with what makes one of a number; the text is not in the order of the numbers.
KINDS = {
    "bigint": "i * 1000003 % 5000011",
    "smallint": "i",
    "numeric(12, 3)": "i / 7.0",
    "double precision": "i / 7.0",
    "text": "md5(i::text)",
    "varchar(40)": "md5(i::text)",
    "char(40)": "md5(i::text)",
    'text COLLATE "C"': "CASE i % 2 WHEN 0 THEN 'Zoë,' ELSE 'a\"b\\' END || md5(i::text)",
    "citext": "CASE i % 3 WHEN 0 THEN 'Za' WHEN 1 THEN 'a' ELSE 'zB' END || md5(i::text)",
    "uuid": "md5(i::text)::uuid",
    "bytea": "decode(md5(i::text), 'hex')",
    "date": "date '2020-01-01' + i",
    "timestamptz": "timestamptz '2020-01-01 00:00:00.123456+02' + i * interval '37 hours 0.000001 seconds'",
    "inet": "inet '10.0.0.0' + i",
}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@asynccontextmanager
async def watched(engine):
    """Yield the statements that are run meanwhile."""
    seen = []

    def note(*event):
        seen.append(event[2])

    sa.event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(engine.sync_engine, "before_cursor_execute", note)


async def sizes(source, cuts, expected):
    """Return the number of rows between the cuts; all rows must be there once, in order."""
    shards = []
    for after, until in pairwise((None, *cuts, None)):
        shards.append([key async for page in source.rows(after=after, until=until) for key in page])
    assert [key for shard in shards for key in shard] == expected
    return [len(shard) for shard in shards]


async def all_keys(source):
    return [key async for page in source.rows() for key in page]


async def fill(engine, table, rows, *, key="i", price="0"):
    """Insert rows by a statement, each with a number ``i`` from 1 on."""
    numbers = f"generate_series(1, {rows}) AS i"
    if engine.dialect.name == "sqlite":
        more = f"SELECT i + 1 FROM n WHERE i < {rows}"
        numbers = f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL {more}) SELECT i FROM n)"
    else:  # or the server may take statistics at any moment
        await execute(engine, f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await execute(engine, f"INSERT INTO {table} SELECT {key}, 'n', {price} FROM {numbers}")


async def test_shards_of_a_table_with_a_gap_are_even(url):
    gap = "CASE WHEN i % 10 < 1 THEN i ELSE i + 1000000000 END"
    async with rows_in(url, kinds=("BIGINT PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        await fill(engine, table, 20_000, key=gap)
        source = SQLSource(engine, table, key="id", value="name")
        cuts = await source.cuts(8)
        found = await sizes(source, cuts, await all_keys(source))

    assert len(found) == 8
    assert max(found) <= 1.35 * 2500  # seven sigma


async def test_a_sample_of_blocks_is_as_even_as_one_of_rows(server_url):
    async with rows_in(server_url, kinds=("BIGINT PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        await fill(engine, table, 200_000)  # 1,000 blocks and more, of which 600 are read
        source = SQLSource(engine, table, key="id", value="name")
        async with watched(engine) as statements:
            (cut,) = await source.cuts(2)

    assert "TABLESAMPLE system" in statements[-1]
    assert 70_000 < cut < 130_000


@pytest.mark.parametrize("kind", KINDS)
async def test_keys_of_any_type_are_cut_as_the_database_orders_them(server_url, kind):
    async with open_database(server_url) as engine:
        await execute(engine, "CREATE EXTENSION IF NOT EXISTS citext")
    async with rows_in(server_url, kinds=(f"{kind} PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        await fill(engine, table, 1000, key=f"({KINDS[kind]})")
        source = SQLSource(engine, table, key="id", value="name")
        expected = await all_keys(source)
        assert len(expected) == 1000
        by_sample = await sizes(source, await source.cuts(10), expected)
        await execute(engine, f"ANALYZE {table}")
        async with watched(engine) as statements:
            by_statistics = await sizes(source, await source.cuts(10), expected)

    assert by_sample == [100] * 10
    assert len(by_statistics) == 10
    assert max(by_statistics) <= 110
    assert not any("TABLESAMPLE" in statement for statement in statements)


async def test_keys_that_differ_in_case_only_stay_in_the_databases_order(tmp_path):
    words = [f"{letter}{number}" for number in range(20) for letter in "aBcDxYzZ"[:7]]
    rows = [(word, "", 0) for word in words]
    kinds = ("TEXT COLLATE NOCASE PRIMARY KEY", "TEXT", "INTEGER")
    async with rows_in(f"sqlite:///{tmp_path / 'rows.db'}", rows, kinds=kinds) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        expected = await all_keys(source)
        assert expected == sorted(words, key=str.lower) != sorted(words)

        assert await sizes(source, await source.cuts(7), expected) == [20] * 7


@pytest.mark.parametrize(("rows", "shards", "expected"), [(0, 4, [0]), (1, 4, [1]), (3, 8, [1, 1, 1])])
async def test_a_table_of_few_rows_has_few_shards(url, rows, shards, expected):
    some = [(str(number), "", 0) for number in range(rows)]
    async with rows_in(url, some) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        assert await sizes(source, await source.cuts(shards), [key for key, *_ in some]) == expected


async def test_null_is_in_no_shard(url):
    rows = [(None, "", 0), ("a", "", 0), (None, "", 0), ("b", "", 0)]
    async with rows_in(url, rows, kinds=("TEXT", "TEXT", "INTEGER")) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        assert await source.cuts(4) == ("a",)


async def test_a_view_and_a_subquery_are_cut_by_one_reading_of_their_keys(url):
    rows = [(f"{number:03}", "", number) for number in range(200)]
    async with rows_in(url, rows) as (engine, table):
        await execute(engine, f"CREATE VIEW {table}_v AS SELECT * FROM {table} WHERE price < 120")
        try:
            named = sa.table(table, sa.column("id"), sa.column("name"), sa.column("price"))
            some = sa.select(named).where(named.c.price < 60).subquery()
            view = SQLSource(engine, f"{table}_v", key="id", value="name")
            subquery = SQLSource(engine, some, key="id", value="name")

            assert await sizes(view, await view.cuts(3), [key for key, *_ in rows[:120]]) == [40] * 3
            assert await sizes(subquery, await subquery.cuts(3), [key for key, *_ in rows[:60]]) == [20] * 3
        finally:
            await execute(engine, f"DROP VIEW {table}_v")


async def test_a_partitioned_table_is_cut_as_one(server_url):
    async with rows_in(server_url) as (engine, name):
        table = f"{name}_p"
        await execute(engine, f"CREATE TABLE {table} (id int PRIMARY KEY, name text) PARTITION BY RANGE (id)")
        try:
            for part, first in enumerate((0, 1000)):
                bounds = f"FROM ({first}) TO ({first + 1000})"
                await execute(engine, f"CREATE TABLE {table}_{part} PARTITION OF {table} FOR VALUES {bounds}")
            await execute(engine, f"INSERT INTO {table} SELECT i, 'n' FROM generate_series(0, 1999) i")
            await execute(engine, f"ANALYZE {table}")
            source = SQLSource(engine, table, key="id", value="name")
            found = await sizes(source, await source.cuts(10), [*range(2000)])
        finally:
            await execute(engine, f"DROP TABLE {table}")

    assert found == [200] * 10


async def test_a_table_and_a_column_of_any_name_are_cut(server_url):
    async with rows_in(server_url) as (engine, name):
        schema, key = f'{name} "s"', sa.Column("the Key", sa.Integer, primary_key=True)
        table = sa.Table('Rows.of :a %s "x"', sa.MetaData(), key, sa.Column("v", sa.Text), schema=schema)
        rows = [{"the Key": number, "v": "n"} for number in range(1000)]
        async with engine.connect() as connection:
            await connection.execute(sa.schema.CreateSchema(schema))
            await connection.run_sync(table.create)
            await connection.execute(sa.insert(table), rows)
            await tell_of_changes(connection)
            await connection.commit()
        try:
            source = SQLSource(engine, table.name, schema=schema, key="the Key", value="v")
            by_sample = await sizes(source, await source.cuts(10), [*range(1000)])
            await execute(engine, "ANALYZE")
            async with watched(engine) as statements:
                by_statistics = await sizes(source, await source.cuts(10), [*range(1000)])
        finally:
            async with engine.begin() as connection:
                await connection.execute(sa.schema.DropSchema(schema, cascade=True))

    assert max(by_sample) <= 110
    assert max(by_statistics) <= 110
    assert not any("TABLESAMPLE" in statement for statement in statements)


async def test_statistics_that_are_old_or_too_coarse_are_not_used(server_url):
    async with rows_in(server_url, kinds=("INTEGER PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        await fill(engine, table, 1000)
        await execute(engine, f"ANALYZE {table}")
        source = SQLSource(engine, table, key="id", value="name")
        async with watched(engine) as statements:
            coarse = await sizes(source, await source.cuts(64), [*range(1, 1001)])
            await fill(engine, table, 3000, key="i + 1000")
            old = await sizes(source, await source.cuts(10), [*range(1, 4001)])

    assert sum("TABLESAMPLE" in statement for statement in statements) == 2
    assert max(coarse) == 16
    assert max(old) <= 1.35 * 400


async def test_a_key_that_the_table_converts_is_cut_in_its_own_type(url):
    class Marked(sa.types.TypeDecorator):
        impl = sa.Integer
        cache_ok = True

        def process_bind_param(self, value, _):
            return int(value.removeprefix("n"))

        def process_result_value(self, value, _):
            return f"n{value}"

    async with rows_in(url, kinds=("INTEGER PRIMARY KEY", "TEXT", "INTEGER")) as (engine, name):
        await fill(engine, name, 1000)
        columns = sa.Column("id", Marked, primary_key=True, key="number"), sa.Column("name", sa.Text)
        table = sa.Table(name, sa.MetaData(), *columns)
        source = SQLSource(engine, table, key="number", value="name")
        expected = [f"n{number}" for number in range(1, 1001)]
        first = await sizes(source, await source.cuts(4), expected)
        await execute(engine, f"ANALYZE {name}")
        second = await sizes(source, await source.cuts(4), expected)

    assert first == [250] * 4
    assert max(second) <= 260


async def test_one_shard_asks_the_database_nothing(url):
    async with rows_in(url) as (engine, table), watched(engine) as statements:
        assert await SQLSource(engine, table, key="id", value="name").cuts(1) == ()

    assert statements == []


async def test_cuts_of_what_is_not_there_are_refused_as_a_load_is(url):
    async with rows_in(url) as (engine, table):
        for source, setting in (
            (SQLSource(engine, "nothing_here", key="id", value="name"), "table"),
            (SQLSource(engine, table, key="nobody", value="name"), "column"),
        ):
            with pytest.raises(ConfigurationError, match=setting):
                await source.cuts(4)
        with pytest.raises(ConfigurationError, match="shards"):
            await SQLSource(engine, table, key="id", value="name").cuts(0)


async def test_the_server_stops_cuts_after_the_timeout(server_url):
    sleep = sa.func.pg_sleep(60).table_valued("slept")
    slow = sa.select(sa.literal("a").label("id"), sa.literal("n").label("name")).select_from(sleep).subquery()
    async with rows_in(server_url) as (engine, _):
        source = SQLSource(engine, slow, key="id", value="name", timeout=0.05)
        with pytest.raises(QueryError, match="timeout"):
            await source.cuts(2)


async def test_a_row_that_cannot_be_made_has_failed_and_no_other(url):
    def made(columns):
        return 10 // columns["price"]

    rows = [("a", "", 1), ("b", "", 0), ("c", "", 5), ("d", "", 0)]
    async with rows_in(url, rows) as (engine, table):
        source = SQLSource(engine, table, key="id", value=["price"], row=made)
        pages = [page async for page in source.rows(page=3)]

    assert pages == [{"a": 10, "c": 2}, {}]
    assert [list(page.failed) for page in pages] == [["b"], ["d"]]
    assert [page.cursor for page in pages] == ["c", "d"]
    assert isinstance(pages[1].failed["d"].error, ZeroDivisionError)
    assert pages[1].failed["d"].error.__notes__ == ["raised by row() for the key 'd'"]
