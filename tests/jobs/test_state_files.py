"""The file of a state of jobs: what cannot be used is refused in one line, and nothing in it is lost."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from async_backfill._common import sqlite_file
from async_backfill._jobs._errors import JobRefusedError, JobStateError
from async_backfill._jobs._state.file import StateFile
from async_backfill._jobs._state.file_systems import network_of
from async_backfill._jobs._state.host import this_host
from async_backfill._jobs._state.jobs import find_job, list_jobs
from async_backfill._jobs._state.log import append, first_bad_line, lines
from tests.jobs.state_rows import State


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.sqlite"


def refused(path, match):
    before = path.read_bytes()
    with pytest.raises(JobStateError, match=match) as told:
        State(path)
    assert "\n" not in str(told.value)
    assert str(path) in str(told.value)
    assert path.read_bytes() == before


def kept(path):
    """Close a state with one job at ``path``."""
    state = State(path)
    state.planned()
    state.file.close()


def test_a_file_that_is_not_sqlite_is_refused(path):
    path.write_text("name,price\n" * 200)

    refused(path, "no state of jobs: name another file")


def test_a_database_of_other_software_is_refused(path):
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (a)")

    refused(path, "no state of jobs")


def test_a_state_of_another_version_is_refused(path):
    kept(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 9")

    refused(path, "its format is 9, this release has 3")


def test_a_damaged_state_is_refused(path):
    kept(path)
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)

    refused(path, "damaged|malformed")


def test_a_folder_in_its_place_is_refused(tmp_path):
    with pytest.raises(JobStateError, match="no regular file"):
        State(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(JobStateError, match="missing"):
        State(tmp_path / "missing" / "jobs.sqlite")


OPENED = """
import os, resource, signal, sys
from async_backfill._jobs._errors import JobStateError
from async_backfill._jobs._state.log import append
from tests.jobs.state_rows import State
try:
    if sys.argv[2] == "limited":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    elif os.geteuid() == 0:
        os.setuid(65_534)  # root may write everything
    state = State(sys.argv[1])
    state(append, 1, by="ada", what="note", facts={"text": "x" * 300_000})
except JobStateError as error:
    print(error)
"""


def told_by(path, what):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", OPENED, str(path), what]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_read_only_is_refused(what):
    # Not below the folder of the tests, which others may not enter.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.sqlite"
        kept(path)
        Path(folder).chmod(0o555 if what == "folder" else 0o755)
        path.chmod(0o444 if what == "file" else 0o666)
        told = told_by(path, what)
        Path(folder).chmod(0o700)

    assert told == f"{path}: it cannot be written: look at the rights of the file and of its folder\n"


def test_a_limit_of_the_size_of_files_loses_nothing(path):
    kept(path)

    assert "its disk does not read or write" in told_by(path, "limited")
    state = State(path)
    assert len(state(lines, 1)) == 1
    state.file.close()


def test_a_state_that_was_removed_while_open_is_not_made_anew(path):
    state = State(path)
    state.planned()
    path.unlink()

    for _ in range(2):
        with pytest.raises(JobStateError, match="was removed or replaced"):
            state(list_jobs)
    assert not path.exists()
    state.file.close()


def test_a_full_disk_loses_nothing_and_the_state_goes_on_when_there_is_room(path):
    state = State(path)
    state.planned()
    connection = state.file._connection
    ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(JobStateError, match="the disk is full: make room"):
        state(append, 1, by="ada", what="note", facts={"text": "x" * 100_000})
    assert len(state(lines, 1)) == 1
    state(append, 1, by="ada", what="note", facts={"text": "x" * 100_000})
    assert first_bad_line(state(lines, 1), state(find_job, 1).log_head) is None
    state.file.close()


def test_a_state_that_another_keeps_locked_is_refused_after_a_while(path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.05)
    state = State(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JobStateError, match="kept it locked"):
            state.planned()
    assert state.planned().id == 1
    state.file.close()


MOUNTS = "22 1 {device} / /data rw,relatime shared:1 - {kind} server:/data rw\n"


@pytest.mark.parametrize(("kind", "told"), [("nfs4", "nfs4"), ("cifs", "cifs"), ("overlay", None)])
def test_a_network_file_system_is_told_from_others(tmp_path, kind, told):
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(device=f"{os.major(device)}:{os.minor(device)}", kind=kind))

    assert network_of(str(tmp_path), str(mounts)) == told


def on(host, path, clock):
    return StateFile(str(path), create=True, clock=clock, host=host)


def test_two_machines_on_one_file_are_refused_while_both_are_there(path):
    now = [1_000.0]
    one, other = on("one", path, lambda: now[0]), on("other", path, lambda: now[0])
    with closing(one), closing(other):
        one.transact(list_jobs)
        now[0] += 29.0
        with pytest.raises(JobStateError, match=r"another machine has used it 29 s ago.*PostgreSQL"):
            other.transact(list_jobs)
        one.transact(list_jobs)
        now[0] += 31.0
        other.transact(list_jobs)
        with pytest.raises(JobStateError, match="another machine"):
            one.transact(list_jobs)


def test_a_machine_whose_first_call_was_refused_is_there_nevertheless(path):
    now = [1_000.0]
    one, other = on("one", path, lambda: now[0]), on("other", path, lambda: now[0])
    with closing(one), closing(other):
        one.open()
        with pytest.raises(JobRefusedError):
            one.transact(partial(find_job, job_id=1))
        one.transact(list_jobs)
        with pytest.raises(JobStateError, match="another machine"):
            other.transact(list_jobs)


def test_a_machine_is_known_by_its_kernel_so_containers_are_one(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "container")
    (tmp_path / "boot_id").write_text("abc\n")
    assert this_host(str(tmp_path / "boot_id")) == "abc"
    assert this_host(str(tmp_path / "none")) == "container"


def test_where_mounts_are_not_told_a_file_system_is_taken_for_local(tmp_path):
    assert network_of(str(tmp_path), str(tmp_path / "none")) is None
