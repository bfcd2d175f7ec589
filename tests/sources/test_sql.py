"""Rows of SQLite in a file and of a real PostgreSQL, loaded."""

from __future__ import annotations

import uuid

import pytest

from async_backfill import BackfillCache, KeyNotFoundError

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
import sqlalchemy as sa

from async_backfill.sources.sql import SQLSource, StatementSource, open_database
from tests.sources.sql_tables import all_pages, rows_in, server_url, url

pytestmark = pytest.mark.anyio
ODD_KEYS = [
    "it's",
    'say "hi"',
    "line\nbreak",
    "tab\t",
    "%s :keys $1 ?",
    "",
    " ",
    "ünï",
    "'; DROP TABLE x; --",
    "\\",
]


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_one_value_column_is_the_bare_value_and_a_missing_key_does_not_exist(url):
    async with rows_in(url, [("a", "Anvil", 3), ("b", None, 4)]) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        assert await source.load_many(["a", "b", "c"]) == {"a": "Anvil", "b": None}
        assert await source.load_many(["a"]) == {"a": "Anvil"}
        assert await source.load_many(["c"]) == {}


async def test_several_value_columns_are_a_dict_or_what_a_function_makes_of_it(url):
    async with rows_in(url, [("a", "Anvil", 3)]) as (engine, table):
        columns = {"key": "id", "value": ("name", "price")}
        plain = SQLSource(engine, table, **columns)
        made = SQLSource(engine, table, **columns, row=lambda row: f"{row['name']}: {row['price']}")
        one = SQLSource(engine, table, key="id", value=["price"])

        assert await plain.load_many(["a"]) == {"a": {"name": "Anvil", "price": 3}}
        assert await made.load_many(["a"]) == {"a": "Anvil: 3"}
        assert await one.load_many(["a"]) == {"a": {"price": 3}}


@pytest.mark.parametrize("kind", ["INTEGER PRIMARY KEY", "BIGINT PRIMARY KEY"])
async def test_keys_can_be_numbers(url, kind):
    rows = [(-1, "minus", 0), (0, "zero", 0), (2**31 - 1, "most", 0)]
    async with rows_in(url, rows, kinds=(kind, "TEXT", "INTEGER")) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        assert await source.load_many([-1, 0, 1, 2**31 - 1]) == {-1: "minus", 0: "zero", 2**31 - 1: "most"}
        assert await all_pages(source, 2) == [-1, 0, 2**31 - 1]


