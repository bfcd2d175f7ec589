"""Rows of SQLite in a file and of a real PostgreSQL, page by page."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
import sqlalchemy as sa

from async_backfill.sources.sql import SQLSource
from tests.sources.sql_tables import all_pages, execute, insert, rows_in, url

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_a_scan_sees_every_key_once_while_rows_come_and_go(url):
    lasting = [f"{number:04}" for number in range(0, 2000, 2)]
    async with rows_in(url, [(key, "", 0) for key in lasting]) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        passing = iter(range(1, 2000, 20))

        async def change(keys):
            new = [f"{number:04}" for number in (next(passing), next(passing))]
            await insert(engine, table, [(key, "", 1) for key in [*new, f"{keys[-1]}+"]])
            await execute(engine, f"DELETE FROM {table} WHERE id = :id", {"id": new[0]})

        seen = await all_pages(source, 30, change)

    assert len(set(seen)) == len(seen)
    assert [key for key in seen if key in set(lasting)] == lasting
    assert len(seen) > len(lasting)


@pytest.mark.parametrize("rows", [0, 1, 4, 5])
async def test_a_scan_ends_after_the_last_key_and_null_is_no_key(url, rows):
    expected = [str(number) for number in range(rows)]
    table_rows = [*((key, "", 0) for key in expected), (None, "", 0), (None, "", 0)]
    async with rows_in(url, table_rows, kinds=("TEXT", "TEXT", "INTEGER")) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        assert await all_pages(source, 2) == expected


async def test_rows_are_keys_and_values_page_by_page(url):
    rows = [(number, f"n{number}", 0) for number in range(10)]
    async with rows_in(url, rows, kinds=("INTEGER PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        pages = [page async for page in source.rows(page=4)]
        rest = [page async for page in source.rows(after=7, page=4)]

    assert [len(page) for page in pages] == [4, 4, 2]
    assert {key: value for page in pages for key, value in page.items()} == {
        key: name for key, name, _ in rows
    }
    assert rest == [{8: "n8", 9: "n9"}]
