"""Every writer of ours replaces or extends regular files only, and makes new ones for their owner alone."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from async_backfill._common.atomic_file import AtomicFile
from async_backfill._common.file_lock import FileLock
from async_backfill._runner.output import OutputError, write_atomically
from async_backfill.backfill.audit_file import AuditFile
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats
from async_backfill.records import AuditRecord, Status

pytestmark = pytest.mark.asyncio

RECORD = AuditRecord(number=1, status=Status.SKIPPED, time=0.0, lookup=1, last_lookup=1, cause=None)


async def save_journal(path):
    await JournalFile(path).save(Heats({"a": 1.0}, None))


async def write_audit(path):
    await AuditFile(path).write([RECORD])


async def write_output(path):
    await write_atomically(str(path), b"new")


writers = pytest.mark.parametrize("write", [save_journal, write_audit, write_output])


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        folder = Path.cwd()  # the path of a socket is short
        os.chdir(path.parent)
        try:
            server.bind(path.name)
        finally:
            os.chdir(folder)


def make_folder(path):
    path.mkdir()


def make_link_to_a_pipe(path):
    os.mkfifo(path.with_name("behind"))
    path.symlink_to("behind")


@writers
@pytest.mark.parametrize("make", [make_pipe, make_socket, make_folder, make_link_to_a_pipe])
async def test_what_is_not_a_regular_file_is_refused_and_stays_as_it_is(tmp_path, write, make):
    path = tmp_path / "there"
    make(path)
    before = {each.name: each.lstat().st_ino for each in tmp_path.iterdir()}
    with pytest.raises((OSError, OutputError), match="is not a regular file"):
        await write(path)
    assert {each.name: each.lstat().st_ino for each in tmp_path.iterdir()} == before


@writers
async def test_what_replaced_the_file_by_a_link_to_a_pipe_is_refused(tmp_path, write):
    path = tmp_path / "there"
    await write(path)
    path.unlink()
    make_link_to_a_pipe(path)
    with pytest.raises((OSError, OutputError), match="is not a regular file"):
        await write(path)
    assert stat.S_ISFIFO(path.stat().st_mode)


async def test_a_pipe_that_came_while_the_file_was_written_stays(tmp_path):
    path = tmp_path / "there"
    with AtomicFile(path) as replacement:
        replacement.fill(b"new")
        make_pipe(path)
        with pytest.raises(OSError, match="is not a regular file"):
            replacement.put_in_place()
    assert [(each.name, stat.S_ISFIFO(each.stat().st_mode)) for each in tmp_path.iterdir()] == [
        ("there", True)
    ]


async def test_nothing_is_made_beside_what_is_not_a_regular_file(tmp_path):
    make_pipe(tmp_path / "there")
    with pytest.raises(OSError, match="is not a regular file"):
        FileLock(tmp_path / "there").acquire()
    assert [each.name for each in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("make", [make_pipe, make_link_to_a_pipe, lambda path: path.symlink_to("elsewhere")])
async def test_a_lock_is_a_regular_file_beside_the_journal_and_nothing_else(tmp_path, make):
    make(tmp_path / ".there.lock")
    before = sorted(each.name for each in tmp_path.iterdir())
    with pytest.raises(OSError):
        await save_journal(tmp_path / "there")
    assert sorted(each.name for each in tmp_path.iterdir()) == before


@writers
async def test_a_new_file_is_for_its_owner_alone(tmp_path, write):
    path = tmp_path / "new"
    before = os.umask(0o000)
    try:
        await write(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@writers
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
async def test_a_file_that_is_there_keeps_its_permissions(tmp_path, write, mode):
    path = tmp_path / "old"
    await write(path)
    path.chmod(mode)
    await write(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@writers
async def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path, write):
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to("folder/file")
    await write(link)
    assert link.is_symlink()
    assert (tmp_path / "folder" / "file").stat().st_size
