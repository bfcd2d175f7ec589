"""Reads of a file whose disk does not answer: who waits is freed, and the threads left behind are bounded."""

from __future__ import annotations

import threading

import pytest
from anyio import create_task_group, move_on_after, sleep, to_thread

from async_backfill import LoadError
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
