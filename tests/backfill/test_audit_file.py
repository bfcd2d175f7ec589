"""The audit log on disk: JSON lines that survive crashes, full disks and rotation."""

from __future__ import annotations

import errno
import json
import os
import signal

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import AuditRecord, BackfillCache, BackfillCause, MappingSource, Status
from async_backfill.backfill.audit_file import AuditFile
from async_backfill.testing import GatedSource
from tests.callers import start
from tests.real_time import anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio

ROWS = dict.fromkeys("abcdef", 1)


def record(number, **facts):
    return AuditRecord(
        number=number,
        status=Status.STARTED,
        cause=BackfillCause.THRESHOLD,
        time=1_700_000_000.25,
        lookup=number,
        last_lookup=number,
        **facts,
    )


def lines(path):
    return path.read_bytes().decode().split("\n")


def kept(path):
    """Return what a reader knows: of each number the line that was written last, torn lines aside."""
    records = {}
    for line in lines(path):
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        records[fields["number"]] = fields
    return records


async def test_each_record_is_a_line_of_json_in_the_order_of_writing(tmp_path):
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)
    await file.write([record(1), record(2, reason="after the deploy")])
    await file.write([record(3)])

    assert [json.loads(line) for line in lines(path)[:-1]] == [
        record(1).as_dict(),
        record(2, reason="after the deploy").as_dict(),
        record(3).as_dict(),
    ]
    assert lines(path)[-1] == ""


async def test_what_the_file_held_before_stays(tmp_path):
    path = tmp_path / "audit.jsonl"
    path.write_text("of an earlier run\n")
    await AuditFile(str(path)).write([record(1)])

    assert lines(path)[0] == "of an earlier run"
    assert kept(path) == {1: record(1).as_dict()}


@pytest.mark.parametrize(
    "reason",
    ["zwei Zeilen:\nGrüße, 漢字, 🙂", 'a "quote" and a \\ and a \t', "\x00\x7f\u2028\u2029"],
)
async def test_any_text_stays_on_its_line_and_comes_back_as_it_was(tmp_path, reason):
    path = tmp_path / "audit.jsonl"
    await AuditFile(path).write([record(1, reason=reason), record(2)])

    assert len(lines(path)) == 3
    assert kept(path)[1]["reason"] == reason


async def test_text_is_readable_in_the_file(tmp_path):
    path = tmp_path / "audit.jsonl"
    await AuditFile(path).write([record(1, by="Zoë")])

    assert '"by": "Zoë"' in path.read_text("utf-8")


async def test_a_file_name_that_is_no_unicode_in_an_error_does_not_stop_the_log(tmp_path):
    error = "FileNotFoundError: " + os.fsdecode(b"caf\xe9.csv")
    path = tmp_path / "audit.jsonl"
    await AuditFile(path).write([record(1, error=error), record(2)])

    assert [fields.get("error") for fields in kept(path).values()] == [error, None]


@pytest.mark.parametrize("torn", [b'{"number": 7, "sta', b"\xed\xa0\xbd", b"\xf0\x9f"])
async def test_a_line_that_a_crash_left_unfinished_stays_a_line_of_its_own(tmp_path, torn):
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"whole\n" + torn)
    await AuditFile(path).write([record(1)])
    await AuditFile(path).write([record(2)])

    assert path.read_bytes().split(b"\n")[:2] == [b"whole", torn]
    assert [json.loads(line)["number"] for line in path.read_bytes().split(b"\n")[2:4]] == [1, 2]
    assert path.read_bytes().count(b"\n") == 4


async def test_the_file_can_be_rotated_between_two_writes(tmp_path):
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    file = AuditFile(path)
    await file.write([record(1)])
    path.rename(old)
    await file.write([record(2)])

    assert (list(kept(old)), list(kept(path))) == ([1], [2])


async def test_the_file_can_be_cut_to_nothing_between_two_writes(tmp_path):
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)
    await file.write([record(1)])
    path.write_bytes(b"")
    await file.write([record(2)])

    assert lines(path) == [json.dumps(record(2).as_dict()), ""]


async def test_a_write_has_ended_only_when_it_is_on_the_disk(tmp_path, monkeypatch):
    path = tmp_path / "audit.jsonl"
    synced = []
    fsync = os.fsync

    def watched(descriptor):
        synced.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    await AuditFile(path).write([record(1)])

    assert synced == [path.stat().st_size]


async def test_a_disk_that_fails_to_sync_fails_the_write(tmp_path, monkeypatch):
    def failing(_):
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="the disk is broken"):
        await AuditFile(tmp_path / "audit.jsonl").write([record(1)])


@pytest.mark.parametrize("path", ["missing/audit.jsonl", "."])
async def test_a_place_that_cannot_be_written_raises_and_works_once_it_can(tmp_path, path):
    with pytest.raises(OSError):
        await AuditFile(tmp_path / path).write([record(1)])
    (tmp_path / "missing").mkdir()
    await AuditFile(tmp_path / "missing" / "audit.jsonl").write([record(1)])

    assert list(kept(tmp_path / "missing" / "audit.jsonl")) == [1]


async def test_a_disk_that_runs_full_within_a_line_spoils_that_line_and_no_other(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)
    await file.write([record(1)])
    full = path.stat().st_size + 20
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, limits[1]))
    try:
        with pytest.raises(OSError):
            await file.write([record(2), record(3)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.stat().st_size == full
    await file.write([record(2), record(3)])

    assert list(kept(path)) == [1, 2, 3]
    assert len(lines(path)) == 5


async def test_the_file_of_a_closed_cache_holds_its_whole_audit_log(tmp_path):
    path = tmp_path / "audit.jsonl"
    source = MappingSource(ROWS)
    settings = {"backfill_batch": 2, "max_backfills": 1, "audit_sink": AuditFile(path)}
    async with BackfillCache(source, scan=source, **settings) as cache:
        for key in ROWS:
            await cache.get(key)
        await cache.force_backfill(by="ada", reason="after the deploy")
        await cache.approve_backfills(1, by="bob", reason="once more")

    assert [record.status for record in cache.audit_log][:2] == [Status.STARTED, Status.COMPLETED]
    assert list(kept(path).values()) == [record.as_dict() for record in cache.audit_log]


async def test_a_backfill_that_the_close_cancelled_is_in_the_file(tmp_path):
    path = tmp_path / "audit.jsonl"
    async with create_task_group() as tasks:
        settings = {"scan": MappingSource(ROWS), "audit_sink": AuditFile(path)}
        async with BackfillCache(GatedSource(ROWS), **settings) as cache:
            start(tasks, cache.force_backfill)
            await wait_all_tasks_blocked()

    assert [fields["status"] for fields in kept(path).values()] == ["started", "cancelled"]


async def test_a_cache_whose_audit_file_cannot_be_written_works_and_says_so(tmp_path, caplog):
    source = MappingSource(ROWS)
    sink = AuditFile(tmp_path / "missing" / "audit.jsonl")
    async with BackfillCache(source, scan=source, audit_sink=sink) as cache:
        record = await cache.force_backfill()
        await cache.settle()
        assert await cache.get("a") == 1

    assert record.status is Status.COMPLETED
    assert "audit records were not written" in caplog.text
