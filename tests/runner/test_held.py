"""Files and databases that are read into memory once: for `tune`, and for virtual time."""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
from pathlib import Path

import pytest

from async_backfill._commands.cli import main
from async_backfill._runner.scenario.decode import decode
from async_backfill._runner.scenario.environment import Secrets
from async_backfill._runner.scenario.held import hold
from async_backfill._runner.scenario.model import FileSpec, SQLSpec
from async_backfill._runner.tuning.reading import read_workload
from async_backfill.errors import ScenarioError
from tests.command_line import work_in

ROWS = [(number, f"name {number}") for number in range(1200)]
FILE = {"kind": "file", "file": "rows.csv", "key": "id", "value": "name", "key_type": "int"}
LOOKUPS = [str(number * number % 1500) for number in range(200)]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own with the same rows in a file and in a database."""
    work_in(tmp_path, monkeypatch)
    with Path("rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "name"), *ROWS])
    with contextlib.closing(sqlite3.connect("rows.db")) as database, database:
        database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT)")
        database.executemany("INSERT INTO rows VALUES (?, ?)", ROWS)
    return tmp_path


def sql(folder: Path) -> dict:
    url = f"sqlite+aiosqlite:///{folder}/rows.db"
    return {"kind": "sql", "url": url, "table": "rows", "key": "id", "value": "name"}


def write(source: dict, **settings: object) -> None:
    Path("held.json").write_text(json.dumps({"source": source, "lookups": LOOKUPS, **settings}))


def summary(*options: str) -> dict:
    assert main(["--input", "held.json", "--output", "out.json", *options]) == 0
    return json.loads(Path("out.json").read_text())


@pytest.mark.parametrize("kind", ["file", "sql"])
def test_virtual_time_gives_the_figures_and_values_of_real_time(folder, capsys, kind):
    write(FILE if kind == "file" else sql(folder), capacity=50, miss_threshold=0.9)
    real = summary()
    capsys.readouterr()
    virtual = summary("--virtual-time")
    first = capsys.readouterr().out.splitlines()[0]

    what = "file" if kind == "file" else "table"
    assert first == (
        f"source: all 1,200 rows of the {what} were read into memory first; they take no virtual time"
    )
    timed = {"virtual_seconds", "latency_p50", "latency_p99"}
    assert {name: value for name, value in virtual.items() if name not in timed} == real


@pytest.mark.anyio
async def test_tune_reads_the_keys_of_a_file_or_a_table_once_and_says_so(folder):
    table = {"kind": "table", **{name: FILE[name] for name in ("file", "key", "value", "key_type")}}

    async def read(source):
        scenario = decode({"source": source, "lookups": LOOKUPS}, "s")
        return await read_workload("s", scenario, folder, Secrets())

    held, told = await read(table)
    assert told == []
    for source, what in ((FILE, "file"), (sql(folder), "table")):
        workload, told = await read(source)
        assert workload == held
        assert told == [f"source: all 1,200 keys of the {what} were read into memory first"]


def test_tune_says_when_a_source_has_no_key_that_is_not_looked_up(capsys):
    lookups = {"kind": "zipf", "count": 30, "keys": 9}
    Path("held.json").write_text(
        json.dumps({"source": {"kind": "simulated", "keys": "lookups"}, "lookups": lookups})
    )
    assert main(["tune", "--input", "held.json", "--jobs", "1", "--trials", "2"]) == 0
    assert "the source has no key that is not looked up" in capsys.readouterr().out


@pytest.mark.anyio
@pytest.mark.parametrize("most", [1199, 1200])
async def test_a_source_of_too_many_keys_is_refused_before_it_fills_memory(folder, most):
    fields = sql(folder)
    del fields["kind"]
    for spec in (SQLSpec(**fields), FileSpec(file="rows.csv", key="id", value="name")):
        if most == 1200:
            entries, _ = await hold(spec, folder, Secrets(), values=True, most=most)
            assert list(entries.values()) == [name for _, name in ROWS]
        else:
            with pytest.raises(ScenarioError, match="has more than 1,199 keys, which must fit into memory"):
                await hold(spec, folder, Secrets(), values=True, most=most)


@pytest.mark.parametrize("command", [["tune"], ["--output", "out.json", "--virtual-time"]])
@pytest.mark.parametrize(
    ("source", "code", "problem"),
    [
        ({"kind": "http", "url": "http://127.0.0.1:9/{key}"}, 2, "$.source: lists no keys"),
        ({"kind": "sql", "url": "URL", "table": "no", "key": "id", "value": "name"}, 1, "no such table"),
        ({**FILE, "key": "no"}, 2, 'no column "no"'),
    ],
)
def test_a_source_that_cannot_be_read_ends_the_command_in_one_line(
    folder, capsys, command, source, code, problem
):
    write({**source, "url": sql(folder)["url"]} if source.get("url") == "URL" else source)
    assert main([*command, "--input", "held.json"]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: held.json: ")
    assert problem in line
    assert not Path("out.json").exists()


def test_a_store_that_processes_share_stays_in_real_time(capsys):
    write(FILE, store={"kind": "redis", "url": "redis://127.0.0.1:9"})
    assert main(["--input", "held.json", "--output", "out.json", "--virtual-time"]) == 2
    assert "$.store: works in real time only: leave out --virtual-time" in capsys.readouterr().err
