"""Scenarios whose keys are no text: the keys of the source decide how lookups are read."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import sqlite3
import uuid
from urllib.parse import urlsplit

import pytest

from async_backfill import ScenarioError
from async_backfill._runner.replay.job import run
from async_backfill._runner.replay.preparing import Job
from async_backfill._runner.scenario.first_answer import SourceFailedError
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def replayed(tmp_path):
    """Write a scenario, run it, and return its summary as written."""

    async def run_it(journal=None, **document):
        scenario = tmp_path / "scenario.json"
        scenario.write_text(json.dumps(document))
        output = tmp_path / "out.json"
        await run(Job(scenario=str(scenario), output=str(output), journal=journal), lambda *_: None)
        return json.loads(output.read_text("utf-8"))

    return run_it


@pytest.fixture
def shop(tmp_path):
    """Make a SQLite database with a table ``p`` of 50 rows; return its URL."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("create table p (id integer primary key, name text)")
        database.executemany("insert into p values (?, ?)", [(n, f"n{n}") for n in range(1, 51)])
    database.close()
    return f"sqlite:///{path}"


def found(summary):
    return [(result["key"], result["value"]) for result in summary["lookup_results"]]


async def test_lookups_of_a_table_with_whole_numbers_are_read_as_such(replayed, shop):
    source = {"kind": "sql", "url": shop, "table": "p", "key": "id", "value": "name"}
    summary = await replayed(source=source, lookups=["1", 2, "3", "4", "1", "99"])

    assert found(summary) == [(1, "n1"), (2, "n2"), (3, "n3"), (4, "n4"), (1, "n1"), (99, None)]
    assert summary["failed"] == 0
    assert summary["hits"] > 0


async def test_a_backfill_loads_keys_that_lookups_can_hit(replayed, shop):
    source = {"kind": "sql", "url": shop, "table": "p", "key": "id", "value": "name"}
    lookups = [str(number) for number in range(1, 41)]
    summary = await replayed(source=source, lookups=lookups, backfill_batch=50)

    assert summary["backfills"] == 1
    assert summary["hits"] > 30


@pytest.mark.parametrize(
    ("column", "key", "other"),
    [
        ("uuid", uuid.UUID(int=7), uuid.UUID(int=8)),
        ("date", dt.date(2026, 3, 1), dt.date(2026, 3, 2)),
        ("numeric(10, 2)", decimal.Decimal("7.50"), decimal.Decimal("8.25")),
        ("bigint", 7, 8),
    ],
)
async def test_keys_of_postgresql_have_the_type_of_their_column(
    replayed, postgres_url, monkeypatch, column, key, other
):
    asyncpg = pytest.importorskip("asyncpg")
    name = f"typed_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(f"create table {name} (id {column} primary key, v text)")
        await connection.executemany(
            f"insert into {name} values ($1, $2)",  # noqa: S608 - a name made here
            [(key, "one"), (other, "two")],
        )
        password = urlsplit(postgres_url).password
        monkeypatch.setenv("THE_PASSWORD", password)
        url = postgres_url.replace(f":{password}@", ":${THE_PASSWORD}@")
        source = {"kind": "sql", "url": url, "table": name, "key": "id", "value": "v"}
        summary = await replayed(source=source, lookups=[str(other), str(key), str(other)])
    finally:
        await connection.execute(f"drop table if exists {name}")
        await connection.close()

    assert [value for _, value in found(summary)] == ["two", "one", "two"]
    assert summary["failed"] == 0


@pytest.mark.parametrize("kind", ["table", "file"])
async def test_json_lines_with_whole_numbers_as_keys_need_no_setting(replayed, tmp_path, kind):
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "v": 2}\n{"id": 3, "v": 4}\n')
    summary = await replayed(source={"kind": kind, "file": "rows.jsonl", "key": "id"}, lookups=["3", 1])

    assert found(summary) == [(3, {"v": 4}), (1, {"v": 2})]


@pytest.mark.parametrize("kind", ["table", "file"])
async def test_the_type_of_keys_in_csv_is_said(replayed, tmp_path, kind):
    (tmp_path / "rows.csv").write_text("id,v\n1,a\n20,b\n")
    source = {"kind": kind, "file": "rows.csv", "key": "id", "value": "v", "key_type": "int"}

    assert found(await replayed(source=source, lookups=["20", "01"])) == [(20, "b"), (1, "a")]


@pytest.mark.parametrize(
    ("lookups", "place"),
    [
        (["1", "x"], '$.lookups[1]: "x" cannot be a key of the source, expected a whole number'),
        ({"file": "keys"}, '$.lookups: keys:2: "1.5" cannot be a key of the source, expected a whole number'),
        (
            {"kind": "zipf", "count": 3, "keys": 2},
            "$.lookups.kind: makes keys such as key_0, the source expects a whole number",
        ),
    ],
)
async def test_a_lookup_that_cannot_be_a_key_is_refused_with_its_line(
    replayed, shop, tmp_path, lookups, place
):
    (tmp_path / "keys").write_text("1\n1.5\n")
    source = {"kind": "sql", "url": shop, "table": "p", "key": "id", "value": "name"}
    with pytest.raises(ScenarioError) as refused:
        await replayed(source=source, lookups=lookups)

    assert str(refused.value).replace(f"{tmp_path}/", "").removeprefix("scenario.json: ") == place


async def test_another_type_than_that_of_the_keys_is_refused(replayed, shop):
    source = {"kind": "sql", "url": shop, "table": "p", "key": "id", "value": "name", "key_type": "str"}
    with pytest.raises(ScenarioError, match=r"\$\.source\.key_type: is str, but the keys are int"):
        await replayed(source=source, lookups=["1"])


async def test_a_journal_of_whole_numbers_warms_a_table_of_them(replayed, shop, tmp_path):
    journal = JournalFile(tmp_path / "hot")
    await journal.save(Heats(keys={number: 50.0 - number for number in range(1, 21)}, hit_rate=None))
    journal.close()
    source = {"kind": "sql", "url": shop, "table": "p", "key": "id", "value": "name"}
    lookups = [str(number) for number in range(1, 21)]
    summary = await replayed(
        str(tmp_path / "hot"),
        source=source,
        lookups=lookups,
        selection="history",
        capacity=20,
        backfill_batch=20,
    )

    assert summary["hits"] > 10
    assert all(isinstance(key, int) for key in (await JournalFile(tmp_path / "hot").load()).keys)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"table": "typo"}, id="no such table"),
        pytest.param({"value": "typo"}, id="no such value column"),
        pytest.param({"key": "typo"}, id="no such key column"),
    ],
)
@pytest.mark.parametrize("count", [3, 1001])
async def test_a_source_that_cannot_answer_ends_the_run_and_keeps_the_old_summary(
    replayed, shop, tmp_path, changed, count
):
    (tmp_path / "out.json").write_text("OLD")
    source = {"kind": "sql", "url": shop, "table": "p", "key": "id", "value": "name", **changed}
    with pytest.raises(SourceFailedError, match="typo"):
        await replayed(source=source, lookups=[str(number) for number in range(count)])

    assert (tmp_path / "out.json").read_text() == "OLD"


async def test_a_service_that_nobody_answers_for_ends_the_run(replayed, tmp_path, unused_tcp_port):
    pytest.importorskip("aiohttp")
    url = f"http://127.0.0.1:{unused_tcp_port}/{{key}}"
    with pytest.raises(SourceFailedError, match="2 of 2 lookups failed, more than --max-failed"):
        await replayed(source={"kind": "http", "url": url}, lookups=["a", "b"])

    assert not (tmp_path / "out.json").exists()
