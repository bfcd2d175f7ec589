"""Databases that compare otherwise than Python: an error that names both keys, never a silent absence."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from async_backfill import BackfillCache, Failed, LoadError

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
from async_backfill.sources.sql import SQLSource, StatementSource
from tests.sources.sql_tables import rows_in, server_url, url

pytestmark = pytest.mark.anyio

AT = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - a time without a zone, which is the point
NOCASE = ("TEXT COLLATE NOCASE PRIMARY KEY", "TEXT", "INTEGER")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def lite(tmp_path):
    return f"sqlite:///{tmp_path / 'rows.db'}"


async def refused(source, key, difference):
    async with BackfillCache(source) as cache:
        with pytest.raises(LoadError) as failed:
            await cache.get(key)
        assert (cache.stats.absent, cache.stats.size) == (0, 0)
    assert difference in str(failed.value)
    assert "otherwise than Python does" in str(failed.value)


async def test_a_collation_without_case(lite):
    async with rows_in(lite, [("Ada@x.org", "Ada", 1)], kinds=NOCASE) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        await refused(
            source, "ada@x.org", "'Ada@x.org' instead of 'ada@x.org' (they differ in upper and lower case)"
        )
        assert await source.load_many(["Ada@x.org", "bob"]) == {"Ada@x.org": "Ada"}


async def test_of_a_batch_what_was_found_is_served_and_what_is_unclear_has_failed(lite):
    rows = [("Ada", "A", 1), ("bob", "B", 2), ("Cid", "C", 3)]
    async with rows_in(lite, rows, kinds=NOCASE) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        answers = await source.load_many(["ada", "bob", "cid", "dan"])

    assert {key for key, answer in answers.items() if isinstance(answer, Failed)} == {"ada", "cid", "dan"}
    assert answers["bob"] == "B"
    assert "'Cid' instead of 'cid'" in str(answers["cid"].error)


async def test_a_row_that_is_found_for_two_keys_is_no_reason_to_fail_when_both_are_there(lite):
    async with rows_in(lite, [("Ada", "A", 1)], kinds=NOCASE) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        answers = await source.load_many(["Ada", "ada"])

    assert answers["Ada"] == "A"
    assert "ada" not in answers  # no other row came, and a row has one key


async def test_a_statement_that_compares_in_lower_case(url):
    async with rows_in(url, [("Ada", "A", 1)]) as (engine, table):
        source = StatementSource(engine, f"SELECT id, name FROM {table} WHERE lower(id) IN :keys")

        await refused(source, "ada", "'Ada' instead of 'ada' (they differ in upper and lower case)")


async def test_text_that_the_database_pads(server_url):
    kinds = ("char(5) PRIMARY KEY", "TEXT", "INTEGER")
    async with rows_in(server_url, [("ab", "x", 1)], kinds=kinds) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        await refused(source, "ab", "'ab   ' instead of 'ab' (they differ in the spaces around them)")


async def test_nan_which_is_equal_to_itself_in_the_database_only(server_url):
    kinds = ("float8 PRIMARY KEY", "TEXT", "INTEGER")
    async with rows_in(server_url, [(math.nan, "x", 1)], kinds=kinds) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        await refused(source, float("nan"), "nan instead of nan (NaN is not equal to itself)")


async def test_a_time_without_a_zone_where_the_column_has_one(server_url):
    kinds = ("timestamptz PRIMARY KEY", "TEXT", "INTEGER")
    async with rows_in(server_url, [(AT.replace(tzinfo=UTC), "x", 1)], kinds=kinds) as (engine, table):
        statement = f"SELECT id, name FROM {table} WHERE id IN :keys"
        naive = AT.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
        source = StatementSource(engine, statement)
        async with BackfillCache(source) as cache:
            with pytest.raises(LoadError):
                await cache.get(naive)
            assert await cache.get(AT.replace(tzinfo=UTC)) == "x"
