"""The cuts of skewed keys make shards of about as many rows each: the largest at most 1.35 of their mean."""

from __future__ import annotations

import uuid
from itertools import pairwise

import pytest
import sqlalchemy as sa

from async_backfill.sources.file import FileSource
from async_backfill.sources.sql import SQLSource, open_database
from tests.sources.sql_tables import execute

pytestmark = pytest.mark.anyio

ROWS = 20_000
MOST = 1.35
# Numbers with a gap of 90 % of their range; text of which half has one prefix.
NUMBER, TEXT = "number", "text"


@pytest.fixture
def anyio_backend():
    """In real time: a server takes some."""
    return "asyncio"


@pytest.fixture(params=[NUMBER, TEXT])
def kind(request):
    return request.param


def key_of(kind, number):
    if kind == NUMBER:
        return number if number % 10 < 1 else number + 1_000_000_000
    tenant = "big" if number % 2 == 0 else f"{hash_of(number % 500):032x}"
    return f"{tenant}:{hash_of(number):032x}"


def hash_of(number):
    return number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128


async def largest(source, shards):
    """The rows of the largest shard, in means."""
    cuts = await source.cuts(shards)
    assert len(cuts) == shards - 1
    sizes = []
    for after, until in pairwise((None, *cuts, None)):
        sizes.append(0)
        async for page in source.rows(after=after, until=until, page=20_000):
            sizes[-1] += len(page)
    assert sum(sizes) == ROWS
    return max(sizes) * shards / ROWS


@pytest.mark.parametrize("shards", [20, 32])
async def test_a_table_of_postgresql_is_cut_evenly_analyzed_or_not(kind, shards, postgres_url):
    pytest.importorskip("asyncpg")
    url = sa.make_url(postgres_url).set(drivername="postgresql+asyncpg")
    name = f"even_{uuid.uuid4().hex}"
    made = {
        NUMBER: ("bigint", "CASE WHEN i % 10 < 1 THEN i ELSE i + 1000000000 END"),
        TEXT: ("text", "CASE WHEN i % 2 = 0 THEN 'big' ELSE md5((i % 500)::text) END || ':' || md5(i::text)"),
    }
    column, key = made[kind]
    async with open_database(url.render_as_string(hide_password=False)) as engine:
        await execute(engine, f"CREATE TABLE {name} (id {column} PRIMARY KEY, value text)")
        try:
            await execute(
                engine,
                f"INSERT INTO {name} SELECT {key}, repeat('x', 90) FROM generate_series(1, {ROWS}) i",  # noqa: S608
            )
            source = SQLSource(engine, name, key="id", value="value")
            new = await largest(source, shards)
            await execute(engine, f"ANALYZE {name}")
            known = await largest(source, shards)
        finally:
            await execute(engine, f"DROP TABLE {name}")

    assert max(new, known) <= MOST, (new, known)


async def test_a_table_of_sqlite_is_cut_evenly(kind, tmp_path):
    async with open_database(f"sqlite:///{tmp_path / 'rows.db'}") as engine:
        column = {NUMBER: "INTEGER", TEXT: "TEXT"}[kind]
        await execute(engine, f"CREATE TABLE rows (id {column} PRIMARY KEY, value TEXT)")
        async with engine.begin() as connection:
            rows = [{"id": key_of(kind, number)} for number in range(ROWS)]
            await connection.execute(sa.text("INSERT INTO rows VALUES (:id, 'x')"), rows)

        assert await largest(SQLSource(engine, "rows", key="id", value="value"), 32) <= MOST


async def test_a_file_is_cut_evenly(kind, tmp_path):
    file = tmp_path / "rows.csv"
    lines = "".join(f"{key_of(kind, number)},{'x' * (number % 90)}\n" for number in range(ROWS))
    file.write_text("id,value\n" + lines)
    async with FileSource(file, key="id", value="value", key_type=str) as source:
        assert await largest(source, 32) <= MOST
