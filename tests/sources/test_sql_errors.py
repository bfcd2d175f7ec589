"""Errors of a database and of its settings: one clear line each."""

from __future__ import annotations

import sys
import uuid

import pytest

from async_backfill import ConfigurationError, MissingExtraError

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
import sqlalchemy as sa

from async_backfill.sources.sql import QueryError, SQLSource, StatementSource, open_database
from tests.sources.sql_tables import rows_in, server_url, sleeping, url

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [("table", {"table": "no_such"}), ("column", {"key": "no_such"}), ("column", {"value": "No Such"})],
)
async def test_a_wrong_table_or_column_is_one_clear_line(url, setting, wrong):
    async with rows_in(url) as (engine, table):
        source = SQLSource(engine, **({"table": table, "key": "id", "value": "name"} | wrong))
        with pytest.raises(ConfigurationError, match=rf"(?i)^{setting}: .*no.such.*$") as raised:
            await source.load_many(["a"])
        with pytest.raises(ConfigurationError, match=rf"(?i)^{setting}: .*no.such.*$"):
            [page async for page in source.rows()]

        assert "\n" not in str(raised.value)


async def test_what_the_database_refuses_is_one_line_without_the_keys_and_the_statement(server_url):
    kinds = ("INTEGER PRIMARY KEY", "TEXT", "INTEGER")
    async with rows_in(server_url, [(1, "a", 0)], kinds=kinds) as (engine, table):
        source = StatementSource(engine, f"SELECT id, price / 0 FROM {table} WHERE id IN :keys")
        with pytest.raises(QueryError, match=r"^division by zero$"):
            await source.load_many([1])


async def test_a_password_shows_nowhere(server_url):
    secret = "correct horse"  # noqa: S105 - the point of the test
    good = sa.make_url(server_url)
    told = []
    async with SQLSource.connect(good.set(password=secret), "t", key="id", value="v") as source:
        told.append(repr(source))
        with pytest.raises((QueryError, ConnectionError)) as raised:  # psycopg tells no code
            await source.load_many(["a"])
        told.append(f"{raised.value!r} {raised.value} {raised.value.__cause__!r} {raised.value.__cause__}")
    for bad in (
        f"nosuch://me:{secret}@host/db",
        f"me:{secret}@host",
        f"sqlite+pysqlite:///{secret}",
    ):
        with pytest.raises(ConfigurationError, match=r"^url: must be the URL of a database") as refused:
            async with SQLSource.connect(bad, "t", key="id", value="v"):
                pass
        told.append(f"{refused.value!r} {refused.value}")
    with pytest.raises(
        ConfigurationError, match=r"^engine: must be an AsyncEngine of SQLAlchemy, not a str"
    ) as mistaken:
        SQLSource(f"postgresql://me:{secret}@host/db", "t", key="id", value="v")
    told.append(f"{mistaken.value!r}")

    with pytest.raises(
        ConfigurationError, match=r"^url: has two @: write the one in the password as %40$"
    ) as halved:
        async with open_database(f"postgresql://me:wrong@{secret}@host/db"):
            pass
    told.append(f"{halved.value!r}")

    assert "password authentication failed" in told[1]
    assert not any("horse" in text for text in told)


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"table": ""}, "table"),
        ({"key": ""}, "key"),
        ({"value": ()}, "value"),
        ({"value": ("",)}, "value"),
        ({"value": ""}, "value"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": "1"}, "timeout"),
        ({"query_keys": 0}, "query_keys"),
        ({"query_keys": 32_001}, "query_keys"),
        ({"table": sa.table("t", sa.column("id"))}, "table"),
    ],
)
async def test_a_setting_outside_what_is_allowed_is_refused(tmp_path, settings, setting):
    async with open_database(f"sqlite:///{tmp_path / 'rows.db'}") as engine:
        with pytest.raises(ConfigurationError, match=rf"^{setting}: "):
            SQLSource(engine, **({"table": "t", "key": "id", "value": "v"} | settings))


