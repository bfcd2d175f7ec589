"""No command writes to the file of a database that it reads, whatever that file is called."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from async_backfill._commands.cli import main
from tests.command_line import names_here, work_in

pytest.importorskip("aiosqlite", reason="databases need the extra sql")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own, beside one with a database."""
    (tmp_path / "here").mkdir()
    (tmp_path / "data").mkdir()
    work_in(tmp_path / "here", monkeypatch)
    with closing(sqlite3.connect("../data/shop.db")) as db, db:
        db.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT)")
        rows = [(number, f"P {number}") for number in range(50)]
        db.executemany("INSERT INTO products VALUES (?, ?)", rows)
    os.link("../data/shop.db", "linked.db")
    Path("link.db").symlink_to("../data/shop.db")
    Path("../data/shop.db-wal").touch()
    return tmp_path


def reading(url):
    """Write a scenario that reads the database at that URL."""
    source = {"kind": "sql", "url": url, "table": "products", "key": "id", "value": "name"}
    Path("s.json").write_text(json.dumps({"source": source, "lookups": [1, 2, 3]}), "utf-8")


def refusal(capsys, *words):
    """The complaint of a command that did nothing else."""
    before, content = names_here(), Path("../data/shop.db").read_bytes()
    assert main(words) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n"), names_here()) == ("", 1, before)
    assert Path("../data/shop.db").read_bytes() == content
    return printed.err


WRITING = [
    ["--output", "../data/shop.db"],
    ["--output", "../data/shop.db", "--virtual-time"],
    ["--output", "../data/shop.db-wal"],
    ["--output", "new.json", "--report", "../data/shop.db"],
    ["--output", "new.json", "--journal", "../data/shop.db"],
    ["tune", "--output", "../data/shop.db", "--jobs", "1"],
    ["tune", "--plot", "../data/shop.db", "--jobs", "1"],
]


@pytest.mark.parametrize("words", WRITING, ids=" ".join)
def test_no_command_overwrites_the_database_that_it_reads(capsys, words):
    reading("sqlite:///../data/shop.db")
    told = refusal(capsys, *words, "--input", "s.json")
    assert re.fullmatch(r"error: (\S+): would overwrite \1, which this run reads\n", told)


@pytest.mark.parametrize("output", ["linked.db", "link.db", "../here/../data/shop.db"])
@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///../data/shop.db?timeout=5",
        "sqlite+aiosqlite:///{folder}/data/shop.db",
        "sqlite:///link.db",
        "sqlite:///..%2Fdata%2Fshop.db",
        "sqlite:///${SHOP}",
        "sqlite:///file:../data/sh%6Fp.db?mode=ro&uri=true",
        "sqlite:///file:{folder}/data/shop.db?mode=ro&uri=true",
    ],
)
def test_a_database_is_known_by_any_spelling_of_its_name(capsys, folder, monkeypatch, url, output):
    monkeypatch.setenv("SHOP", "../data/shop.db")
    reading(url.replace("{folder}", str(folder)))
    assert "would overwrite " in refusal(capsys, "--input", "s.json", "--output", output)


@pytest.mark.parametrize("more", [(), ("--virtual-time",)])
def test_a_path_of_the_environment_may_be_absolute_and_is_not_shown(capsys, folder, monkeypatch, more):
    path = str(folder / "data" / "shop.db")
    monkeypatch.setenv("SHOP", path)
    reading("sqlite:///${SHOP}")

    assert main(["--input", "s.json", "--output", "new.json", *more]) == 0
    capsys.readouterr()
    told = refusal(capsys, "--input", "s.json", "--output", "link.db", *more)

    assert told == "error: link.db: would overwrite ${SHOP}, which this run reads\n"


def test_a_database_that_is_not_there_is_told_as_before(capsys, monkeypatch):
    monkeypatch.delenv("SHOP", raising=False)
    reading("sqlite:///${SHOP}")
    told = refusal(capsys, "--input", "s.json", "--output", "new.json")
    assert told.endswith("$.source.url: the environment variable SHOP is not set\n")
