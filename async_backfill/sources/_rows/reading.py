"""Read a file piece by piece: also a pipe or a device, which is waited for without a thread.

A thread that waits for a pipe without a writer, or for a silent device, would outlive Ctrl-C.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from anyio import to_thread, wait_readable
from anyio.lowlevel import checkpoint

from async_backfill._common.atomic_file import reason
from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.binary import BINARY_SIZE, refuse_binary, refuse_zeros
from async_backfill.sources._rows.packed import packing_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from async_backfill.sources._rows.rows import AnyPath

MOST_READ: Final = 1 << 31
"""The largest file that is read into memory, in bytes."""

_MOST_OF_A_PIPE: Final = 1 << 28
_PIECE: Final = 1 << 18
_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)


def refusal(path: AnyPath, error: OSError | ValueError) -> ScenarioError:
    """Return the `ScenarioError` for ``error``, which was raised when ``path`` was read."""
    return ScenarioError(f"{path}: cannot be read: {reason(error)}")


@asynccontextmanager
async def opened(path: AnyPath) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """Open ``path`` for ``with``, which gives a function that reads the next piece; an empty one is the end.

    :raises ScenarioError: when the file cannot be opened; the function raises it when it cannot be read.
    """
    async with _descriptor(path) as (file, _):
        yield partial(read_piece, path, file)


async def begin_of(path: AnyPath, size: int) -> bytes:
    """Return the first ``size`` bytes of the file at ``path``; none when it is no regular file.

    :raises ScenarioError: when it cannot be read.
    """
    async with _descriptor(path) as (file, is_regular):
        return (await read_piece(path, file))[:size] if is_regular else b""


async def read_bytes(path: AnyPath, most: int = MOST_READ) -> bytes:
    """Return the content of the file at ``path``, which is text, or packed.

    :raises ScenarioError: when it cannot be read, or has more than ``most`` bytes, or more than 256 MiB and
        is no regular file.
    """
    async with _descriptor(path) as (file, is_regular):
        return await read_all(path, file, most if is_regular else min(most, _MOST_OF_A_PIPE))


async def pieces_of(path: AnyPath, most: int = MOST_READ) -> AsyncGenerator[bytes, None]:
    """Yield the content of the file at ``path`` piece by piece; raises as `read_bytes`."""
    async with _descriptor(path) as (file, is_regular):
        most = most if is_regular else min(most, _MOST_OF_A_PIPE)
        async with aclosing(_text_pieces(path, file, most)) as pieces:
            async for piece in pieces:
                yield piece


async def read_all(path: AnyPath, file: int, most: int) -> bytes:
    """Return all that can be read from the descriptor ``file``, which is text, or packed.

    :raises ScenarioError: when it cannot be read, is no text, or has more than ``most`` bytes.
    """
    async with aclosing(_text_pieces(path, file, most)) as pieces:
        return b"".join([piece async for piece in pieces])


async def _text_pieces(path: AnyPath, file: int, most: int) -> AsyncGenerator[bytes, None]:
    size = 0
    is_packed = False
    while piece := await read_piece(path, file):
        if not size:
            is_packed = packing_of(piece) is not None
        if not is_packed:
            if not size:
                refuse_binary(path, piece[:BINARY_SIZE])
            refuse_zeros(path, piece)
        size += len(piece)
        if size > most:
            raise ScenarioError(f"{path}: has more than {most:,} bytes, which must fit into memory")
        yield piece


async def read_piece(path: AnyPath, file: int) -> bytes:
    """Return the next piece of the descriptor ``file``; an empty one is the end.

    :raises ScenarioError: when it cannot be read.
    """
    try:
        if stat.S_ISREG(os.fstat(file).st_mode) or sys.platform == "win32":
            return await to_thread.run_sync(os.read, file, _PIECE)
        while True:
            await checkpoint()
            with suppress(PermissionError):  # what cannot be waited for, such as /dev/zero, is always ready
                await wait_readable(file)
            with suppress(BlockingIOError):
                return os.read(file, _PIECE)
    except OSError as error:
        raise refusal(path, error) from error


@asynccontextmanager
async def _descriptor(path: AnyPath) -> AsyncIterator[tuple[int, bool]]:
    """Open ``path`` for ``with``: a descriptor, and whether it is of a regular file."""
    try:
        file = await to_thread.run_sync(os.open, path, _FLAGS)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise refusal(path, error) from error
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            raise refusal(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
        yield file, stat.S_ISREG(mode)
    finally:
        os.close(file)
