"""Rows of SQLite in a file and of a real PostgreSQL: loaded, scanned, cancelled and lost."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager

import pytest
from anyio import CancelScope, create_task_group, fail_after, sleep
from anyio.lowlevel import checkpoint

from async_backfill import BackfillCache, ConfigurationError, KeyNotFoundError, LoadError, LoadPolicy
from tests.servers.postgres import postgres_url  # noqa: F401 - a fixture

sa = pytest.importorskip("sqlalchemy")
pytest.importorskip("asyncpg")
pytest.importorskip("aiosqlite")

from async_backfill.sources.sql import QueryError, SQLSource, StatementSource, open_database  # noqa: E402

pytestmark = pytest.mark.anyio
PATIENCE = 30.0
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


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path / 'rows.db'}"


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
        return result.all() if result.returns_rows else []


async def insert(engine, name, rows):
    table = sa.table(name, sa.column("id"), sa.column("name"), sa.column("price"))
    if rows:
        values = [dict(zip(("id", "name", "price"), row, strict=True)) for row in rows]
        async with engine.begin() as connection:
            await connection.execute(sa.insert(table), values)


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


async def test_keys_can_be_uuids(postgres_url):  # noqa: F811 - the fixture
    ids = sorted(uuid.uuid4() for _ in range(5))
    rows = [(one, str(one), 0) for one in ids]
    async with rows_in(postgres_url, rows, kinds=("UUID PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")

        assert await source.load_many([*ids, uuid.uuid4()]) == {one: str(one) for one in ids}
        assert await all_pages(source, 2) == ids


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


async def test_keys_of_another_type_than_the_column_are_refused_instead_of_absent(postgres_url):  # noqa: F811
    one = uuid.uuid4()
    kinds = ("UUID PRIMARY KEY", "TEXT", "INTEGER")
    async with rows_in(postgres_url, [(one, "a", 0)], kinds=kinds) as (engine, table):
        source = SQLSource(engine, table, key="id", value="name")
        with pytest.raises(ConfigurationError, match=r"^key: rows_\w+\.id holds UUID keys, such as UUID"):
            await source.load_many([str(one)])


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


async def test_a_statement_answers_for_its_keys(url):
    async with rows_in(url, [("a", "Anvil", 3), ("b", None, 4)]) as (engine, table):
        bare = StatementSource(engine, f"SELECT id, name FROM {table} WHERE id IN :keys", query_keys=2)
        several = StatementSource(
            engine, f"SELECT id, name, price * 2 AS twice FROM {table} WHERE id IN :ids", bind="ids"
        )

        assert await bare.load_many(["a", "b", "c"]) == {"a": "Anvil", "b": None}
        assert await several.load_many(["a", "x"]) == {"a": {"name": "Anvil", "twice": 6}}
        assert await several.load_many(["x"]) == {}


async def test_a_statement_of_sqlalchemy_gets_the_keys_as_a_list(postgres_url):  # noqa: F811
    async with rows_in(postgres_url, [("a", "Anvil", 3)]) as (engine, table):
        statement = sa.text(f"SELECT id, name, price FROM {table} WHERE id = ANY(:keys)")
        source = StatementSource(engine, statement, row=lambda row: row["price"])

        assert await source.load_many(["a", "b"]) == {"a": 3}


@pytest.mark.parametrize("columns", ["id", "id, name, name"])
async def test_a_statement_that_returns_no_values_or_two_of_one_name_is_refused(url, columns):
    async with rows_in(url, [("a", "Anvil", 3)]) as (engine, table):
        source = StatementSource(engine, f"SELECT {columns} FROM {table} WHERE id IN :keys")
        with pytest.raises(ConfigurationError, match=r"^statement: must return a key, then values"):
            await source.load_many(["a"])


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


async def test_what_the_database_refuses_is_one_line_without_the_keys_and_the_statement(postgres_url):  # noqa: F811
    kinds = ("INTEGER PRIMARY KEY", "TEXT", "INTEGER")
    async with rows_in(postgres_url, [(1, "a", 0)], kinds=kinds) as (engine, table):
        source = StatementSource(engine, f"SELECT id, price / 0 FROM {table} WHERE id IN :keys")
        with pytest.raises(QueryError, match=r"^division by zero$"):
            await source.load_many([1])


async def test_a_password_shows_nowhere(postgres_url):  # noqa: F811
    secret = "correct horse"  # noqa: S105 - the point of the test
    good = sa.make_url(postgres_url)
    told = []
    async with SQLSource.connect(good.set(password=secret), "t", key="id", value="v") as source:
        told.append(repr(source))
        with pytest.raises(QueryError) as raised:
            await source.load_many(["a"])
        told.append(f"{raised.value!r} {raised.value} {raised.value.__cause__!r} {raised.value.__cause__}")
    for bad in (
        f"nosuch://me:{secret}@host/db",
        f"me:{secret}@host",
        f"sqlite+pysqlite:///{secret}",
    ):
        with pytest.raises(ConfigurationError, match=r"^url: is not the URL of a database") as refused:
            async with SQLSource.connect(bad, "t", key="id", value="v"):
                pass
        told.append(f"{refused.value!r} {refused.value}")
    with pytest.raises(ConfigurationError, match=r"^engine: a str is no AsyncEngine") as mistaken:
        SQLSource(f"postgresql://me:{secret}@host/db", "t", key="id", value="v")
    told.append(f"{mistaken.value!r}")

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
        with pytest.raises(ConfigurationError, match=r"^statement: has no parameter :keys for the keys$"):
            StatementSource(engine, "SELECT 1, 2")


# What follows needs a server.


async def running(engine, mark):
    """Return the statements that contain ``mark`` and run in the server now, besides this one."""
    return await execute(
        engine,
        "SELECT query FROM pg_stat_activity"
        " WHERE query LIKE :mark AND state = 'active' AND pid <> pg_backend_pid()",
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


async def test_the_server_stops_a_statement_after_the_timeout(postgres_url):  # noqa: F811
    mark = f"m{uuid.uuid4().hex}"
    async with open_database(postgres_url) as engine:
        with fail_after(PATIENCE), pytest.raises(QueryError, match="statement timeout"):
            await sleeping(engine, mark, timeout=0.05).load_many(["a"])

        assert await running(engine, mark) == []
        assert await execute(engine, "SHOW statement_timeout") == [("0",)]


async def test_a_cancelled_load_does_not_go_on_in_the_server(postgres_url):  # noqa: F811
    mark = f"m{uuid.uuid4().hex}"
    async with open_database(postgres_url) as engine:
        async with create_task_group() as tasks:
            tasks.start_soon(sleeping(engine, mark).load_many, ["a"])
            await until(lambda: running(engine, mark))
            tasks.cancel_scope.cancel()

        async def is_gone():
            return not await running(engine, mark)

        await until(is_gone)


async def test_a_cancelled_load_leaves_the_pool_usable(url):
    rows = [(f"{number:04}", "", number) for number in range(2000)]
    async with rows_in(url, rows, pool_size=1, max_overflow=0, pool_timeout=PATIENCE) as (engine, table):
        source = SQLSource(engine, table, key="id", value="price", query_keys=500, timeout=PATIENCE)
        keys = [key for key, _, _ in rows]
        cancelled = 0
        for steps in range(60):
            async with create_task_group() as tasks:
                with CancelScope() as scope:
                    tasks.start_soon(_cancel_after, steps, scope)
                    await source.load_many(keys)
                cancelled += scope.cancelled_caught
                tasks.cancel_scope.cancel()
            assert engine.pool.checkedout() == 0
            assert len(await source.load_many(keys[:10])) == 10

    assert cancelled > 5


async def _cancel_after(steps, scope):
    for _ in range(steps):
        await checkpoint()
    scope.cancel()


async def end_connections(engine, other):
    """End the connections of the application ``other``."""
    named = "SELECT pid FROM pg_stat_activity WHERE application_name = :name"
    for (pid,) in await execute(engine, named, {"name": other}):
        await execute(engine, "SELECT pg_terminate_backend(:pid, 30000)", {"pid": pid})


async def test_a_scan_whose_connection_is_killed_goes_on_from_its_cursor(postgres_url):  # noqa: F811
    name = f"scan-{uuid.uuid4().hex[:8]}"
    keys = [f"{number:04}" for number in range(1000)]
    named = {"connect_args": {"server_settings": {"application_name": name}}}
    async with (
        rows_in(postgres_url, [(key, "", 0) for key in keys]) as (engine, table),
        SQLSource.connect(postgres_url, table, key="id", value="name", engine_options=named) as source,
    ):

        async def kill(_):
            await end_connections(engine, name)

        assert await all_pages(source, 100, kill) == keys


async def test_a_query_whose_connection_is_killed_is_asked_once_more_and_then_fails(postgres_url):  # noqa: F811
    mark = f"m{uuid.uuid4().hex}"
    name = f"load-{uuid.uuid4().hex[:8]}"
    named = {"connect_args": {"server_settings": {"application_name": name}}}
    made = []
    async with open_database(postgres_url) as engine, open_database(postgres_url, **named) as victim:
        sa.event.listen(victim.sync_engine, "connect", lambda *connection: made.append(connection))

        async def end_each():
            while True:
                await until(lambda: running(engine, mark))
                await end_connections(engine, name)

        async with create_task_group() as tasks:
            tasks.start_soon(end_each)
            with (
                fail_after(PATIENCE),
                pytest.raises(ConnectionError, match=r"^the connection to the database was"),
            ):
                await sleeping(victim, mark).load_many(["a"])
            tasks.cancel_scope.cancel()

        assert len(made) == 2
        assert await execute(victim, "SELECT 1") == [(1,)]


# Behind a cache.


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


async def test_a_timeout_of_the_cache_leaves_nothing_running_in_the_server(postgres_url):  # noqa: F811
    mark = f"m{uuid.uuid4().hex}"
    async with open_database(postgres_url) as engine:
        source = sleeping(engine, mark, timeout=0.1)
        async with BackfillCache(source, load=LoadPolicy(timeout=0.1)) as cache:
            with pytest.raises(LoadError):
                await cache.get("a")

        async def is_gone():
            return not await running(engine, mark)

        await until(is_gone)
