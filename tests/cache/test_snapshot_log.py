"""The log of a snapshot: who changed a key hears of it once the change is there, whoever wrote it."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, MappingSource
from async_backfill._session.snapshots.notes import Notes
from async_backfill.stores._snapshot.keys import CHANGED, PackedKeys
from async_backfill.stores._snapshot.log import ChangeLog, LogCodec
from async_backfill.stores.memory import MemoryStore
from async_backfill.stores.snapshot_file import SnapshotFile
from tests.callers import PENDING, start
from tests.real_time import anyio_backend  # noqa: F401 - a fixture

CODEC: LogCodec[Any] = LogCodec(PackedKeys(Any), None)


class Disk:
    """Writes of other threads wait until they are let through, one by one or all."""

    def __init__(self):
        self.waiting = self.writes = 0
        self.is_open = False
        self._some = threading.Condition()
        self._places = 0
        self._write = os.write

    def write(self, file, content):
        if threading.current_thread() is not threading.main_thread():
            with self._some:
                self.waiting += 1
                assert self._some.wait_for(lambda: self.is_open or self._places, timeout=30)
                self._places -= not self.is_open
                self.waiting -= 1
                self.writes += 1
        return self._write(file, content)

    def let_through(self, some=1):
        with self._some:
            self._places = min(self.waiting, self._places + some)
            self._some.notify_all()

    def open(self):
        with self._some:
            self.is_open = True
            self._some.notify_all()


@contextmanager
def disk_in_place():
    disk = Disk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", disk.write)
        try:
            yield disk
        finally:
            disk.open()


def notes_in(folder):
    """Return notes that are written to one log, and a function that returns what that has."""
    path = Path(folder) / "log"
    broken: list[str] = []
    notes: Notes[Any] = Notes(CODEC, MemoryStore[Any, Any]().order, None, broken.append)
    notes.begin()
    notes.logs = [ChangeLog(path, "log")]

    def logged():
        assert not broken
        return CODEC.changes(path.read_bytes() if path.exists() else b"", "log").changed

    return notes, logged


@pytest.mark.anyio
async def test_who_changes_nothing_waits_for_what_another_writes(tmp_path):
    notes, logged = notes_in(tmp_path)
    with disk_in_place() as disk:
        async with create_task_group() as tasks:
            notes.changed(("a",))
            start(tasks, notes.flush)
            with fail_after(20):
                while not disk.waiting:
                    await checkpoint()
            second = start(tasks, notes.flush)
            for _ in range(20):
                await checkpoint()
            assert second.outcome is PENDING
            disk.open()
        assert second.outcome is None
        assert logged() == {"a"}


@pytest.mark.anyio
async def test_who_waits_for_the_log_does_not_wait_for_what_changes_meanwhile(tmp_path):
    notes, logged = notes_in(tmp_path)
    with disk_in_place() as disk:
        disk.open()

        async def go_on():
            number = 0
            while disk.writes < 5:
                notes.changed((number,))
                number += 1
                await checkpoint()

        async with create_task_group() as tasks:
            tasks.start_soon(go_on)
            notes.changed(("a",))
            await notes.flush()
            assert disk.writes == 1
            assert "a" in logged()
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("count", [1001, 1500])
async def test_many_keys_are_in_the_log_once_their_invalidation_returns(tmp_path, count):
    keys = range(count)
    file = SnapshotFile(tmp_path / "values", restored="trusted", save_every=None)
    async with BackfillCache(MappingSource(dict.fromkeys(keys, "value")), snapshot=file) as cache:
        await cache.get_many(keys)
        await cache.save_snapshot()
        await cache.invalidate_many(keys)
        assert cache._parts.snapshots._files.read()[1].changed == set(keys)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(0, 2)),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("write"), st.integers(1, 2)),
        st.tuples(st.just("turns"), st.integers(1, 4)),
    ),
    max_size=14,
)


async def follow(steps, folder, disk):
    """Change keys, and cancel who does as asyncio cancels a task; what has returned must be in the log."""
    notes, logged = notes_in(folder)
    callers: dict[asyncio.Task[None], set[int]] = {}
    changed: set[int] = set()

    for what, number in steps:
        if what == "change":
            keys = {len(changed) + more for more in range(number)}
            changed |= keys
            notes.changed(keys)
            callers[asyncio.create_task(notes.flush())] = set(changed)
        elif what == "cancel" and callers:
            [*callers][number % len(callers)].cancel()
        elif what == "write":
            disk.let_through(number)
            await asyncio.sleep(0.001)
        for _ in range(number if what == "turns" else 0):
            await asyncio.sleep(0)
        returned = [caller for caller in callers if caller.done() and not caller.cancelled()]
        assert all(callers[caller] <= logged() for caller in returned)
    disk.open()
    await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 20)
    await notes.flush()
    assert logged() == changed
    notes.drop_logs()


@settings(max_examples=60, deadline=None)
@given(steps)
def test_whoever_is_cancelled_a_change_that_returned_is_in_the_log(steps):
    with TemporaryDirectory() as folder, disk_in_place() as disk:
        asyncio.run(follow(steps, folder, disk))


def test_what_was_written_of_a_record_when_the_disk_was_full_spoils_no_later_one(tmp_path, monkeypatch):
    log, write = ChangeLog(tmp_path / "log", "log"), os.write
    first, second = (CODEC.record(bytes([CHANGED]), [key], "log") for key in ("a" * 100, "b"))
    with monkeypatch.context() as full:

        def fill(file, content):
            if len(content) < 100:
                raise OSError(28, "No space left on device")
            return write(file, content[:20])

        full.setattr(os, "write", fill)
        with pytest.raises(OSError, match="No space left"):
            log.append(first[:110])
    log.append(second)
    log.close()
    assert CODEC.changes((tmp_path / "log").read_bytes(), "log").changed == {"b"}
