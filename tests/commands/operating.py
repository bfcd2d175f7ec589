"""What the tests of ``jobs`` share: rows in SQLite, job files, and verbs that are run as an operator does."""

from __future__ import annotations

import json
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

from async_backfill._commands.cli import main

PROGRAM = "python -m async_backfill "


def products(count=300, file="shop.db"):
    """Make a table of so many rows, whose keys are text."""
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT, price INTEGER)")
        rows = [(f"k{number:05}", f"name {number}", number) for number in range(count)]
        db.executemany("INSERT INTO products VALUES (?, ?, ?)", rows)


def change(file, statement, *values):
    with closing(sqlite3.connect(file)) as db, db:
        return db.execute(statement, values).fetchall()


def job_file(name="job.json", *, url="sqlite:///shop.db", table="products", **changed):
    """Write a job of the table into the embedded default store."""
    source = {"kind": "sql", "url": url, "table": table, "key": "id", "value": ["name", "price"]}
    Path(name).write_text(json.dumps({"name": "products", "shards": 3, "source": source, **changed}), "utf-8")
    return name


class Operator:
    """Types verbs, and reads what they print."""

    def __init__(self, capsys):
        self._capsys = capsys

    def __call__(self, *words):
        """Return the exit code, standard output and standard error of ``jobs`` with these words."""
        self._capsys.readouterr()
        code = main(["jobs", *words])
        return code, *self._capsys.readouterr()

    def said(self, *words, code=0):
        """Return what a verb printed that ended with ``code``, in one line."""
        ended, out, err = self(*words)
        assert (ended, err) == (code, "")
        return " ".join(out.split())

    def refused(self, *words, code=2):
        """Return the one line of a verb that was refused."""
        ended, out, err = self(*words)
        assert (ended, out) == (code, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert err[:-1].isprintable()
        return err[:-1]

    def data(self, *words, code=0):
        """Return the object that a verb prints for programs."""
        ended, out, err = self(*words, "--json")
        assert (ended, err) == (code, "")
        found = json.loads(out)
        assert isinstance(found, dict)
        return found

    def type(self, line):
        """Type a whole command, as it was printed."""
        words = shlex.split(line.removeprefix(PROGRAM))
        assert line.startswith(PROGRAM)
        self._capsys.readouterr()
        code = main(words)
        return code, *self._capsys.readouterr()

    def planned(self, **changed):
        """Plan a job of the table, and return its number and the hash of its plan."""
        job = self.data("plan", job_file(**changed))
        return str(job["id"]), job["plan_hash"]

    def approved(self, **changed):
        job, plan = self.planned(**changed)
        self.said("approve", job, "--plan", plan, "--by", "bob", "--reason", "new prices")
        return job

    def done(self, **changed):
        job = self.approved(**changed)
        self.said("run", job)
        return job
