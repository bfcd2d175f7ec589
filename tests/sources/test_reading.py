"""Pipes, devices and holes in files: nothing waits in a thread, and nothing is read without a bound."""

from __future__ import annotations

import os

import anyio
import pytest

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows import reading
from async_backfill.sources._rows.reading import begin_of, opened, read_bytes
from tests.real_time import anyio_backend  # noqa: F401 - a fixture

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")]


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


async def test_a_pipe_without_a_writer_is_left_at_once(pipe):
    with anyio.move_on_after(0.05) as scope:
        await read_bytes(pipe)
    assert scope.cancelled_caught


async def test_a_pipe_is_read_from_its_first_writer_to_its_last(pipe):
    found = []

    async def read():
        found.append(await read_bytes(pipe))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        writer = await anyio.to_thread.run_sync(os.open, pipe, os.O_WRONLY)  # waits for the reader
        for piece in (b"a\n", b"b\n"):
            os.write(writer, piece)
            await anyio.sleep(0.01)
        os.close(writer)
    assert found == [b"a\nb\n"]


async def test_what_a_pipe_has_without_end_is_refused_at_the_bound(pipe, monkeypatch):
    monkeypatch.setattr(reading, "_MOST_OF_A_PIPE", 1000)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)
    os.write(writer, b"a\n" * 2000)
    try:
        with pytest.raises(ScenarioError, match="has more than 1,000 bytes"):
            await read_bytes(pipe)
    finally:
        os.close(reader)
        os.close(writer)


async def test_a_hole_in_a_file_is_refused_before_it_is_read_whole(tmp_path):
    path = tmp_path / "hole"
    with path.open("wb") as file:
        file.write(b"id,v\n")
        file.truncate(1 << 40)
    with pytest.raises(ScenarioError, match=r"is not text: it has zeros where letters were expected$"):
        await read_bytes(path)


async def test_a_file_is_read_up_to_the_bound(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 1000)
    assert await read_bytes(path, 1000) == b"a" * 1000
    with pytest.raises(ScenarioError, match="has more than 999 bytes, which must fit into memory"):
        await read_bytes(path, 999)


async def test_a_file_is_read_piece_by_piece(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 300_000)
    async with opened(path) as read:
        assert [len(await read()) for _ in range(3)] == [262_144, 37_856, 0]
    assert await begin_of(path, 4) == b"aaaa"


async def test_a_pipe_has_no_begin_that_could_be_looked_at(pipe):
    assert await begin_of(pipe, 4) == b""
