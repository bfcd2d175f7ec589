"""The source that reads a database table keeps the promises of `Source`, of a keyset scan and of `Rows`."""

from __future__ import annotations

import uuid

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
import sqlalchemy as sa

from async_backfill.sources.sql import SQLSource, open_database
from async_backfill.testing import (
    ChangingRowsContract,
    KeysetScanContract,
    SourceContract,
    SourceFactsContract,
)

pytestmark = pytest.mark.anyio

KNOWN = {f"key {number:03}": f"value {number}" for number in range(60)} | {"none": None}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
async def table(request, tmp_path):
    """An engine, and a table with `KNOWN` in it."""
    url = f"sqlite:///{tmp_path / 'rows.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    rows = sa.Table(
        f"rows_{uuid.uuid4().hex}",
        sa.MetaData(),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("value", sa.Text),
    )
    async with open_database(url, pool_size=2, max_overflow=0) as engine:
        async with engine.begin() as connection:
            await connection.run_sync(rows.create)
            await connection.execute(
                sa.insert(rows), [{"id": key, "value": value} for key, value in KNOWN.items()]
            )
        yield engine, rows
        async with engine.begin() as connection:
            await connection.run_sync(rows.drop)


def source_of(table):
    engine, rows = table
    return SQLSource(engine, rows.name, key="id", value="value")


class TestSQLSource(SourceContract):
    known = KNOWN
    missing = ("nobody", "", "key 000 ", "KEY 000")

    @pytest.fixture
    def source(self, table):
        return source_of(table)


class TestSQLFacts(SourceFactsContract):
    count = len(KNOWN)
    query = "SELECT max(x) FROM (SELECT 1.5 AS x WHERE '12:30' <> ':x') AS y"
    bad_queries = (
        "SELECT 'one'",
        "SELECT NULL",
        "SELECT 1, 2",
        "SELECT 1 UNION SELECT 2",
        "SELECT 1 LIMIT 0",
    )

    @pytest.fixture
    def facts(self, table):
        return source_of(table)


class TestSQLScan(KeysetScanContract):
    keys = tuple(KNOWN)

    @pytest.fixture
    def scan(self, table):
        return source_of(table)

    @pytest.fixture
    def delete(self, table):
        return deleting(table)


class TestSQLRows(ChangingRowsContract):
    known = {key: KNOWN[key] for key in (*list(KNOWN)[:12], "none")}  # noqa: RUF012 - as a user writes it
    spare = {"": "first", "key 003+": "between", "zzz": "last"}  # noqa: RUF012 - as above

    @pytest.fixture
    async def ranged(self, table):
        engine, rows = table
        async with engine.begin() as connection:
            await connection.execute(sa.delete(rows).where(rows.c.id.not_in(list(self.known))))
        return source_of(table)

    @pytest.fixture
    def insert(self, table):
        engine, rows = table

        async def insert(key, value):
            async with engine.begin() as connection:
                await connection.execute(sa.insert(rows), [{"id": key, "value": value}])

        return insert

    @pytest.fixture
    def delete(self, table):
        return deleting(table)


def deleting(table):
    engine, rows = table

    async def delete(key):
        async with engine.begin() as connection:
            await connection.execute(sa.delete(rows).where(rows.c.id == key))

    return delete
