"""A source makes no SQLite file: what is not there is an error that names it."""

from __future__ import annotations

import json
import sqlite3
import threading

import pytest

from async_backfill import ConfigurationError
from async_backfill._commands.cli import main

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
from async_backfill.sources.sql import SQLSource, open_database
from tests.sources.sql_tables import execute, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)")
        connection.execute("INSERT INTO t VALUES ('a', 'x')")
    connection.close()


async def driver_has_ended():
    """Whether no thread of aiosqlite is left that would tell its result to a loop that is closed."""
    return not any("_connection_worker_thread" in thread.name for thread in threading.enumerate())


@pytest.mark.parametrize("name", ["plain.db", "50% of ü#&.db"])
async def test_a_source_reads_a_file_and_makes_none(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for url in (f"sqlite:///{tmp_path / name}", f"sqlite:///{name}"):
        with pytest.raises(ConfigurationError, match=r"^url: there is no database file /.*\.db$") as refused:
            async with SQLSource.connect(url, "t", key="id", value="v"):
                pass
        assert str(refused.value).endswith(f"{tmp_path / name}")
    assert list(tmp_path.iterdir()) == []

    database(tmp_path / name)
    for url in (f"sqlite:///{tmp_path / name}", f"sqlite:///{name}"):
        async with SQLSource.connect(url, "t", key="id", value="v") as source:
            assert await source.load_many(["a"]) == {"a": "x"}


async def test_a_file_that_goes_away_is_not_made_again(tmp_path):
    database(tmp_path / "rows.db")
    async with SQLSource.connect(f"sqlite:///{tmp_path / 'rows.db'}", "t", key="id", value="v") as source:
        (tmp_path / "rows.db").unlink()
        with pytest.raises(
            ConnectionError, match=r"^no connection to the database at /.*rows\.db: unable to open"
        ):
            await source.load_many(["a"])

    await until(driver_has_ended)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_a_database_in_memory_is_no_file(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    async with SQLSource.connect(url, "t", key="id", value="v") as source:
        with pytest.raises(ConfigurationError, match=r"^table: no such table: t$"):
            await source.load_many(["a"])
    async with open_database("sqlite:///made.db") as engine:
        await execute(engine, "SELECT 1")

    assert [path.name for path in tmp_path.iterdir()] == ["made.db"]


def test_a_scenario_makes_no_database(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = {"kind": "sql", "url": "sqlite:///no.db", "table": "t", "key": "id", "value": "v"}
    (tmp_path / "in.json").write_text(json.dumps({"source": source, "lookups": ["a"]}))

    assert main(["--input", "in.json", "--output", "out.json"]) == 2
    place = "error: in.json: $.source.url: there is no database file"
    assert capsys.readouterr().err == f"{place} {tmp_path / 'no.db'}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]
