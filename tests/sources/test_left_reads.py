"""Reads of a file whose disk does not answer: who waits is freed, and the threads left behind are bounded."""

from __future__ import annotations

import gc
import gzip
import os
import subprocess
import sys
import threading
import weakref
from contextlib import contextmanager
from contextvars import ContextVar

import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep, to_thread

from async_backfill import LoadError, ScenarioError
from async_backfill._common.left_reads import LeftReads
from async_backfill.sources.file import FileSource

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """In real time, because a thread takes some."""
    return request.param


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("key,value\na,1\nb,2\n")
    return path


class Disk:
    """Makes values of rows, but for ``a``, which hangs until it is released."""

    def __init__(self):
        self.released = threading.Event()
        self.begun = 0

    def row(self, columns):
        if columns["key"] == "a":
            self.begun += 1
            assert self.released.wait(60)
        return columns["value"]


async def test_a_cancelled_read_does_not_wait_for_its_thread(rows):
    disk = Disk()
    async with FileSource(rows, key="key", row=disk.row) as source:
        with move_on_after(0.1) as scope:
            await source.load_many(["a"])

        assert scope.cancelled_caught
        assert not disk.released.is_set()
        assert await source.load_many(["b"]) == {"b": "2"}
        disk.released.set()
        assert await source.load_many(["a"]) == {"a": "1"}


async def test_no_more_threads_are_left_behind_than_allowed_and_then_reads_fail_at_once(rows):
    disk = Disk()
    async with FileSource(rows, key="key", row=disk.row) as source:
        with move_on_after(30) as scope:
            async with create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(source.load_many, ["a"])
                while disk.begun < 20:  # noqa: ASYNC110 - threads tell no event
                    await sleep(0.01)
                scope.cancel()
        with pytest.raises(LoadError, match="20 reads of it were cancelled and have not ended"):
            await source.load_many(["b"])

        disk.released.set()
        while source._reads._left:  # noqa: ASYNC110 - as above
            await sleep(0.01)
        assert await source.load_many(["b"]) == {"b": "2"}


async def test_a_read_that_was_cancelled_before_its_thread_began_is_not_counted(rows):
    disk = Disk()
    limiter = to_thread.current_default_thread_limiter()
    before, limiter.total_tokens = limiter.total_tokens, 1
    try:
        async with FileSource(rows, key="key", row=disk.row) as source, create_task_group() as tasks:
            tasks.start_soon(source.load_many, ["a"])
            while not disk.begun:  # noqa: ASYNC110 - threads tell no event
                await sleep(0.01)
            with move_on_after(0.1):
                await source.load_many(["b"])

            assert source._reads._left == 0
            disk.released.set()
    finally:
        limiter.total_tokens = before


STUCK = """
import asyncio, sys, threading
from async_backfill.sources.file import FileSource

def never(columns):
    threading.Event().wait()

async def main():
    async with FileSource(sys.argv[1], key="key", row=never) as source, asyncio.timeout(0.1):
        await source.load_many(["a"])

asyncio.run(main())
"""


def test_a_read_that_never_ends_does_not_keep_the_process_from_ending(rows):
    command = [sys.executable, "-c", STUCK, rows]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.endswith("\nTimeoutError\n")


class Packed:
    """Unpacks gzip, and waits before the first byte until it is released."""

    def __init__(self):
        self.begun, self.released, self.closed = (threading.Event() for _ in range(3))

    @contextmanager
    def unpack(self, file):
        try:
            self.begun.set()
            assert self.released.wait(60)
            with gzip.GzipFile(fileobj=file) as content:
                yield content
        finally:
            self.closed.set()


