"""One journal or audit file in the hands of two processes: nothing is lost without a word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from async_backfill import (
    AuditRecord,
    BackfillCache,
    BackfillPolicy,
    ConfigurationError,
    HistoryPolicy,
    MappingSource,
    Status,
)
from async_backfill._common.file_lock import try_lock
from async_backfill.backfill.audit_file import AuditFile
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).parents[2]
MINE, THEIRS = Heats({"mine": 1.0}, 0.5), Heats({"theirs": 1.0}, 0.5)

SAVES = """
import asyncio, sys
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats
journal = JournalFile(sys.argv[1])
asyncio.run(journal.save(Heats({"theirs": 1.0}, 0.5)))
print("saved", flush=True)
sys.stdin.readline()
"""
FORKS = """
import os, sys
from async_backfill._common.file_lock import FileLock
lock = FileLock(sys.argv[1])
print(lock.acquire(), flush=True)
child = os.fork()
if child == 0:
    lock.release()
    os._exit(0)
os.waitpid(child, 0)
print(FileLock(sys.argv[1]).acquire(), flush=True)
lock.release()
print(FileLock(sys.argv[1]).acquire())
"""
WRITES = """
import asyncio, sys
from async_backfill import BackfillCache, MappingSource
from async_backfill.backfill.audit_file import AuditFile

async def main():
    source = MappingSource({0: 0})
    sink = AuditFile(sys.argv[1])
    async with BackfillCache(source, scan=source, audit_sink=sink, name=sys.argv[2]) as cache:
        for _ in range(50):
            await cache.clear()
            await cache.force_backfill(by="x" * 5000, reason="why")
            await cache.settle()

asyncio.run(main())
"""


@contextmanager
def another_process(path):
    """Run a process that has saved to the journal and still lives."""
    with subprocess.Popen(
        [sys.executable, "-c", SAVES, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout.readline().strip() == b"saved"
            yield process
        finally:
            process.kill()


def record(number):
    return AuditRecord(
        number=number, status=Status.SKIPPED, cause=None, time=0.0, lookup=0, last_lookup=0, reason="r" * 9000
    )


async def test_a_journal_that_another_process_saves_to_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "hot.journal"
    journal = JournalFile(path)
    with another_process(path) as process:
        with pytest.raises(OSError, match=r"another process saves to it.*give each a file of its own"):
            await journal.save(MINE)
        assert await journal.load() == THEIRS
        process.kill()
        process.wait()
        await journal.save(MINE)

    assert await journal.load() == MINE


async def test_two_journals_of_one_process_are_refused_as_well_until_the_first_is_closed(tmp_path):
    path = tmp_path / "hot.journal"
    first, second = JournalFile(path), JournalFile(path)
    await first.save(MINE)
    await first.save(MINE)
    with pytest.raises(OSError, match="another cache of this one"):
        await second.save(THEIRS)
    first.close()
    await second.save(THEIRS)
    second.close()

    assert await first.load() == THEIRS
    assert [found.name for found in tmp_path.iterdir()] == ["hot.journal"]


async def test_links_to_one_journal_are_one_journal(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "hot.journal")
    first = JournalFile(tmp_path / "hot.journal")
    await first.save(MINE)
    with pytest.raises(OSError, match="another process"):
        await JournalFile(tmp_path / "link").save(THEIRS)


async def test_a_journal_that_nobody_has_any_more_is_free(tmp_path):
    await JournalFile(tmp_path / "hot.journal").save(MINE)
    await JournalFile(tmp_path / "hot.journal").save(THEIRS)

    assert await JournalFile(tmp_path / "hot.journal").load() == THEIRS


async def test_a_cache_that_closes_lets_go_of_its_journal_and_says_where_it_cannot_save(tmp_path, caplog):
    path = tmp_path / "hot.journal"
    settings = {"backfill": BackfillPolicy(selection="history"), "history": HistoryPolicy(save_every=1e6)}
    held = JournalFile(path)
    first = BackfillCache(MappingSource({1: 1}), journal=held, **settings)
    second = BackfillCache(MappingSource({2: 2, "mine": 1}), journal=JournalFile(path), **settings)
    async with first:
        await held.save(MINE)
        async with second:
            await second.get(2)
        assert "hot keys was not saved" in caplog.text
        assert "another process saves to it" in caplog.text
        assert "Traceback" not in caplog.text
    assert list((await held.load()).keys) == ["mine"]
    async with second:
        await second.get(2)

    assert set((await held.load()).keys) == {"mine", 2}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
async def test_a_forked_child_does_not_let_go_of_its_parents_lock(tmp_path):
    # In a process without threads, because of the fork.
    done = await anyio.run_process([sys.executable, "-c", FORKS, str(tmp_path / "hot.journal")], cwd=ROOT)

    assert done.stdout.split() == [b"True", b"False", b"True"]


async def test_two_processes_that_write_to_one_audit_file_lose_no_line(tmp_path):
    path = tmp_path / "audit.jsonl"
    writers = [
        await anyio.open_process([sys.executable, "-c", WRITES, str(path), name], cwd=ROOT, stderr=None)
        for name in ("products", "prices")
    ]
    for writer in writers:
        assert await writer.wait() == 0

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    of_each = {}
    for line in lines:
        of_each.setdefault((line["process"], line["cache"]), set()).add(line["number"])
    assert {cache for _, cache in of_each} == {"products", "prices"}
    assert len({process for process, _ in of_each}) == 2
    assert list(of_each.values()) == [set(range(1, 101))] * 2


async def test_a_writer_waits_for_another_one_and_not_for_ever(tmp_path):
    path = tmp_path / "audit.jsonl"
    path.touch()
    with path.open("ab") as other:
        assert try_lock(other.fileno())
        with pytest.raises(OSError, match="another process has been writing to it"):
            await AuditFile(path).write([record(1)])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(AuditFile(path).write, [record(1)])
            await anyio.sleep(0.1)
            other.close()

    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [1]


async def test_a_record_names_its_process_and_its_cache():
    source = MappingSource({1: 1})
    async with BackfillCache(source, scan=source, name="products") as cache:
        found = await cache.force_backfill()
    async with BackfillCache(source, scan=source) as cache:
        nameless = await cache.force_backfill()

    assert (found.cache, found.as_dict()["cache"]) == ("products", "products")
    assert found.process.endswith(f":{os.getpid()}")
    assert (nameless.cache, "cache" in nameless.as_dict()) == (None, False)


@pytest.mark.parametrize("name", ["", " ", 5, b"products"])
async def test_a_name_that_is_no_text_is_refused(name):
    with pytest.raises(ConfigurationError, match="name"):
        BackfillCache(MappingSource({}), name=name)
