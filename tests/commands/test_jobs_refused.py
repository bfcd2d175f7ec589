"""What operators of jobs get wrong, and states that cannot be used: one line, exit code 2, nothing lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from async_backfill._commands.cli import main
from async_backfill._common import sqlite_file
from async_backfill._jobs._state import file
from tests.command_line import ROOT
from tests.commands.operating import change, job_file, products

HASH = "0" * 64
BYTES = "f\udcfcr"  # Latin-1, as Python shows bytes of the command line that are not UTF-8

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def rows():
    return 10


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A state with one job, which was planned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("planned"))
        products(10)
        assert main(["jobs", "plan", job_file()]) == 0
        return Path("jobs.sqlite").absolute()


def kept_in(path):
    """What a state holds, but for when this machine has used it."""
    with closing(sqlite3.connect(path)) as db:
        return [line for line in db.iterdump() if not line.startswith('INSERT INTO "host"')]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["approve", "1", "--plan", HASH, "--reason", "x"], "has the plan "),
        (["approve", "1", "--reason", "x"], "--plan"),
        (["approve", "1", "--plan", HASH], "--reason"),
        (["approve", "1", "--plan", HASH, "--reason", "x", "--for", "soon"], "--for"),
        (["approve", "1", "--plan", HASH, "--reason", "x", "--rows", "5e6"], "--rows"),
        (["run", "2"], "there is no job 2"),
        (["run", "seven"], "is not a whole number"),
        (["run", "9" * 30], "is not a whole number"),
        (["run", "-1"], "-1"),
        (["run"], "ID"),
        (["run", "1", "--wait"], "--wait"),
        (["work", "1"], "is planned"),
        (["resume", "1"], "approve it with: python -m async_backfill jobs approve 1 --plan "),
        (["pause", "1"], "is planned"),
        (["revoke", "1"], "has no approval"),
        (["verify", "1"], "there is nothing to verify"),
        (["verify", "1", "--sample", "2.5"], "neither a share"),
        (["verify", "1", "--sample", "0"], "neither a share"),
        (["verify", "1", "--all", "--sample", "0.1"], "--all: is for all rows"),
        (["dry-run", "1", "--rows", "0"], "--rows: must be at least 1"),
        (["set", "1"], "nothing to set: say rate=NUMBER"),
        (["set", "1", "speed=3"], '"speed=3": expected rate=NUMBER'),
        (["set", "1", "rate"], '"rate": expected rate=NUMBER'),
        (["set", "1", "rate=fast"], 'rate: must be a number or "none", not "fast"'),
        (["set", "1", "rate=0"], "rate: "),
        (["set", "1", "rate=-1"], "rate: "),
        (["set", "1", "rate=nan"], "rate: "),
        (["set", "1", "batch=1.5"], 'batch: must be a whole number or "auto"'),
        (["set", "1", "lanes=auto"], "lanes: must be a whole number, not"),
        (["set", "1", "lanes=0"], "lanes: "),
        (["set", "1", "lanes=1000000"], "lanes: must be at most"),
        (["set", "1", "pages=many"], 'pages: must be a whole number or "none", not "many"'),
        (["set", "1", "pages=3"], "pages: needs a budget"),
        (["set", "1", "rate=1", "rate=2"], "rate: is given twice"),
        (["pause", "1", "--by", " "], "the name is empty"),
        (["pause", "1", "--reason", BYTES], "--reason: holds bytes that are not UTF-8"),
        (["panic", "--reason", BYTES], "--reason: holds bytes that are not UTF-8"),
        (["approve", "1", "--plan", HASH, "--reason", BYTES], "--reason: holds bytes that are not UTF-8"),
        (["approve", "1", "--plan", HASH, "--reason", "x", "--by", BYTES], "--by: holds bytes"),
        (["dead", "1", "--retry", "--by", BYTES], "--by: holds bytes that are not UTF-8"),
        (["plan", "job.json", "--by", BYTES], "--by: holds bytes that are not UTF-8"),
        (["plan", "job.json", "--budget", f"redis://{BYTES}"], "--budget: holds bytes"),
        (["run", "1", "--dask", BYTES], "--dask: holds bytes that are not UTF-8"),
        (["set", "1", f"rate={BYTES}"], "SETTINGS: holds bytes that are not UTF-8"),
        (["ls", "--state", f"postgresql://{BYTES}@127.0.0.1:1/x"], "--state: holds bytes"),
        (["ls", "--state", BYTES], "there is no such state of jobs"),
        (["plan", BYTES], "cannot be read"),
        (["stop", "1"], "stop"),
        (["status", "1", "--state", "."], "no regular file"),
        (["status", "1", "--state", "missing.sqlite"], "there is no such state of jobs"),
        (["plan", "missing.json"], "missing.json: cannot be read"),
        (["plan", "."], "is a directory"),
        (["plan", "shop.db"], "shop.db"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_refused_in_one_line_and_changes_nothing(jobs, planned, words, told):
    before = kept_in(planned)
    assert told in jobs.refused(*words, *(() if "--state" in words else ("--state", str(planned))))
    assert kept_in(planned) == before
    assert not Path("missing.sqlite").exists()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"speed": 3}, "$.speed: unknown"),
        ({"guard": "luck"}, "$.guard"),
        ({"rate": -1}, "$.rate"),
        ({"source": {"kind": "http", "url": "http://h/{key}"}}, "cannot be read in ranges"),
        ({"store": {"kind": "redis", "url": "redis://h", "ttl": 3}}, "$.store.ttl"),
        ({"throttle": {"hour": "22:00-06:00"}}, "$.throttle.hour"),
        ({"url": "sqlite:///none/shop.db"}, "none"),
        ({"table": "prices"}, "no such table: prices"),
        ({"url": "sqlite:///${NO_SUCH_VARIABLE}.db"}, "NO_SUCH_VARIABLE"),
        ({"url": "postgresql://app:secret@db/shop"}, "password"),
    ],
    ids=str,
)
def test_a_job_file_that_is_wrong_is_refused_and_names_the_place(jobs, changed, told):
    line = jobs.refused("plan", job_file(**changed))
    assert told in line
    assert "secret" not in line


def test_a_value_of_the_environment_is_shown_nowhere(jobs, monkeypatch):
    monkeypatch.setenv("FOLDER", "v4ult")
    Path("v4ult").mkdir()
    products(10, "v4ult/shop.db")
    code, out, err = jobs("plan", job_file(url="sqlite:///${FOLDER}/shop.db"))
    assert (code, err) == (0, "")
    assert "${FOLDER}/shop.db" in out
    printed = [out, *(jobs(*words)[1] for words in (["status", "1", "--json"], ["log", "1"], ["ls"]))]
    Path("v4ult/shop.db").unlink()
    printed.append(jobs.refused("dry-run", "1"))
    assert not [text for text in printed if "v4ult" in text]


def test_a_state_of_another_version_is_left_as_it_is(jobs):
    jobs.planned()
    change("jobs.sqlite", "PRAGMA user_version = 9")
    before = Path("jobs.sqlite").read_bytes()
    assert "jobs.sqlite: its format is 9, this release has 3" in jobs.refused("status", "1")
    assert Path("jobs.sqlite").read_bytes() == before


def test_a_file_that_is_no_state_is_left_as_it_is(jobs):
    Path("jobs.sqlite").write_text("name,price\n" * 200)
    assert "it is no state of jobs: name another file" in jobs.refused("plan", job_file())
    assert Path("jobs.sqlite").read_text() == "name,price\n" * 200


def test_a_state_on_a_network_disk_is_refused(jobs, monkeypatch):
    monkeypatch.setattr(file, "network_of", lambda _: "nfs4")
    assert "it is on a network file system (nfs4)" in jobs.refused("plan", job_file())


def test_a_state_that_another_process_keeps_locked_is_refused_after_a_while(jobs, monkeypatch):
    jobs.planned()
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.05)
    with closing(sqlite3.connect("jobs.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "another process has kept it locked" in jobs.refused("status", "1")
    assert jobs.data("status", "1")["status"] == "planned"


LIMITED = """
import os, resource, signal, sys
from async_backfill._commands.cli import main
import async_backfill.jobs
if sys.argv[1] == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
elif os.geteuid() == 0:
    os.setuid(65_534)  # root may write everything
sys.exit(main(["jobs", *sys.argv[2:]]))
"""


@pytest.mark.parametrize(
    ("limit", "told"), [("full", "its disk does not read or write"), ("read", "written")]
)
def test_a_state_that_is_full_or_read_only_is_refused_and_loses_nothing(jobs, limit, told):
    job, plan = jobs.planned()
    approve = ["approve", job, "--plan", plan, "--reason", "x" * (100_000 if limit == "full" else 1)]
    with tempfile.TemporaryDirectory() as folder:  # which the user without rights may enter
        Path(folder).chmod(0o755)
        state = Path(folder) / "jobs.sqlite"
        state.write_bytes(Path("jobs.sqlite").read_bytes())
        state.chmod(0o444 if limit == "read" else 0o600)
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, limit, *approve, "--by", "ada", "--state", state],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
        assert len(jobs.data("log", job, "--state", str(state))["lines"]) == 1
