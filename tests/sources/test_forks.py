"""Sources whose connections were made before a fork, or in another event loop."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from async_backfill.sources.sql import SQLSource, open_database
from tests.forked import printed_by
from tests.sources.sql_tables import execute

no_forks = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
ONE_ROW = (
    sa.text("SELECT 1 AS id, 2 AS name").columns(sa.column("id", sa.Integer), sa.column("name")).subquery()
)


@pytest.fixture
def rows_file(tmp_path):
    """A file of SQLite with a table of rows."""
    path = tmp_path / "rows.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", [(f"k{n}", f"{n}") for n in range(50)])
    connection.close()
    return path


SQL = """
    import gc
    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import create_async_engine
    from async_backfill.sources.sql import SQLSource

    generated = "SELECT 'k' || n AS id, n::text AS name FROM generate_series(0, 49) AS n"
    columns = sa.column("id", sa.Text), sa.column("name", sa.Text)
    tables = ["rows", sa.text(generated).columns(*columns).subquery()]
    engines = [create_async_engine(url, pool_size=1, max_overflow=0) for url in sys.argv[1:]]

    def made():
        return [
            SQLSource(engine, table, key="id", value="name")
            for engine, table in zip(engines, tables, strict=True)
            for _ in range(2)
        ]

    sources = made()

    async def use(sources=sources):
        for start in range(0, 45, 4):
            keys = [f"k{number}" for number in range(start, start + 5)]
            all = await asyncio.gather(*[source.load_many(keys) for source in sources])
            assert all == [{key: key[1:] for key in keys}] * 4, all
        return "right"

    async def use_others():
        for _ in range(2):
            told = await use(made())
            for engine in engines:
                await engine.dispose()
            gc.collect()
        return told

    memory = create_async_engine("sqlite+aiosqlite://")

    async def use_memory():
        row = sa.text("SELECT 1 AS id, 'right' AS name").columns(sa.column("id"), sa.column("name"))
        return (await SQLSource(memory, row.subquery(), key="id", value="name").load_many([1]))[1]

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    loop.run_until_complete(use_memory())
    uses = use, use, use_others, use_others, use_memory
    workers = [in_child(lambda: asyncio.run(used())) for used in uses]
    print(loop.run_until_complete(use()))
    for told in workers:
        print(told())
    for engine in [*engines, memory]:
        loop.run_until_complete(engine.dispose())
    loop.close()
"""


@no_forks
def test_an_engine_that_was_used_before_a_fork_works_in_each_process(rows_file, postgres_url):
    server = postgres_url.replace("postgresql://", "postgresql+asyncpg://")

    assert printed_by(SQL, f"sqlite+aiosqlite:///{rows_file}", server) == ["right"] * 6


def test_an_engine_in_use_in_an_event_loop_is_refused_in_another(postgres_url):
    opening = open_database(postgres_url)

    async def opened():
        return await opening.__aenter__()

    first, second = asyncio.SelectorEventLoop(), asyncio.SelectorEventLoop()
    engine = first.run_until_complete(opened())
    source, other = (SQLSource(engine, ONE_ROW, key="id", value="name") for _ in range(2))

    assert first.run_until_complete(source.load_many([1])) == {1: 2}
    for elsewhere in (source, other):
        with pytest.raises(RuntimeError, match=r"used in another event loop.*one engine for each"):
            second.run_until_complete(elsewhere.load_many([1]))
    assert first.run_until_complete(source.load_many([1])) == {1: 2}
    first.run_until_complete(opening.__aexit__(None, None, None))
    for loop in (first, second):
        loop.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # an event loop ends before its connections
def test_sources_of_one_engine_work_in_one_event_loop_after_another(postgres_url):
    engine = create_async_engine(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    sources = [SQLSource(engine, ONE_ROW, key="id", value="name") for _ in range(3)]

    async def use(*numbers):
        return [await sources[number].load_many([1]) for number in numbers]

    async def end():
        found = await use(2, 1, 0)
        await engine.dispose()
        return found

    for numbers in [(0,), (1,), (0, 1), (0,), (1,)]:
        assert asyncio.run(use(*numbers)) == [{1: 2}] * len(numbers)
    assert asyncio.run(end()) == [{1: 2}] * 3
    gc.collect()  # while they are ignored


def test_a_database_in_memory_stays_in_one_event_loop_after_another():
    engine = create_async_engine("sqlite+aiosqlite://")
    source = SQLSource(engine, "rows", key="id", value="name")

    async def fill():
        await execute(engine, "CREATE TABLE rows (id INTEGER, name TEXT)")
        await execute(engine, "INSERT INTO rows VALUES (1, 'one')")
        return await source.load_many([1])

    async def read():
        found = await source.load_many([1])
        await engine.dispose()
        return found

    assert asyncio.run(fill()) == asyncio.run(read()) == {1: "one"}


HTTP = """
    from async_backfill.sources.http import HTTPSource

    source = HTTPSource("http://127.0.0.1:" + sys.argv[1] + "/{key}")

    async def use():
        for number in range(15):
            keys = [f"k{number}", f"k{number + 1}"]
            assert await source.load_many(keys) == {key: key for key in keys}
        return "right"

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    workers = [in_child(lambda: asyncio.run(use())) for _ in range(2)]
    print(loop.run_until_complete(use()))
    for told in workers:
        print(told())
    print(in_child(lambda: asyncio.run(source.aclose()))())
    print(loop.run_until_complete(use()))
    loop.run_until_complete(source.aclose())
    loop.close()
"""


@pytest.fixture
def service():
    """The port of a service whose value of a key is the key, and that keeps its connections."""

    class Echo(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one piece

        def do_GET(self):
            body = json.dumps(self.path[1:]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

        def handle(self):
            with suppress(ConnectionResetError):  # a process has ended
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@no_forks
def test_an_http_source_that_was_used_before_a_fork_works_in_each_process(service):
    assert printed_by(HTTP, str(service)) == ["right", "right", "right", "None", "right"]