async def test_keys_can_be_uuids(server_url):
    ids = sorted(uuid.uuid4() for _ in range(5))
    rows = [(one, str(one), 0) for one in ids]
    async with rows_in(server_url, rows, kinds=("UUID PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        assert await source.load_many([*ids, uuid.uuid4()]) == {one: str(one) for one in ids}
        assert await all_pages(source, 2) == ids


async def test_uuids_are_those_of_the_standard_library_also_in_arrays_and_beside_null(server_url):
    ids = sorted(uuid.uuid4() for _ in range(3))
    rows = [(ids[0], None, 0), (ids[1], ids[1], 0), (ids[2], ids[2], 0)]
    kinds = ("UUID PRIMARY KEY", "UUID", "INTEGER")
    async with rows_in(server_url, rows, kinds=kinds) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        pages = [page async for page in source.rows()]
        statement = StatementSource(engine, f"SELECT id, ARRAY[name, name] FROM {table} WHERE id IN :keys")
        arrays = await statement.load_many(ids[1:])

        for found in (await source.load_many(ids), *pages):
            assert found == {ids[0]: None, ids[1]: ids[1], ids[2]: ids[2]}
            assert {type(key) for key in found} == {uuid.UUID}
            assert [type(found[key]) for key in ids[1:]] == [uuid.UUID] * 2
        assert {type(key) for key in await all_pages(source, 2)} == {uuid.UUID}
        assert {type(one) for array in arrays.values() for one in array} == {uuid.UUID}


async def test_a_table_of_sqlalchemy_converts_keys_and_values(url):
    ids = sorted(uuid.uuid4() for _ in range(5))
    table = sa.Table(
        f"typed_{uuid.uuid4().hex}",
        sa.MetaData(),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("facts", sa.JSON),
    )
    async with open_database(url) as engine:
        async with engine.begin() as connection:
            await connection.run_sync(table.create)
            await connection.execute(
                sa.insert(table), [{"id": one, "facts": {"n": [1, None]}} for one in ids]
            )
        source = SQLSource(engine, table, key="id", value="facts")

        assert await source.load_many([ids[3], uuid.uuid4()]) == {ids[3]: {"n": [1, None]}}
        assert await all_pages(source, 2) == ids
        async with engine.begin() as connection:
            await connection.run_sync(table.drop)


async def test_a_subquery_is_a_table_too(url):
    async with rows_in(url, [("a", "Anvil", 3), ("b", "Bolt", 9)]) as (engine, table):
        products = sa.table(table, sa.column("id"), sa.column("price"))
        dear = sa.select(products).where(products.c.price > 5).subquery("dear")
        source = SQLSource(engine, dear, key="id", value="price")

        assert await source.load_many(["a", "b"]) == {"b": 9}
        assert await all_pages(source, 10) == ["b"]


async def test_odd_characters_in_keys_are_only_characters(url):
    async with rows_in(url, [(key, key[::-1], 0) for key in ODD_KEYS]) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        assert await source.load_many([*ODD_KEYS, "%"]) == {key: key[::-1] for key in ODD_KEYS}
        assert sorted(await all_pages(source, 3)) == sorted(ODD_KEYS)


async def test_a_key_that_the_database_cannot_hold_does_not_exist_and_disturbs_no_other(url):
    async with rows_in(url, [("a", "Anvil", 3)]) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        assert await source.load_many(["nul\0", "a", "half \ud800"]) == {"a": "Anvil"}
        assert await source.load_many(["\ud800"]) == {}


async def test_nul_is_a_character_to_sqlite(tmp_path):
    async with rows_in(f"sqlite:///{tmp_path / 'rows.db'}", [("nul\0here", "yes", 0)]) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        assert await source.load_many(["nul\0here", "nul\0"]) == {"nul\0here": "yes"}


async def test_odd_names_of_tables_and_columns_are_only_names(url):
    names = {"table": f'odd "t" {uuid.uuid4().hex[:8]}; --', "key": 'Key "x" %s', "value": "select"}
    table = sa.Table(
        names["table"], sa.MetaData(), sa.Column(names["key"], sa.Text), sa.Column("select", sa.Text)
    )
    async with open_database(url) as engine:
        async with engine.begin() as connection:
            await connection.run_sync(table.create)
            await connection.execute(sa.insert(table).values(["a", "Anvil"]))
        source = SQLSource(engine, **names)

        assert await source.load_many(["a", "b"]) == {"a": "Anvil"}
        assert await all_pages(source, 10) == ["a"]
        async with engine.begin() as connection:
            await connection.run_sync(table.drop)


async def test_ten_thousand_keys_are_one_load(url):
    rows = [(f"k{number:05}", "", number) for number in range(10_000)]
    async with rows_in(url, rows) as (engine, table):
        source = SQLSource(engine, table, key="id", value="price")
        wanted = [f"k{number:05}" for number in range(5_000, 15_000)]

        assert await source.load_many(wanted) == {f"k{number:05}": number for number in range(5_000, 10_000)}


@pytest.mark.parametrize(("query_keys", "queries"), [(7, 1), (3, 3), (1, 7)])
async def test_a_larger_batch_is_several_queries(url, query_keys, queries):
    keys = list("abcdefg")
    async with rows_in(url, [(key, key, 0) for key in keys]) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name", query_keys=query_keys)
        asked = []
        sa.event.listen(
            engine.sync_engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2])
        )

        assert await source.load_many(keys) == {key: key for key in keys}
        assert len(asked) == queries


async def test_a_statement_answers_for_its_keys(url):
    async with rows_in(url, [("a", "Anvil", 3), ("b", None, 4)]) as (engine, table):
        bare = StatementSource(engine, f"SELECT id, name FROM {table} WHERE id IN :keys", query_keys=2)
        several = StatementSource(
            engine, f"SELECT id, name, price * 2 AS twice FROM {table} WHERE id IN :ids", bind="ids"
        )

        assert await bare.load_many(["a", "b", "c"]) == {"a": "Anvil", "b": None}
        assert await several.load_many(["a", "x"]) == {"a": {"name": "Anvil", "twice": 6}}
        assert await several.load_many(["x"]) == {}


async def test_a_statement_of_sqlalchemy_gets_the_keys_as_a_list(server_url):
    async with rows_in(server_url, [("a", "Anvil", 3)]) as (engine, table):
        statement = sa.text(f"SELECT id, name, price FROM {table} WHERE id = ANY(:keys)")
        source = StatementSource(engine, statement, row=lambda row: row["price"])

        assert await source.load_many(["a", "b"]) == {"a": 3}


async def test_a_row_of_which_no_value_can_be_made_fails_its_key_alone(url):
    def made(columns):
        return 10 // columns["price"]

    async with rows_in(url, [("a", "", 1), ("b", "", 0), ("c", "", 5)]) as (engine, table):
        statement = f"SELECT id, price FROM {table} WHERE id IN :keys"
        for source in (
            SQLSource(engine, table, key="id", value=["price"], row=made),
            StatementSource(engine, statement, row=made),
        ):
            answer = await source.load_many(["a", "b", "c", "d"])
            failed = answer.pop("b")

            assert answer == {"a": 10, "c": 2}
            assert isinstance(failed.error, ZeroDivisionError)
            assert failed.error.__notes__ == ["raised by row() for the key 'b'"]


async def test_a_cache_reads_through_to_the_table_and_backfills_by_scan(url):
    rows = [(f"{number:03}", f"name {number}", number) for number in range(100)]
    async with rows_in(url, rows) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        async with BackfillCache(source, scan=source, miss_threshold=0.01, backfill_batch=1000) as cache:
            assert await cache.get("005") == "name 5"
            await cache.force_backfill()
            assert await cache.get("099") == "name 99"
            with pytest.raises(KeyNotFoundError):
                await cache.fetch("100")

            assert cache.stats.size == 100