async def test_a_statement_without_the_parameter_is_refused(tmp_path):
    async with open_database(f"sqlite:///{tmp_path / 'rows.db'}") as engine:
        with pytest.raises(
            ConfigurationError, match=r"^statement: must have a parameter :keys for the keys$"
        ):
            StatementSource(engine, "SELECT 1, 2")


@pytest.mark.parametrize("columns", ["id", "id, name, name"])
async def test_a_statement_that_returns_no_values_or_two_of_one_name_is_refused(url, columns):
    async with rows_in(url, [("a", "Anvil", 3)]) as (engine, table):
        source = StatementSource(engine, f"SELECT {columns} FROM {table} WHERE id IN :keys")
        with pytest.raises(
            ConfigurationError, match=r"^statement: must return a key, then one or more values"
        ):
            await source.load_many(["a"])


async def test_a_key_with_several_rows_is_refused(url):
    rows = [("a", "1", 0), ("b", "2", 0), *[("c", "3", 0)] * 5]
    async with rows_in(url, rows, kinds=("TEXT", "TEXT", "INTEGER")) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        with pytest.raises(
            ConfigurationError, match=rf"^key: {table}\.id is not unique: 'c' has several rows$"
        ):
            await source.load_many(["a", "c", "b"])
        with pytest.raises(ConfigurationError, match=r"id is not unique: 'c'"):
            await source.scan(None, 10)

        assert await source.load_many(["a", "b"]) == {"a": "1", "b": "2"}


async def test_keys_of_another_type_than_the_column_are_refused_instead_of_absent(server_url):
    one = uuid.uuid4()
    kinds = ("UUID PRIMARY KEY", "TEXT", "INTEGER")
    async with rows_in(server_url, [(one, "a", 0)], kinds=kinds) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        with pytest.raises(ConfigurationError, match=r"^key: rows_\w+\.id holds UUID keys, such as UUID"):
            await source.load_many([str(one)])


async def test_encryption_is_asked_for_by_the_name_that_postgres_gives_it(server_url):
    async with rows_in(f"{server_url}?sslmode=disable", [("a", "Anvil", 3)]) as (engine, table):
        assert await SQLSource(engine, table, key="id", value="name").load_many(["a"]) == {"a": "Anvil"}


async def test_encryption_that_the_server_does_not_have_is_one_clear_line(server_url):
    async with SQLSource.connect(f"{server_url}?sslmode=require", "t", key="id", value="name") as source:
        with pytest.raises(ConnectionError, match=r"(?i)^no connection to the database at .*SSL.*$"):
            await source.load_many(["a"])


async def test_what_the_driver_does_not_know_in_a_url_is_one_clear_line(server_url):
    async with SQLSource.connect(f"{server_url}?no_such=1", "t", key="id", value="name") as source:
        with pytest.raises((ConfigurationError, ConnectionError), match=r"^(url|no conn).*no_such.*$"):
            await source.load_many(["a"])


async def test_a_time_limit_of_the_driver_is_no_lost_connection(postgres_url):
    limit = {"connect_args": {"command_timeout": 0.05}}
    async with open_database(postgres_url, **limit) as engine:
        source = sleeping(engine, f"m{uuid.uuid4().hex}")
        with pytest.raises(QueryError, match=r"^the driver stopped the query: TimeoutError$"):
            await source.load_many(["a"])

        assert engine.pool.checkedout() == 0


@pytest.mark.parametrize(
    ("url", "driver", "extra"),
    [
        ("postgresql://user:secret@h/d", "asyncpg", "sql"),
        ("postgresql+psycopg://user:secret@h/d", "psycopg", "psycopg"),
        ("sqlite:///secret.db", "aiosqlite", "sql"),
    ],
)
async def test_a_missing_driver_says_what_to_install(monkeypatch, url, driver, extra):
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(MissingExtraError) as missing:
        async with open_database(url):
            pass

    scheme = url.partition(":")[0].partition("+")[0]
    assert str(missing.value) == (f"{scheme}+{driver}: needs {driver}: pip install 'async-backfill[{extra}]'")