async def test_an_opening_that_is_cancelled_does_not_wait_for_its_thread(tmp_path):
    (tmp_path / "rows.gz").write_bytes(gzip.compress(b"key,value\na,1\n"))
    packed = Packed()
    source = FileSource(tmp_path / "rows.gz", key="key", unpack=packed.unpack)
    with move_on_after(30) as scope:
        async with create_task_group() as tasks:
            tasks.start_soon(source.open)
            assert await to_thread.run_sync(packed.begun.wait, 60)
            scope.cancel()
    assert scope.cancelled_caught
    packed.released.set()
    assert await to_thread.run_sync(packed.closed.wait, 60)
    async with source:
        assert await source.load_many(["a"]) == {"a": {"value": "1"}}


async def test_a_result_that_nobody_waits_for_any_more_is_discarded(rows):
    reads, begun, released, discarded = LeftReads(rows), *(threading.Event() for _ in range(3))

    def read():
        begun.set()
        assert released.wait(60)
        return "an index"

    with move_on_after(30) as scope:
        async with create_task_group() as tasks:
            tasks.start_soon(lambda: reads.run(read, discard=lambda _: discarded.set()))
            assert await to_thread.run_sync(begun.wait, 60)
            scope.cancel()
    released.set()
    assert await to_thread.run_sync(discarded.wait, 60)


def threads_of(reads):
    return [thread for thread in threading.enumerate() if getattr(thread, "_may_end", None) == reads._may_end]


async def none_of(reads):
    with fail_after(60):
        while threads_of(reads):  # noqa: ASYNC110 - threads tell no event
            await sleep(0.005)


async def test_one_thread_serves_reads_that_come_one_after_another(rows):
    reads = LeftReads(rows)
    assert len({await reads.run(threading.get_ident) for _ in range(20)}) == 1
    assert len(threads_of(reads)) == 1
    reads.close()
    await none_of(reads)


async def test_reads_at_once_have_threads_of_their_own_and_all_end_when_the_last_was_read(rows):
    reads, both = LeftReads(rows), threading.Barrier(2)
    async with create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(reads.run, lambda: both.wait(60))
    assert len(threads_of(reads)) == 2
    await reads.run_last(lambda: None)
    await none_of(reads)
    assert await reads.run(lambda: "read") == "read"
    reads.close()


async def test_a_thread_without_reads_ends_by_itself_and_no_read_is_lost_to_that(rows, monkeypatch):
    monkeypatch.setattr("async_backfill._common.left_reads._IDLE", 0.001)
    reads = LeftReads(rows)
    for number in range(100):
        with fail_after(60):
            assert await reads.run(lambda number=number: number) == number
        await sleep(0.001 * (number % 3))
    await none_of(reads)


async def test_a_read_that_comes_when_its_thread_is_about_to_end_is_read(rows, monkeypatch):
    monkeypatch.setattr("async_backfill._common.left_reads._IDLE", 0.001)
    reads, begun, released = LeftReads(rows), threading.Event(), threading.Event()
    may_end = reads._may_end

    def at_last(thread):
        begun.set()
        assert released.wait(60)
        return may_end(thread)

    monkeypatch.setattr(reads, "_may_end", at_last)
    first = await reads.run(threading.get_ident)
    assert await to_thread.run_sync(begun.wait, 60)
    async with create_task_group() as tasks:
        again = []

        async def read():
            again.append(await reads.run(threading.get_ident))

        tasks.start_soon(read)
        await sleep(0.01)
        released.set()
    assert again == [first]


async def test_a_thread_keeps_no_result_while_it_waits_for_the_next_read(rows):
    class Result:
        pass

    reads = LeftReads(rows)
    kept = weakref.ref(await reads.run(Result))
    with fail_after(60):
        while kept() is not None:
            gc.collect()
            await sleep(0.005)
    assert threads_of(reads)
    reads.close()


async def test_a_read_sees_the_context_of_who_waits_for_it(rows):
    reads, setting = LeftReads(rows), ContextVar("setting")
    for value in ("one", "two"):
        setting.set(value)
        assert await reads.run(setting.get) == value
    reads.close()


async def test_a_pipe_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ScenarioError, match="pipe: cannot be read: is not a regular file"):
        await FileSource(tmp_path / "pipe", key="key").open()
