"""A whole durable job on one machine, without a server: ``python -m docs.examples.whole_job [FOLDER]``.

It makes a database of SQLite with the weather of New York's airports in 2013, 26,115 real rows, and a job
file that copies them into a store that caches can share. Then it plans, approves, runs and verifies that job
from the command line, as operators do. All of it lies in FOLDER, or in a temporary one that is removed at the
end. It needs the extra ``sql``.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import shlex
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

WEATHER = Path(__file__).parents[2] / "data" / "weather.csv.gz"
JOB = """\
name = "weather"
ttl = 3600.0

[source]
kind = "sql"
url = "sqlite:///weather.db"
table = "weather"
key = "key"
value = ["temp", "humid", "pressure"]

[store]
kind = "sqlite"
file = "cache.db"
"""


def prepare(folder: Path, most: int | None = None) -> Path:
    """Make the database, of ``most`` rows or all, and the job file in ``folder``; return the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        gzip.open(WEATHER, "rt", encoding="utf-8") as lines,
        closing(sqlite3.connect(folder / "weather.db")) as db,
    ):
        rows = [
            (
                row["key"],
                *(None if row[name] == "NA" else row[name] for name in ("temp", "humid", "pressure")),
            )
            for row in csv.DictReader(lines)
        ]
        db.execute(
            "CREATE TABLE IF NOT EXISTS weather (key TEXT PRIMARY KEY, temp REAL, humid REAL, pressure REAL)"
        )
        db.executemany("INSERT OR REPLACE INTO weather VALUES (?, ?, ?, ?)", rows[:most])
        db.commit()
    job = folder / "job.toml"
    job.write_text(JOB, "utf-8")
    return job


def jobs(*words: str) -> None:
    """Print a command, and run it; end with its exit code when that is not 0."""
    print(f"\n$ {shlex.join(['python', '-m', 'async_backfill', 'jobs', *words])}", flush=True)
    code = subprocess.run([sys.executable, "-m", "async_backfill", "jobs", *words], check=False).returncode
    if code:
        sys.exit(code)


def planned() -> tuple[str, str]:
    """Return the number and the hash of the job that was planned last, as a script asks for them."""
    command = [sys.executable, "-m", "async_backfill", "jobs", "ls", "--json"]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    job = json.loads(answer)["jobs"][-1]
    return str(job["id"]), job["plan_hash"]


def main(folder: Path) -> None:
    """Plan, approve, run and verify a job in ``folder``."""
    job = prepare(folder)
    os.environ["ASYNC_BACKFILL_STATE"] = str(folder / "jobs.sqlite")
    print(f"$ export ASYNC_BACKFILL_STATE={shlex.quote(os.environ['ASYNC_BACKFILL_STATE'])}")
    jobs("plan", str(job), "--by", "ada")
    number, plan_hash = planned()
    jobs("approve", number, "--plan", plan_hash, "--by", "bob", "--reason", "a first job")
    jobs("run", number, "--by", "bob")
    jobs("verify", number, "--all", "--by", "bob")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
