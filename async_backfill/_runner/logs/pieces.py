"""Read a file or standard input piece by piece."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiofiles
from anyio import to_thread, wait_readable

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.tables import refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

STANDARD_INPUT: Final = "-"
_PIECE: Final = 1 << 18


def name_of(path: str) -> str:
    """Return ``path`` as error messages show it."""
    return "standard input" if path == STANDARD_INPUT else path


async def total_size(paths: Iterable[str]) -> int:
    """Return the number of bytes to read, or 0 when it cannot be known.

    :raises ScenarioError: for a path that does not exist.
    """
    return await to_thread.run_sync(_total_size, list(paths))


def _total_size(paths: list[str]) -> int:
    sizes = []
    for path in paths:
        try:
            found = os.fstat(0) if path == STANDARD_INPUT else Path(path).stat()
        except (OSError, ValueError) as error:
            raise refusal(name_of(path), error) from error
        sizes.append(found.st_size if stat.S_ISREG(found.st_mode) else None)
    return 0 if None in sizes else sum(size for size in sizes if size is not None)


@asynccontextmanager
async def opened(path: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """Open ``path`` for ``with``, which gives a function that reads the next piece; an empty one is the end.

    :raises ScenarioError: when the file cannot be opened; the function raises it when it cannot be read.
    """
    if path == STANDARD_INPUT:
        yield _read_standard_input
        return
    async with AsyncExitStack() as opened_file:
        try:
            file = await opened_file.enter_async_context(aiofiles.open(path, "rb"))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise refusal(path, error) from error

        async def read() -> bytes:
            try:
                return await file.read(_PIECE)
            except OSError as error:
                raise refusal(path, error) from error

        yield read


async def read_standard_input(most: int) -> bytes:
    """Return all of standard input.

    :raises ScenarioError: when it cannot be read, or has more than ``most`` bytes.
    """
    content = bytearray()
    while piece := await _read_standard_input():
        content += piece
        if len(content) > most:
            raise ScenarioError(f"{name_of(STANDARD_INPUT)}: has more than {most:,} bytes")
    return bytes(content)


async def _read_standard_input() -> bytes:
    try:
        # Wait without a thread, because a thread that waits for a silent pipe would outlive Ctrl-C.
        if sys.platform != "win32" and not stat.S_ISREG(os.fstat(0).st_mode):
            await wait_readable(0)
        return os.read(0, _PIECE)
    except OSError as error:
        raise refusal(name_of(STANDARD_INPUT), error) from error
