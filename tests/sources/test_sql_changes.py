"""A table that changes, and statements that the server has forgotten: one more try, not an error."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
import sqlalchemy as sa
from anyio import create_task_group

from async_backfill.sources.sql import QueryError, SQLSource, StatementSource, open_database
from tests.sources.sql_tables import execute, rows_in, server_url, url

pytestmark = pytest.mark.anyio

TIMES = 7  # psycopg prepares what it has run five times
AT_ONCE = 3


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def use(*sources):
    """Let each connection of the pool prepare the statements of ``sources``."""
    for _ in range(TIMES):
        async with create_task_group() as tasks:
            for source in sources * AT_ONCE:
                tasks.start_soon(source.load_many, ["a"])


async def test_a_table_that_changes_costs_one_more_try(url):
    async with rows_in(url, [("a", "x", 1)], pool_size=AT_ONCE) as (engine, table):
        named = SQLSource(engine, table, key="id", value="name")
        timed = SQLSource(engine, table, key="id", value=["name", "price"], timeout=30.0)
        everything = StatementSource(engine, f"SELECT * FROM {table} WHERE id IN :keys")
        await use(named, timed, everything)
        async with open_database(url) as other:
            if other.dialect.name == "postgresql":
                types = "ALTER COLUMN name TYPE varchar(20), ALTER COLUMN price TYPE bigint"
                await execute(other, f"ALTER TABLE {table} {types}")
            await execute(other, f"ALTER TABLE {table} ADD COLUMN more INTEGER")

        assert await named.load_many(["a"]) == {"a": "x"}
        assert await timed.load_many(["a"]) == {"a": {"name": "x", "price": 1}}
        assert await everything.load_many(["a"]) == {"a": {"name": "x", "price": 1, "more": None}}
        assert (await timed.scan(None, 10)).keys == ("a",)


async def test_statements_that_the_server_forgot_are_prepared_again(server_url):
    async with rows_in(server_url, [("a", "x", 1)], pool_size=AT_ONCE) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        await use(source)
        async with create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(execute, engine, "DEALLOCATE ALL")

        async with create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(source.load_many, ["a"])
        assert await source.load_many(["a"]) == {"a": "x"}


@pytest.fixture
async def forgetful(server_url):
    """An engine, and the name of a function that fails as behind a pooler."""
    async with rows_in(server_url) as (engine, table):
        body = """$$ BEGIN RAISE 'statement "x" does not exist' USING ERRCODE = '26000'; END $$"""
        await execute(engine, f"CREATE FUNCTION f_{table}() RETURNS text LANGUAGE plpgsql AS {body}")
        yield engine, f"f_{table}"
        await execute(engine, f"DROP FUNCTION f_{table}()")


async def test_a_pooler_that_does_not_fit_is_named_in_the_error(forgetful):
    engine, function = forgetful
    source = StatementSource(engine, f"SELECT 'a' AS id, {function}() AS v WHERE 'a' IN :keys")
    with pytest.raises(QueryError, match=r'^statement "x" does not exist.*: a pooler such as PgBouncer'):
        await source.load_many(["a"])

    assert engine.pool.checkedout() == 0


async def test_queries_of_others_on_the_same_engine_keep_their_errors(forgetful):
    engine, function = forgetful
    SQLSource(engine, "t", key="id", value="v")
    with pytest.raises(sa.exc.DBAPIError) as failed:
        await execute(engine, f"SELECT {function}()")

    assert not failed.value.connection_invalidated
