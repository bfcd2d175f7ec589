from __future__ import annotations

import asyncio
import os
import stat

import pytest

from async_backfill._runner.output import OutputError, check_outputs, write_atomically
from async_backfill.errors import ScenarioError

pytestmark = pytest.mark.asyncio

needs_a_user_with_limits = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture
def target(tmp_path):
    """A file with an older summary, alone in its folder."""
    path = tmp_path / "summary.json"
    path.write_bytes(b"old")
    return path


async def refusal(path, reads=()) -> str:
    with pytest.raises(ScenarioError) as refused:
        await check_outputs({"--output": str(path)}, reads=reads)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def leftovers(target) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path.name != target.name)


async def test_the_content_replaces_what_was_there(target):
    await write_atomically(str(target), b"new")
    assert target.read_bytes() == b"new"
    assert leftovers(target) == []


async def test_a_new_file_is_for_its_owner_alone_whatever_the_umask_allows(tmp_path):
    before = os.umask(0o000)
    try:
        await write_atomically(str(tmp_path / "new"), b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666, 0o755])
async def test_a_file_that_is_there_keeps_its_permissions(target, mode):
    target.chmod(mode)
    await write_atomically(str(target), b"new")
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"new", mode)


@pytest.mark.parametrize("there", [True, False])
async def test_a_link_is_followed_and_stays_a_link(tmp_path, there):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "summary.json"
    if there:
        target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to("far/summary.json")
    await check_outputs({"--output": str(link)}, reads=[])
    await write_atomically(str(link), b"new")
    assert link.readlink().as_posix() == "far/summary.json"
    assert target.read_bytes() == b"new"


async def test_the_content_is_on_the_disk_before_it_takes_the_place_of_the_old(target, monkeypatch):
    synced = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        fsync(descriptor)
        found = os.fstat(descriptor)
        synced.append(("folder" if stat.S_ISDIR(found.st_mode) else found.st_size, target.read_bytes()))

    monkeypatch.setattr(os, "fsync", watch)
    await write_atomically(str(target), b"new content")
    assert synced == [(11, b"old"), ("folder", b"new content")]


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancelled_write_left_the_old_file_as_it_was(target, turns):
    """Cancelled as by Ctrl-C, after a given number of turns of the event loop."""
    writing = asyncio.create_task(write_atomically(str(target), b"new" * 100_000))
    for _ in range(turns):
        await asyncio.sleep(0)
    writing.cancel()
    content = b"new" * 100_000
    try:
        await writing
    except asyncio.CancelledError:
        content = b"old"
    assert target.read_bytes() == content
    assert leftovers(target) == []


@pytest.mark.parametrize(("moment", "content"), [("before", b"old"), ("after", b"new")])
async def test_who_is_cancelled_around_the_rename_knows_which_file_is_there(
    target, monkeypatch, moment, content
):
    loop, fsync = asyncio.get_running_loop(), os.fsync

    def cancel(descriptor: int) -> None:
        fsync(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (moment == "after"):
            loop.call_soon_threadsafe(writing.cancel)

    monkeypatch.setattr(os, "fsync", cancel)
    writing = asyncio.create_task(write_atomically(str(target), b"new"))
    await asyncio.wait([writing])
    assert writing.cancelled() == (moment == "before")
    assert target.read_bytes() == content
    assert leftovers(target) == []


async def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(target, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError) as failed:
        await write_atomically(str(target), b"new")
    assert str(failed.value) == f"{target}: cannot be written: no space left on device"
    assert target.read_bytes() == b"old"
    assert leftovers(target) == []


async def test_a_folder_that_has_gone_meanwhile_is_a_failed_write(tmp_path):
    path = tmp_path / "gone" / "summary.json"
    with pytest.raises(OutputError, match="cannot be written: no such file or directory"):
        await write_atomically(str(path), b"new")


async def test_a_folder_that_cannot_be_synced_is_no_failure(target, monkeypatch):
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    await write_atomically(str(target), b"new")
    assert target.read_bytes() == b"new"


async def test_a_check_changes_nothing(target, tmp_path):
    before = target.stat()
    await check_outputs({"--output": str(target)}, reads=[])
    await check_outputs({"--output": str(tmp_path / "new")}, reads=[])
    after = target.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert leftovers(target) == []


async def test_a_folder_is_refused(tmp_path):
    assert await refusal(tmp_path) == "is a folder, expected a file"
    assert await refusal(f"{tmp_path}/new/") == "is a folder, expected a file"


async def test_a_file_in_a_folder_that_is_not_there_is_refused(tmp_path):
    assert await refusal(tmp_path / "no" / "x") == f"the folder {tmp_path}/no does not exist"


async def test_a_link_to_nowhere_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("no/x")
    assert await refusal(tmp_path / "link") == f"the folder {tmp_path}/no does not exist"


async def test_links_in_a_cycle_are_refused(tmp_path):
    (tmp_path / "link").symlink_to("link")
    assert (await refusal(tmp_path / "link")).startswith("cannot be written: too many levels")


async def test_what_is_not_a_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert await refusal(tmp_path / "pipe") == "is not a regular file"


async def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    assert await refusal("a\0b") == "cannot be written: embedded null byte"
    assert await refusal(tmp_path / ("x" * 300)) == "cannot be written: file name too long"
    (tmp_path / "file").touch()
    assert await refusal(tmp_path / "file" / "x") == "cannot be written: not a directory"


async def test_a_file_that_the_run_reads_is_refused_by_whatever_name(target):
    other = target.with_name("other")
    other.write_bytes(b"other")
    link, hard_link = target.with_name("link"), target.with_name("hard_link")
    link.symlink_to(target.name)
    hard_link.hardlink_to(target)
    for name in (target, link, hard_link):
        assert await refusal(name, [other, target]) == f"would overwrite {target}, which this run reads"
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("read", ["missing", "x" * 300, "a\0b", "summary.json/x"])
async def test_a_file_that_cannot_be_read_is_not_the_fault_of_the_output(target, read):
    await check_outputs({"--output": str(target)}, reads=[target.with_name("a") / read, target.parent / read])


@needs_a_user_with_limits
async def test_a_write_protected_file_is_refused(target):
    target.chmod(0o444)
    assert await refusal(target) == "is write-protected"


@needs_a_user_with_limits
async def test_a_write_protected_folder_is_refused(target):
    target.parent.chmod(0o555)
    try:
        assert await refusal(target) == "cannot be written: permission denied"
    finally:
        target.parent.chmod(0o755)
